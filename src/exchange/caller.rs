//! Defines the first phase of a request: its authenticated caller.

use std::borrow::Cow;

use skep_filters::auth::{BodyBinding, Client, OnBehalfOf, Principal};

use crate::listen::places::Standing;

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

    /// The rank of the caller's connection; `is_health_check` if its key may do
    /// nothing else.
    pub(crate) fn standing_of_connection(&self, is_health_check: bool) -> Standing<'_> {
        match &self.principal {
            Principal::Peer { .. } | Principal::Client(Client::Operator { .. }) => {
                Standing::Reserved
            }
            Principal::Client(_) if is_health_check => Standing::Reserved,
            Principal::Client(_) => Standing::Caller(&self.name),
        }
    }

    /// The name that pays for the caller's requests; `None` for the reserve. A
    /// client pays at every agent that its request passes through.
    pub(crate) fn payer(&self, is_health_check: bool) -> Option<Cow<'_, str>> {
        match &self.principal {
            Principal::Client(Client::Operator { .. })
            | Principal::Peer {
                on_behalf_of: OnBehalfOf::Agent | OnBehalfOf::Client(Client::Operator { .. }),
                ..
            } => None,
            Principal::Client(_) if is_health_check => None,
            Principal::Client(_) => Some(Cow::Borrowed(&self.name)),
            Principal::Peer {
                on_behalf_of: OnBehalfOf::Client(client),
                ..
            } => Some(Cow::Owned(client.to_string())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_operators_and_health_checks_have_the_reserve_and_clients_do_not() {
        let client = |name| Caller::client(name);
        let reserved = [
            (client("operator:a"), false),
            (Caller::agent(), false),
            (client("key:health-a"), true),
        ];
        for (caller, health) in reserved {
            let standing = caller.standing_of_connection(health);
            assert_eq!(standing, Standing::Reserved, "{}", caller.name);
            assert_eq!(caller.payer(health), None, "{}", caller.name);
        }
        let ci = client("key:ci");
        assert_eq!(ci.standing_of_connection(false), Standing::Caller("key:ci"));
        assert_eq!(ci.payer(false).as_deref(), Some("key:ci"));
    }

    #[test]
    fn a_client_behind_another_agent_pays_itself_on_the_agents_connection() {
        let behind = Principal::Peer {
            node_id: Some("n2".to_owned()),
            on_behalf_of: OnBehalfOf::Client("key:ci".parse().unwrap()),
        };
        let caller = Caller::new(behind, BodyBinding::Empty, false);
        assert_eq!(caller.standing_of_connection(false), Standing::Reserved);
        assert_eq!(caller.payer(false).as_deref(), Some("key:ci"));
    }
}
