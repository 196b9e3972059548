//! The people of a cluster: the document that lists them, its signature, and the
//! invitations by which they join.
//!
//! The operator signs each version of the [`Document`] as an [`Envelope`]. An agent
//! takes one only with a valid signature and a higher version than it has seen. The
//! document has no private key and no token: callers who may read the Swarm's configs may
//! read it.

mod changes;
mod document;
mod envelope;
mod invitation;

pub use changes::changes;
pub use document::{Document, DocumentError, Invited, Revocation, User};
pub use envelope::{Envelope, EnvelopeError, LARGEST};
pub use invitation::{BadInvitation, Invitation, same_hash};

#[cfg(test)]
mod tests {
    use super::User;

    pub(super) fn user(name: &str) -> User {
        User {
            name: name.to_owned(),
            policy: "read-only".to_owned(),
            since: 1,
            enabled: true,
            networks: Vec::new(),
            public_key: None,
            days: 30,
        }
    }
}
