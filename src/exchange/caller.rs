//! Defines the first phase of a request: its authenticated caller.

use skep_filters::auth::{BodyBinding, Principal};

/// A caller that has proved its identity.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// The text form of `principal`.
    pub(crate) name: String,
    /// The part of the body that the signature covers.
    pub(crate) body: BodyBinding,
    /// Whether the caller may send streams that no digest covers.
    pub(crate) unsigned_streams: bool,
}

impl Caller {
    pub(crate) fn new(principal: Principal, body: BodyBinding, unsigned_streams: bool) -> Self {
        Self {
            name: principal.to_string(),
            principal,
            body,
            unsigned_streams,
        }
    }

    /// Whether the caller is another agent.
    pub(crate) fn is_peer(&self) -> bool {
        self.principal.is_peer()
    }

    /// Whether the caller is another agent that asks for itself.
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
