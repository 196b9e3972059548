//! Implements Pingora's hooks, which call the pipeline in `gateway.rs`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Version;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tracing::Instrument;

use crate::exchange::early;
use crate::exchange::reject::{self, Reject};
use crate::exchange::{Exchange, Next, Retry, Upstream};
use crate::forward;
use crate::gateway::Gateway;
use crate::listen::downstream::Downstream;
use crate::listen::visitor::Visitor;
use crate::telemetry;
use crate::upstream::error;
use crate::upstream::headers;

/// Seconds that a connection may idle between two requests. Pingora's default
/// is for ever, also with half a request sent (pingora#447).
const KEEPALIVE: u64 = 75;

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new()
    }

    async fn early_request_filter(&self, session: &mut Session, x: &mut Exchange) -> Result<()> {
        Downstream::set_request_in_progress(session.stream(), true);
        x.is_http_1_0 = session.req_header().version == Version::HTTP_10;
        // Keep-alive stays off where the framing forbids another request (RFC 9112
        // §6.1), and for HTTP/1.0, which has no chunks.
        if x.is_http_1_0 {
            session.set_keepalive(None);
        }
        if session.get_keepalive().is_some() {
            let more = !Downstream::is_draining(session.stream());
            session.set_keepalive(more.then_some(KEEPALIVE));
        }
        x.from = match Visitor::of(session) {
            Some(visitor) => visitor.label(),
            None => session
                .client_addr()
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        x.method = session.req_header().method.clone();
        x.target = session.req_header().uri.clone();
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, x: &mut Exchange) -> Result<bool> {
        let span = tracing::debug_span!("request", request_id = x.id.as_str());
        match self.handle(session, x).instrument(span).await {
            Ok(Next::Proxy(_)) => Ok(false),
            Ok(Next::Answered) => Ok(true),
            Err(reject) => {
                Box::pin(refuse(self, session, x, &reject)).await;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _: &mut Session, x: &mut Exchange) -> Result<Box<HttpPeer>> {
        let proxied = x.proxied.as_mut().ok_or_else(not_routed)?;
        if proxied.upstream.retry == Retry::AnotherManager && proxied.failures > 0 {
            let manager = self
                .context
                .manager()
                .map_err(|e| Error::because(ErrorType::ConnectError, "no manager", e))?;
            self.context
                .reaches(&proxied.permission, &manager)
                .map_err(|e| Error::because(ErrorType::HTTPStatus(403), "another manager", e))?;
            proxied.upstream.hop = manager;
        }
        let hop = &proxied.upstream.hop;
        x.record.to = hop.label();
        self.context.cluster.freshen(hop).await;
        Ok(Box::new(
            hop.peer(&self.context.engine, &self.context.peers)
                .await
                .map_err(|e| e.into_up())?,
        ))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        head: &mut RequestHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        let proxied = x.proxied.as_ref().ok_or_else(not_routed)?;
        proxied.upstream.hop.prepare(
            head,
            &self.context.peers,
            &proxied.permission.called.on_behalf_of,
            x.id.as_header(),
            proxied.binding,
        )
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        x: &mut Exchange,
        mut e: Box<Error>,
    ) -> Box<Error> {
        let Some(proxied) = &mut x.proxied else {
            return e;
        };
        proxied.failures += 1;
        let Upstream { hop, retry } = &proxied.upstream;
        let span = tracing::debug_span!("hop", request_id = x.id.as_str(), to = &*x.record.to);
        span.in_scope(|| hop.failed(&self.context.cluster, &e, &error::explain(&e)));
        // Nothing was sent yet, so another manager may answer.
        e.set_retry(*retry == Retry::AnotherManager && proxied.failures < 3);
        e
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        headers::refuse_misdirected(head).map_err(|e| e.into_up())?;
        if !head.status.is_informational() {
            x.record.status = Some(head.status);
            self.context.server_headers(x).apply(head);
        }
        early::has_begun(session, head);
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        _: &mut Option<Bytes>,
        last: bool,
        _: &mut Exchange,
    ) -> Result<Option<Duration>> {
        if last {
            early::has_ended(session);
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &Error,
        x: &mut Exchange,
    ) -> FailToProxy {
        if let Some(outcome) = early::outcome(session) {
            return outcome;
        }
        let reject = match (e.root_cause().downcast_ref::<Reject>(), &x.proxied) {
            (Some(reject), _) => reject.clone(),
            (None, Some(proxied)) => {
                let reject = self.context.failed(&proxied.upstream.hop, e);
                let sent = *e.esource() == ErrorSource::Upstream && !error::was_not_reached(e);
                forward::unanswered(reject, session.req_header(), sent)
            }
            (None, None) => reject::of_proxy(e, Reject::Internal),
        };
        // Pingora closes the connection after a failure; the answer must say so.
        session.set_keepalive(None);
        refuse(self, session, x, &reject).await;
        FailToProxy {
            error_code: x.record.status(),
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, x: &mut Exchange) {
        if x.names_images {
            self.context.cluster.keep_image_name().await;
        }
        if !x.hijacked {
            x.record.bytes = x.record.bytes.max(session.body_bytes_sent() as u64);
            Downstream::set_request_in_progress(session.stream(), false);
        }
        if !self.unauthenticated.should_log(x) {
            return;
        }
        telemetry::exchange::log(x);
        if let Some(audit) = &self.audit {
            audit.log(x);
        }
    }

    // skep logs one line for each request itself, and a client that disconnects is
    // not an error.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Pingora proxies only what [`Gateway::handle`] has routed.
fn not_routed() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "the request has no upstream")
}

async fn refuse(gateway: &Gateway, session: &mut Session, x: &mut Exchange, reject: &Reject) {
    let span = tracing::debug_span!("request", request_id = x.id.as_str());
    let refused = gateway.context.refuse(session, x, reject);
    if let Err(e) = refused.instrument(span).await {
        tracing::debug!("the refusal could not be sent: {e}");
    }
}
