//! Sends this node's own answers and refusals, and adds skep's headers to every
//! answer. Relayed and proxied answers of engines do not pass through here.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use pingora::Error;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use skep_filters::endpoint::Wire;
use skep_filters::policy::helper;
use skep_filters::policy::redact::redact;

use crate::exchange::Exchange;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::internal;
use crate::exchange::reject::{self, Reject};
use crate::exchange::version;
use crate::listen::server_headers::ServerHeaders;
use crate::upstream::error;

impl Context {
    /// Sends a complete answer, redacted as the caller's policy demands.
    ///
    /// # Errors
    /// If it cannot be redacted, or the client has disconnected.
    pub(crate) async fn answer(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        mut head: ResponseHeader,
        body: Bytes,
    ) -> Result<Next, Reject> {
        let body = redacted(x, &head, body)?;
        x.record().status = Some(head.status);
        x.exchange.record.bytes = body.len() as u64;
        let empty = head.status == StatusCode::NO_CONTENT;
        if !empty {
            head.insert_header(CONTENT_LENGTH, body.len())
                .map_err(internal)?;
        }
        self.stamp(x.exchange, &mut head);
        let gone = |e: Box<Error>| Reject::Client(error::explain(&e));
        session
            .write_response_header(Box::new(head), empty)
            .await
            .map_err(gone)?;
        if !empty {
            session
                .write_response_body(Some(body), true)
                .await
                .map_err(gone)?;
        }
        Ok(Next::Answered)
    }

    /// Sends a complete JSON document.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub(crate) async fn answer_json(
        &self,
        session: &mut Session,
        x: &mut Judged<'_>,
        body: Bytes,
    ) -> Result<Next, Reject> {
        let mut head = ResponseHeader::build(StatusCode::OK, Some(8)).map_err(internal)?;
        head.insert_header(CONTENT_TYPE, "application/json")
            .map_err(internal)?;
        self.answer(session, x, head, body).await
    }

    /// Sends the client to another path, in the words of engines.
    ///
    /// # Errors
    /// If the client has disconnected.
    pub(crate) async fn redirect(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        location: &str,
    ) -> Result<Next, Reject> {
        let status = StatusCode::MOVED_PERMANENTLY;
        let mut head = ResponseHeader::build(status, Some(8)).map_err(internal)?;
        head.insert_header(LOCATION, location).map_err(internal)?;
        head.insert_header(CONTENT_LENGTH, 0).map_err(internal)?;
        x.record.status = Some(status);
        self.stamp(x, &mut head);
        let written = session.write_response_header(Box::new(head), true).await;
        written.map_err(|e| Reject::Client(error::explain(&e)))?;
        Ok(Next::Answered)
    }

    /// The headers that this node adds to the answer of a request.
    pub(crate) fn server_headers(&self, x: &Exchange) -> ServerHeaders {
        let server_headers = ServerHeaders::new(self.cluster.label(), self.agent_headers);
        server_headers
            .with_request_id(x.id.as_header().clone())
            .with_api_versions(version::header_value(&x.answered_in))
            .for_http_1_0(x.is_http_1_0)
    }

    /// Adds [`Self::server_headers`] to an answer.
    pub(crate) fn stamp(&self, x: &Exchange, head: &mut ResponseHeader) {
        self.server_headers(x).apply(head);
    }

    /// Records a refusal and sends it, unless the connection was hijacked.
    ///
    /// # Errors
    /// If the connection fails.
    pub(crate) async fn refuse(
        &self,
        session: &mut Session,
        x: &mut Exchange,
        reject: &Reject,
    ) -> pingora::Result<()> {
        x.record.refused = Some(reject.reason());
        x.record.why = self.audited.then(|| reject.to_string());
        if x.hijacked {
            return Ok(());
        }
        let mut words = x.dialect.words(reject, x.inspected());
        if let Some(contact) = self.config.auth.contact.as_deref()
            && reject.is_about_rights()
        {
            words = words.with_contact(contact);
        }
        if !reject::begun(session) {
            x.record.status = Some(words.status);
        }
        tracing::debug!("{} {}: {reject}", x.method, x.path());
        words.send(session, &self.server_headers(x)).await
    }
}

/// The body without the containers and the values that the caller's policy redacts.
fn redacted(x: &Judged<'_>, head: &ResponseHeader, body: Bytes) -> Result<Bytes, Reject> {
    let hidden = x.hides_helpers().then(|| helper::hide(&body)).flatten();
    let body = hidden.map_or(body, Bytes::from);
    let redacts = x.redacts();
    if redacts.is_empty() || body.is_empty() {
        return Ok(body);
    }
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let json = kind.is_some_and(|kind| kind.starts_with(b"application/json"));
    let document = x
        .endpoint
        .is_some_and(|endpoint| endpoint.wire == Wire::Json);
    if !json && !document {
        return Ok(body);
    }
    Ok(match redact(&body, redacts)? {
        Some(redacted) => redacted.into(),
        None => body,
    })
}
