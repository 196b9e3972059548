//! The authenticated caller.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

use super::base::single;
use super::error::AuthError;
use super::key::{Key, KeyKind};
use super::profile::SKEP_ON_BEHALF_OF;

/// An authenticated caller. Its text form is for logs, and for `Skep-On-Behalf-Of`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Principal {
    /// A client, by the id of its key.
    Key {
        /// The key's id.
        id: Arc<str>,
    },
    /// A holder of the cluster secret.
    Operator {
        /// The fingerprint of that secret. It distinguishes the old secret from
        /// the new one while the secret is being replaced.
        generation: String,
    },
    /// A Portainer server.
    Portainer {
        /// The fingerprint of its key.
        key: String,
    },
    /// A client, by the certificate of its connection.
    Certificate {
        /// The name in the certificate.
        name: Arc<str>,
    },
    /// A client at a socket on the machine of the agent.
    Local {
        /// The name of the user who has connected.
        name: Arc<str>,
    },
    /// Another agent of the cluster.
    Peer {
        /// Its node id, if its certificate has one.
        node_id: Option<String>,
        /// The principal for which it asks, in text form; `None` if it asks for itself.
        on_behalf_of: Option<String>,
    },
}

/// The prefix of the fingerprint of a server's key, in text form.
const PORTAINER_PREFIX: &str = "portainer:";

/// The prefix of the fingerprint in the id of an operator's key.
const OPERATOR_PREFIX: &str = "operator-";

/// The longest `Skep-On-Behalf-Of`, in bytes.
const MAX_ON_BEHALF_OF: usize = 256;

const ONLY_AGENTS: AuthError = AuthError::Malformed("only agents may send Skep-On-Behalf-Of");

impl Principal {
    /// Whether another agent asks for itself, not for a caller.
    #[must_use]
    pub fn is_agent_itself(&self) -> bool {
        matches!(
            self,
            Self::Peer {
                on_behalf_of: None,
                ..
            }
        )
    }

    /// Whether the caller is a Portainer server, directly or through another
    /// agent: it expects answers like those of Portainer's agent.
    #[must_use]
    pub fn is_portainer(&self) -> bool {
        match self {
            Self::Portainer { .. } => true,
            Self::Peer { on_behalf_of, .. } => on_behalf_of
                .as_ref()
                .is_some_and(|name| name.starts_with(PORTAINER_PREFIX)),
            Self::Key { .. }
            | Self::Operator { .. }
            | Self::Certificate { .. }
            | Self::Local { .. } => false,
        }
    }

    /// Whether no signature covers the bodies of the caller: only the connection
    /// protects them.
    #[must_use]
    pub fn body_unsigned(&self) -> bool {
        match self {
            Self::Portainer { .. } | Self::Certificate { .. } | Self::Local { .. } => true,
            Self::Key { .. } | Self::Operator { .. } | Self::Peer { .. } => false,
        }
    }

    /// The client with a certificate of this name.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if it sends a `Skep-On-Behalf-Of`.
    pub fn certificate(name: &str, headers: &HeaderMap) -> Result<Self, AuthError> {
        match headers.contains_key(SKEP_ON_BEHALF_OF) {
            true => Err(ONLY_AGENTS),
            false => Ok(Self::Certificate { name: name.into() }),
        }
    }

    /// The Portainer server whose key has this fingerprint.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if it sends a `Skep-On-Behalf-Of`.
    pub fn portainer(key: String, headers: &HeaderMap) -> Result<Self, AuthError> {
        match headers.contains_key(SKEP_ON_BEHALF_OF) {
            true => Err(ONLY_AGENTS),
            false => Ok(Self::Portainer { key }),
        }
    }

    /// The client of this name at a socket on the machine of the agent.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if it sends a `Skep-On-Behalf-Of`.
    pub fn local(name: &str, headers: &HeaderMap) -> Result<Self, AuthError> {
        match headers.contains_key(SKEP_ON_BEHALF_OF) {
            true => Err(ONLY_AGENTS),
            false => Ok(Self::Local { name: name.into() }),
        }
    }

