//! Implements the dialect of a Portainer server, and reads its headers that choose
//! a node.

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::exchange::dialect::Dialect;
use crate::exchange::hint::{Hint, Malformed, header};
use crate::exchange::reject::{Reason, Reject, Words};
use crate::listen::server_headers::AgentHeaders;

/// The version that Portainer shows for this agent. Its UI reports an agent as
/// outdated if this version is older than the server's, so it is that of the newest
/// supported server.
pub(crate) const VERSION: &str = "2.45.0";

/// A server recognises an agent by the first; the second makes its UI use the `/v2`
/// routes; the third means Docker, with or without a Swarm.
static HEADERS: [(&str, HeaderValue); 3] = [
    ("Portainer-Agent", HeaderValue::from_static(VERSION)),
    ("Portainer-Agent-API-Version", HeaderValue::from_static("2")),
    ("Portainer-Agent-Platform", HeaderValue::from_static("1")),
];

/// Names a node by its hostname; empty for none.
const TARGET: &str = "x-portaineragent-target";

/// Asks for a manager, with any value but an empty one.
const MANAGER: &str = "x-portaineragent-manageroperation";

/// The headers of every answer if Portainer servers may call.
pub(crate) fn headers() -> AgentHeaders {
    &HEADERS
}

/// The node or manager that Portainer's headers ask for. Any client may send them.
///
/// # Errors
/// If one of them occurs twice, or is not text.
pub(crate) fn hint(headers: &HeaderMap) -> Result<Hint, Malformed> {
    Ok(Hint {
        node: header(headers, TARGET)?,
        manager: header(headers, MANAGER)?.is_some(),
    })
}

/// The dialect of a Portainer server.
pub(crate) struct Server;

impl Dialect for Server {
    /// Uses the messages of Portainer's agent where servers compare them, with the
    /// reason in `details`. A server that takes a snapshot skips a container that does
    /// not exist, and aborts for any other reason (portainer#7937).
    fn words(&self, reject: &Reject, inspected: Option<&str>) -> Words {
        let (words, why) = (Words::of(reject), reject.to_string());
        if let (Some(name), true) = (inspected, words.status.is_server_error()) {
            let gone = format!("No such container: {name}");
            let message = if why.contains(&gone) {
                why
            } else {
                format!("{gone} ({why})")
            };
            let status = words.status;
            return words.with(status, &message, "");
        }
        let (message, details) = match reject {
            Reject::Refused {
                reason: Reason::Target,
                ..
            } => (
                "The agent was unable to contact any other agent",
                "Unable to find the targeted agent",
            ),
            Reject::NoManager { .. } => (
                "The agent was unable to contact any other agent located on a manager node",
                "Unable to find an agent on any manager node",
            ),
            Reject::Engine { .. } => (
                "Unable to proxy the request via the Docker socket",
                "The engine does not answer",
            ),
            _ => return words,
        };
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        words.with(status, message, &format!("{details}: {why}"))
    }

    /// Portainer's UI uses API versions that newer engines no longer serve; its own
    /// agent removes the version.
    fn translates_versions(&self) -> bool {
        true
    }

    /// Its UI sends an action for an image to the node that the row names.
    fn lists_images_by_node(&self) -> bool {
        true
    }

    /// Its UI shows binary frames as `[object Blob]`.
    fn takes_binary_frames(&self) -> bool {
        false
    }

    /// A server that gets no answer for one container drops the whole snapshot
    /// (portainer#7937).
    fn needs_an_answer(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Reject {
        Reject::Node {
            node: "n2".to_owned(),
            reason: "refused".to_owned(),
        }
    }

    #[test]
    fn a_snapshot_continues_when_the_node_of_a_container_is_lost() {
        let words = Server.words(&node(), Some("abc"));
        assert_eq!(
            words.body["message"],
            "No such container: abc (node n2 does not answer: refused)"
        );
        assert_eq!(words.status, StatusCode::SERVICE_UNAVAILABLE);
        let not_found = Reject::OnMissingNode {
            what: "No such container: abc".to_owned(),
            missing: "n2".to_owned(),
        };
        let words = Server.words(&not_found, Some("abc"));
        let message = not_found.to_string();
        assert_eq!(words.body["message"], message.as_str());
        let words = Server.words(&node(), None);
        assert!(!words.body.to_string().contains("No such container"));
    }

    #[test]
    fn a_server_gets_the_messages_of_its_own_agent() {
        let target = Reject::refused(StatusCode::BAD_REQUEST, Reason::Target, "no");
        let words = Server.words(&target, None);
        assert_eq!(words.status, StatusCode::INTERNAL_SERVER_ERROR);
        let details = words.body["details"].as_str().unwrap();
        assert!(details.starts_with("Unable to find the targeted agent: "));
    }

    #[test]
    fn its_headers_name_a_node_or_ask_for_a_manager() {
        let mut headers = HeaderMap::new();
        assert_eq!(hint(&headers).unwrap(), Hint::default());
        headers.insert(TARGET, HeaderValue::from_static(" n2 "));
        headers.insert(MANAGER, HeaderValue::from_static("0"));
        let wanted = Hint {
            node: Some("n2".to_owned()),
            manager: true,
        };
        assert_eq!(hint(&headers).unwrap(), wanted);
        headers.append(TARGET, HeaderValue::from_static("n3"));
        assert!(hint(&headers).is_err());
    }
}
