//! An authenticated caller.

use skep_filters::auth::{BodyBinding, Principal};

/// A caller that has proved its identity.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The identity.
    pub(crate) principal: Principal,
    /// Its text form.
    pub(crate) name: String,
    /// What the signature says of the body.
    pub(crate) body: BodyBinding,
    /// Whether the caller may send streams that no digest covers.
    pub(crate) unsigned_streams: bool,
}

impl Caller {
    /// A caller that has just proved its identity.
    pub(crate) fn new(principal: Principal, body: BodyBinding, unsigned_streams: bool) -> Self {
        Self {
            name: principal.to_string(),
            principal,
            body,
            unsigned_streams,
        }
    }

    /// Whether another agent is calling.
    pub(crate) fn is_peer(&self) -> bool {
        self.principal.is_peer()
    }

    /// Whether another agent is calling for itself.
    pub(crate) fn is_agent_itself(&self) -> bool {
        self.principal.client().is_none()
    }

    /// A client by its text form.
    #[cfg(test)]
    pub(crate) fn client(name: &str) -> std::sync::Arc<Self> {
        let client = name.parse().unwrap();
        let body = BodyBinding::Empty;
        std::sync::Arc::new(Self::new(Principal::Client(client), body, false))
    }

    /// Another agent that asks for itself.
    #[cfg(test)]
    pub(crate) fn agent() -> std::sync::Arc<Self> {
        let principal = Principal::Peer {
            node_id: Some("n2".to_owned()),
            on_behalf_of: skep_filters::auth::OnBehalfOf::Agent,
        };
        std::sync::Arc::new(Self::new(principal, BodyBinding::Empty, false))
    }
}