    /// The principal of a request that `key` has signed. `node_id` is that of the
    /// certificate of the connection, if there is one.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] for a `Skep-On-Behalf-Of` from anyone but an agent,
    /// or one that is empty, too long or not printable ASCII.
    pub fn of(key: &Key, headers: &HeaderMap, node_id: Option<String>) -> Result<Self, AuthError> {
        let on_behalf_of = on_behalf_of(headers)?;
        match key.kind() {
            KeyKind::Agent => Ok(Self::Peer {
                node_id,
                on_behalf_of,
            }),
            KeyKind::Client | KeyKind::Operator if on_behalf_of.is_some() => Err(ONLY_AGENTS),
            KeyKind::Client => Ok(Self::Key {
                id: Arc::clone(key.id()),
            }),
            KeyKind::Operator => Ok(Self::Operator {
                generation: key
                    .id()
                    .strip_prefix(OPERATOR_PREFIX)
                    .unwrap_or(key.id())
                    .to_owned(),
            }),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id } => write!(f, "key:{id}"),
            Self::Operator { generation } => write!(f, "operator:{generation}"),
            Self::Portainer { key } => write!(f, "{PORTAINER_PREFIX}{key}"),
            Self::Certificate { name } => write!(f, "cert:{name}"),
            Self::Local { name } => write!(f, "local:{name}"),
            Self::Peer {
                node_id,
                on_behalf_of,
            } => {
                write!(f, "peer:{}", node_id.as_deref().unwrap_or("?"))?;
                match on_behalf_of {
                    Some(principal) => write!(f, " for {principal}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn on_behalf_of(headers: &HeaderMap) -> Result<Option<String>, AuthError> {
    let Some(value) = single(headers, &SKEP_ON_BEHALF_OF)? else {
        return Ok(None);
    };
    match value.to_str() {
        // `to_str` leaves visible ASCII, spaces and tabs.
        Ok(text) if (1..=MAX_ON_BEHALF_OF).contains(&text.len()) && !text.contains('\t') => {
            Ok(Some(text.to_owned()))
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
    fn a_portainer_server_is_recognised_also_behind_an_agent() {
        let mut headers = HeaderMap::new();
        let server = Principal::portainer("05cff52c".to_owned(), &headers).unwrap();
        assert_eq!(server.to_string(), "portainer:05cff52c");
        let behind = |name: &str| Principal::Peer {
            node_id: None,
            on_behalf_of: Some(name.to_owned()),
        };
        assert!(server.is_portainer() && behind("portainer:05cff52c").is_portainer());
        assert!(!behind("key:portainer").is_portainer());
        headers.insert(SKEP_ON_BEHALF_OF, HeaderValue::from_static("key:root"));
        assert!(Principal::portainer("05cff52c".to_owned(), &headers).is_err());
    }

    #[test]
    fn a_caller_known_by_its_connection_has_a_name_and_asks_for_itself_only() {
        for (made, shown) in [
            (
                Principal::certificate as fn(&str, &HeaderMap) -> _,
                "cert:alice",
            ),
            (Principal::local, "local:alice"),
        ] {
            let mut headers = HeaderMap::new();
            let alice: Principal = made("alice", &headers).unwrap();
            assert_eq!(alice.to_string(), shown);
            assert!(alice.body_unsigned() && !alice.is_agent_itself() && !alice.is_portainer());
            headers.insert(SKEP_ON_BEHALF_OF, HeaderValue::from_static("key:root"));
            let refused: AuthError = made("alice", &headers).unwrap_err();
            assert_eq!(refused.reason(), "malformed");
        }
    }

    #[test]
    fn a_name_that_would_spoil_a_log_line_is_refused() {
        for name in ["", "a\tb", &"x".repeat(257)] {
            assert!(
                principal("agent-1", KeyKind::Agent, Some(name)).is_err(),
                "{name:?}"
            );
        }
    }
}
