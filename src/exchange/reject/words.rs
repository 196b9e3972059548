//! How a caller is told why it is refused.
//!
//! Every refusal is Docker's `{"message": …}` with exactly
//! `Content-Type: application/json`: the Go client prints any other type as
//! raw text. Portainer servers are told in their own agent's words where they
//! look for these, with the reason beside them in `details`.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde_json::{Value, json};

use super::{Reason, Reject, begun};
use crate::listen::server_headers::ServerHeaders;

/// A refusal as its caller reads it.
pub(crate) struct Words {
    /// The status.
    pub(crate) status: StatusCode,
    body: Value,
    /// The caller has not proved who it is.
    stranger: bool,
}

impl Words {
    /// In Docker's form.
    pub(crate) fn of(reject: &Reject) -> Self {
        let body = match reject {
            // The time lets a client with a wrong clock see that it is so.
            Reject::Auth(e) => json!({
                "message": e.public_message(),
                "reason": e.public_reason(),
                "time": crate::platform::clock::now().as_secs(),
            }),
            Reject::Portainer(e) => both(&e.to_string(), e.details()),
            Reject::Agent {
                message, details, ..
            } => both(message, details),
            _ => json!({ "message": reject.to_string() }),
        };
        Self {
            status: reject.status(),
            body,
            stranger: reject.status() == StatusCode::UNAUTHORIZED
                || reject.reason().is_unauthenticated(),
        }
    }

    /// For a Portainer server. `inspected` is the container it asks about, where
    /// that is all it asks: a server that takes stock goes on to the next one if
    /// this one is gone, and gives up for any other reason (portainer#7937).
    pub(crate) fn to_portainer(reject: &Reject, inspected: Option<&str>) -> Self {
        let why = reject.to_string();
        if let (Some(name), true) = (inspected, reject.status().is_server_error()) {
            let gone = format!("No such container: {name}");
            return Self {
                body: match why.contains(&gone) {
                    true => json!({ "message": why }),
                    false => json!({ "message": format!("{gone} ({why})") }),
                },
                ..Self::of(reject)
            };
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
            _ => return Self::of(reject),
        };
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: both(message, &format!("{details}: {why}")),
            stranger: false,
        }
    }

    /// Sends the refusal, unless an answer is on its way already.
    ///
    /// # Errors
    /// As the connection fails.
    pub(crate) async fn send(
        &self,
        session: &mut Session,
        server_headers: &ServerHeaders,
    ) -> pingora::Result<()> {
        if begun(session) {
            // Half an answer must not look like a whole one: closed now, so
            // that the framework's last chunk cannot leave any more.
            session.set_keepalive(None);
            session.shutdown().await;
            return Ok(());
        }
        // What is left of the body is not worth reading for a refused caller.
        if !session.is_body_done() {
            session.set_keepalive(None);
        }
        let body = Bytes::from(format!("{}\n", self.body));
        let mut head = ResponseHeader::build(self.status, Some(8))?;
        head.insert_header(CONTENT_TYPE, "application/json")?;
        head.insert_header(CONTENT_LENGTH, body.len())?;
        head.insert_header(CACHE_CONTROL, "no-store")?;
        if self.status == StatusCode::UNAUTHORIZED {
            head.insert_header(WWW_AUTHENTICATE, "Signature")?;
        }
        if self.stranger {
            // It is not told which node this is.
            server_headers.clone().anonymous().apply(&mut head);
        } else {
            server_headers.apply(&mut head);
        }
        let only_head = session.req_header().method == http::Method::HEAD;
        session
            .write_response_header(Box::new(head), only_head)
            .await?;
        if !only_head {
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }
}

/// Portainer's form of an error.
fn both(message: &str, details: &str) -> Value {
    match details {
        "" => json!({ "message": message }),
        details => json!({ "message": message, "details": details }),
    }
}

#[cfg(test)]
mod tests {
    use skep_filters::auth::portainer::PortainerError;

    use super::*;

    fn refused(reason: Reason, status: StatusCode) -> Reject {
        Reject::Refused {
            status,
            reason,
            message: "no".to_owned(),
        }
    }

    fn node() -> Reject {
        Reject::Node {
            node: "n2".to_owned(),
            reason: "refused".to_owned(),
        }
    }

    #[test]
    fn a_server_that_takes_stock_hears_that_the_container_of_a_lost_node_is_gone() {
        let words = Words::to_portainer(&node(), Some("abc"));
        assert_eq!(
            words.body["message"],
            "No such container: abc (node n2 does not answer: refused)"
        );
        assert_eq!(words.status, StatusCode::SERVICE_UNAVAILABLE);
        let said = Reject::NotFound {
            what: "No such container: abc".to_owned(),
            missing: "n2".to_owned(),
        };
        let words = Words::to_portainer(&said, Some("abc"));
        let said = said.to_string();
        assert_eq!(words.body["message"], said.as_str());
        let words = Words::to_portainer(&node(), None);
        assert!(!words.body.to_string().contains("No such container"));
    }

    #[test]
    fn portainer_is_told_in_its_agent_s_words_and_others_in_docker_s() {
        let target = refused(Reason::Target, StatusCode::BAD_REQUEST);
        let words = Words::to_portainer(&target, None);
        assert_eq!(words.status, StatusCode::INTERNAL_SERVER_ERROR);
        let details = words.body["details"].as_str().unwrap();
        assert!(details.starts_with("Unable to find the targeted agent: "));
        let words = Words::of(&target);
        assert_eq!(words.status, StatusCode::BAD_REQUEST);
        assert!(words.body.get("details").is_none());
    }

    #[test]
    fn who_did_not_prove_itself_is_a_stranger() {
        for (reject, stranger) in [
            (Reject::Portainer(PortainerError::Missing), true),
            (Reject::NotAnAgent, true),
            (
                refused(Reason::CertificateUnknown, StatusCode::FORBIDDEN),
                true,
            ),
            (node(), false),
        ] {
            assert_eq!(Words::of(&reject).stranger, stranger, "{reject}");
        }
    }
}
