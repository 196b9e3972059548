//! Defines the authenticated caller and its text form.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderMap;

use super::base::single;
use super::error::AuthError;
use super::key::{Key, KeyKind};
use super::profile::SKEP_ON_BEHALF_OF;

/// A client of the cluster. Its text form is for logs, for limits, and for
/// `Skep-On-Behalf-Of`; it reads back as the same client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Client {
    /// A client that signs with a configured key.
    Key {
        /// The key's id.
        id: Arc<str>,
    },
    /// A holder of the cluster secret.
    Operator {
        /// The fingerprint of that secret. It distinguishes the old secret from
        /// the new one while the secret is being replaced.
        generation: Arc<str>,
    },
    /// A Portainer server.
    Portainer {
        /// The fingerprint of its key.
        key: Arc<str>,
    },
    /// A client that shows a certificate.
    Certificate {
        /// The name in the certificate.
        name: Arc<str>,
    },
    /// A client at a socket on the machine of the agent.
    Local {
        /// The name of the user who has connected.
        name: Arc<str>,
    },
}

/// The party for which an agent sends a request to another agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OnBehalfOf {
    /// The agent itself.
    Agent,
    /// A client that has called the agent.
    Client(Client),
}

/// An authenticated caller. Its text form is for logs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Principal {
    /// A client that calls this agent.
    Client(Client),
    /// Another agent of the cluster.
    Peer {
        /// Its node id, if its certificate has one.
        node_id: Option<String>,
        /// The party for which it asks.
        on_behalf_of: OnBehalfOf,
    },
}

/// The prefix of the fingerprint in the id of an operator's key.
const OPERATOR_PREFIX: &str = "operator-";

/// The longest `Skep-On-Behalf-Of`, in bytes.
const MAX_ON_BEHALF_OF: usize = 256;

const ONLY_AGENTS: AuthError = AuthError::Malformed("only agents may send Skep-On-Behalf-Of");

const UNKNOWN_CLIENT: AuthError =
    AuthError::Malformed("Skep-On-Behalf-Of names no kind of client that this agent knows");

impl Client {
    /// Whether no signature covers the bodies of the client: only the connection
    /// protects them.
    #[must_use]
    pub fn body_unsigned(&self) -> bool {
        match self {
            Self::Portainer { .. } | Self::Certificate { .. } | Self::Local { .. } => true,
            Self::Key { .. } | Self::Operator { .. } => false,
        }
    }

    /// The client with a certificate of this name.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if it sends a `Skep-On-Behalf-Of`.
    pub fn certificate(name: &str, headers: &HeaderMap) -> Result<Self, AuthError> {
        identified_by_connection(headers, || Self::Certificate { name: name.into() })
    }

    /// The Portainer server whose key has this fingerprint.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if it sends a `Skep-On-Behalf-Of`.
    pub fn portainer(key: &str, headers: &HeaderMap) -> Result<Self, AuthError> {
        identified_by_connection(headers, || Self::Portainer { key: key.into() })
    }

    /// The client of this name at a socket on the machine of the agent.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if it sends a `Skep-On-Behalf-Of`.
    pub fn local(name: &str, headers: &HeaderMap) -> Result<Self, AuthError> {
        identified_by_connection(headers, || Self::Local { name: name.into() })
    }
}

impl Principal {
    /// The client that waits for the answer, at this agent or at another one;
    /// `None` if another agent asks for itself.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match self {
            Self::Client(client)
            | Self::Peer {
                on_behalf_of: OnBehalfOf::Client(client),
                ..
            } => Some(client),
            Self::Peer {
                on_behalf_of: OnBehalfOf::Agent,
                ..
            } => None,
        }
    }

    /// The node of the agent that is calling, if its certificate names one.
    #[must_use]
    pub fn peer_node(&self) -> Option<&str> {
        match self {
            Self::Peer { node_id, .. } => node_id.as_deref(),
            Self::Client(_) => None,
        }
    }

    /// Whether another agent is calling.
    #[must_use]
    pub fn is_peer(&self) -> bool {
        matches!(self, Self::Peer { .. })
    }

    /// Whether no signature covers the bodies of the caller.
    #[must_use]
    pub fn body_unsigned(&self) -> bool {
        match self {
            Self::Client(client) => client.body_unsigned(),
            Self::Peer { .. } => false,
        }
    }

    /// The principal of a request that `key` has signed. `node_id` is that of the
    /// certificate of the connection, if there is one.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] for a `Skep-On-Behalf-Of` from anyone but an agent,
    /// or one that is too long, not printable ASCII, or not a client's text form.
    pub fn of(key: &Key, headers: &HeaderMap, node_id: Option<String>) -> Result<Self, AuthError> {
        let on_behalf_of = on_behalf_of(headers)?;
        match (key.kind(), on_behalf_of) {
            (KeyKind::Agent, on_behalf_of) => Ok(Self::Peer {
                node_id,
                on_behalf_of,
            }),
            (KeyKind::FormerOperator, _) => Err(AuthError::FormerOperator),
            (KeyKind::Client | KeyKind::Operator, OnBehalfOf::Client(_)) => Err(ONLY_AGENTS),
            (KeyKind::Client, OnBehalfOf::Agent) => Ok(Self::Client(Client::Key {
                id: Arc::clone(key.id()),
            })),
            (KeyKind::Operator, OnBehalfOf::Agent) => Ok(Self::Client(Client::Operator {
                generation: key
                    .id()
                    .strip_prefix(OPERATOR_PREFIX)
                    .unwrap_or(key.id())
                    .into(),
            })),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id } => write!(f, "key:{id}"),
            Self::Operator { generation } => write!(f, "operator:{generation}"),
            Self::Portainer { key } => write!(f, "portainer:{key}"),
            Self::Certificate { name } => write!(f, "cert:{name}"),
            Self::Local { name } => write!(f, "local:{name}"),
        }
    }
}

