//! Sends a refusal to the caller.
//!
//! Every refusal is Docker's `{"message": …}` with exactly
//! `Content-Type: application/json`: the Go client prints any other type as
//! raw text. A dialect may choose other words.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde_json::{Value, json};

use super::{Reject, begun};
use crate::cluster::ask::MISSING_HEADER;
use crate::listen::server_headers::ServerHeaders;

/// The answer that refuses a request.
pub(crate) struct Words {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// The nodes that did not answer.
    missing: Option<HeaderValue>,
    /// The client has not proved its identity.
    unauthenticated: bool,
}

impl Words {
    /// The answer in Docker's form.
    pub(crate) fn of(reject: &Reject) -> Self {
        let body = match reject {
            // A client compares the time with its own clock.
            Reject::Auth(e) => json!({
                "message": e.public_message(),
                "reason": e.public_reason(),
                "time": crate::platform::clock::now().as_secs(),
            }),
            Reject::Refused {
                message, details, ..
            } => document(message, details),
            _ => json!({ "message": reject.to_string() }),
        };
        Self {
            status: reject.status(),
            body,
            missing: reject.missing().and_then(|m| HeaderValue::try_from(m).ok()),
            unauthenticated: reject.status() == StatusCode::UNAUTHORIZED
                || reject.reason().is_unauthenticated(),
        }
    }

    /// The same answer with another status, message and details.
    pub(crate) fn with(mut self, status: StatusCode, message: &str, details: &str) -> Self {
        self.status = status;
        self.body = document(message, details);
        self
    }

    /// The same answer, whose message ends with whom to ask.
    pub(crate) fn with_contact(mut self, contact: &str) -> Self {
        if let Some(message) = self.body["message"].as_str() {
            self.body["message"] = json!(format!("{message}; ask {contact}"));
        }
        self
    }

    /// Sends the refusal, or closes the connection if an answer has begun.
    ///
    /// # Errors
    /// If the connection fails.
    pub(crate) async fn send(
        &self,
        session: &mut Session,
        server_headers: &ServerHeaders,
    ) -> pingora::Result<()> {
        if begun(session) {
            // Closed at once, before Pingora sends the last chunk: half an answer
            // must not look like a complete one.
            session.set_keepalive(None);
            session.shutdown().await;
            return Ok(());
        }
        // The rest of a refused request's body is not read.
        if !session.is_body_done() {
            session.set_keepalive(None);
        }
        let body = Bytes::from(format!("{}\n", self.body));
        let mut head = ResponseHeader::build(self.status, Some(8))?;
        head.insert_header(CONTENT_TYPE, "application/json")?;
        head.insert_header(CONTENT_LENGTH, body.len())?;
        head.insert_header(CACHE_CONTROL, "no-store")?;
        if let Some(missing) = &self.missing {
            head.insert_header(MISSING_HEADER, missing.clone())?;
        }
        if self.status == StatusCode::UNAUTHORIZED {
            head.insert_header(WWW_AUTHENTICATE, "Signature")?;
        }
        if self.unauthenticated {
            // The answer does not name the node.
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

/// The JSON document of an error; without `details` if they are empty.
fn document(message: &str, details: &str) -> Value {
    match details {
        "" => json!({ "message": message }),
        details => json!({ "message": message, "details": details }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

    #[test]
    fn a_refusal_before_authentication_does_not_name_the_node() {
        let refused = |reason| Reject::refused(StatusCode::FORBIDDEN, reason, "no");
        let node = Reject::Node {
            node: "n2".to_owned(),
            reason: "refused".to_owned(),
        };
        for (reject, unauthenticated) in [
            (refused(Reason::Signature("portainer-missing")), true),
            (Reject::NotAnAgent, true),
            (refused(Reason::CertificateUnknown), true),
            (node, false),
        ] {
            let words = Words::of(&reject);
            assert_eq!(words.unauthenticated, unauthenticated, "{reject}");
        }
    }

    #[test]
    fn a_refusal_of_rights_ends_with_whom_to_ask_and_no_other_names_anybody() {
        let denied = Reject::Denied {
            who: "key:ci".to_owned(),
            policy: "p".to_owned(),
            rule: "may".to_owned(),
            reason: "no".to_owned(),
        };
        let words = Words::of(&denied).with_contact("ops@example.com");
        let message = words.body["message"].as_str().unwrap();
        assert!(
            message.ends_with("(may): no; ask ops@example.com"),
            "{message}"
        );
        for (reject, expected) in [
            (denied, true),
            (Reject::TooMany("5 a second".to_owned()), true),
            (Reject::OutOfScope("a".to_owned()), true),
            // It must not differ from an object that is not there.
            (Reject::NoSuch("No such container: a".to_owned()), false),
            (Reject::NotAnAgent, false),
            (Reject::Internal("a".to_owned()), false),
        ] {
            assert_eq!(reject.is_about_rights(), expected, "{reject}");
        }
    }

    #[test]
    fn a_refusal_has_details_unless_they_are_empty() {
        let target = Reject::refused(StatusCode::BAD_REQUEST, Reason::Target, "no such node");
        let words = Words::of(&target);
        assert_eq!(words.status, StatusCode::BAD_REQUEST);
        assert_eq!(words.body, json!({ "message": "no such node" }));
        let words = words.with(StatusCode::CONFLICT, "no", "n9 is unknown");
        assert_eq!(words.status, StatusCode::CONFLICT);
        assert_eq!(
            words.body,
            json!({ "message": "no", "details": "n9 is unknown" })
        );
    }
}