impl FromStr for Client {
    type Err = AuthError;

    fn from_str(text: &str) -> Result<Self, AuthError> {
        let (kind, rest) = text.split_once(':').ok_or(UNKNOWN_CLIENT)?;
        Ok(match kind {
            "key" => Self::Key { id: rest.into() },
            "operator" => Self::Operator {
                generation: rest.into(),
            },
            "portainer" => Self::Portainer { key: rest.into() },
            "cert" => Self::Certificate { name: rest.into() },
            "local" => Self::Local { name: rest.into() },
            _ => return Err(UNKNOWN_CLIENT),
        })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client) => client.fmt(f),
            Self::Peer {
                node_id,
                on_behalf_of,
            } => {
                write!(f, "peer:{}", node_id.as_deref().unwrap_or("?"))?;
                match on_behalf_of {
                    OnBehalfOf::Client(client) => write!(f, " for {client}"),
                    OnBehalfOf::Agent => Ok(()),
                }
            }
        }
    }
}

/// A client that its connection identifies; it may ask for itself only.
fn identified_by_connection(
    headers: &HeaderMap,
    client: impl FnOnce() -> Client,
) -> Result<Client, AuthError> {
    if headers.contains_key(SKEP_ON_BEHALF_OF) {
        return Err(ONLY_AGENTS);
    }
    Ok(client())
}

fn on_behalf_of(headers: &HeaderMap) -> Result<OnBehalfOf, AuthError> {
    let Some(value) = single(headers, &SKEP_ON_BEHALF_OF)? else {
        return Ok(OnBehalfOf::Agent);
    };
    match value.to_str() {
        // `to_str` leaves visible ASCII, spaces and tabs.
        Ok(text) if (1..=MAX_ON_BEHALF_OF).contains(&text.len()) && !text.contains('\t') => {
            Ok(OnBehalfOf::Client(text.parse()?))
        }
        _ => Err(AuthError::Malformed(
            "Skep-On-Behalf-Of must be 1 to 256 printable characters",
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn principal(id: &str, kind: KeyKind, on_behalf_of: Option<&str>) -> Result<String, AuthError> {
        let key = Key::hmac(id, &[7; 32]).unwrap().with_kind(kind);
        let mut headers = HeaderMap::new();
        if let Some(value) = on_behalf_of {
            headers.insert(SKEP_ON_BEHALF_OF, HeaderValue::from_str(value).unwrap());
        }
        Principal::of(&key, &headers, Some("n1".to_owned())).map(|principal| principal.to_string())
    }

    #[test]
    fn the_kind_of_the_key_decides_and_not_its_id() {
        for (id, kind, shown) in [
            ("ci", KeyKind::Client, "key:ci"),
            (
                "operator-05cff52c",
                KeyKind::Client,
                "key:operator-05cff52c",
            ),
            ("operator-05cff52c", KeyKind::Operator, "operator:05cff52c"),
            ("agent-05cff52c", KeyKind::Agent, "peer:n1"),
        ] {
            assert_eq!(principal(id, kind, None).unwrap(), shown);
        }
    }

    #[test]
    fn only_an_agent_asks_on_behalf_of_others() {
        let shown = principal("agent-05cff52c", KeyKind::Agent, Some("key:ci")).unwrap();
        assert_eq!(shown, "peer:n1 for key:ci");
        for kind in [KeyKind::Client, KeyKind::Operator] {
            let refused = principal("ci", kind, Some("key:root")).unwrap_err();
            assert_eq!(refused.reason(), "malformed");
        }
    }

    #[test]
    fn the_text_form_of_a_client_reads_back_as_the_same_client() {
        for text in [
            "key:ci",
            "operator:05cff52c",
            "portainer:05cff52c",
            "cert:alice",
            "local:alice",
        ] {
            let client: Client = text.parse().unwrap();
            assert_eq!(client.to_string(), text);
            let peer = Principal::Peer {
                node_id: None,
                on_behalf_of: OnBehalfOf::Client(client.clone()),
            };
            assert_eq!(peer.client(), Some(&client));
            assert_eq!(Principal::Client(client.clone()).client(), Some(&client));
        }
        for text in ["ci", "peer:n1", "peer:n1 for key:ci", "Key:ci", ""] {
            assert!(text.parse::<Client>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_client_identified_by_its_connection_asks_for_itself_only() {
        for (made, shown) in [
            (
                Client::certificate as fn(&str, &HeaderMap) -> _,
                "cert:alice",
            ),
            (Client::portainer, "portainer:alice"),
            (Client::local, "local:alice"),
        ] {
            let mut headers = HeaderMap::new();
            let alice: Client = made("alice", &headers).unwrap();
            assert_eq!(alice.to_string(), shown);
            assert!(alice.body_unsigned());
            headers.insert(SKEP_ON_BEHALF_OF, HeaderValue::from_static("key:root"));
            let refused: AuthError = made("alice", &headers).unwrap_err();
            assert_eq!(refused.reason(), "malformed");
        }
    }

    #[test]
    fn a_name_with_control_characters_or_of_no_client_is_refused() {
        for name in ["", "key:a\tb", &format!("key:{}", "x".repeat(253)), "root"] {
            assert!(
                principal("agent-1", KeyKind::Agent, Some(name)).is_err(),
                "{name:?}"
            );
        }
    }
}
