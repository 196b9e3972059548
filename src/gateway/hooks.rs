//! Pingora's hooks. They only call: a request's way is in `gateway.rs`.

use async_trait::async_trait;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tracing::Instrument;

use crate::cluster::hop::Hop;
use crate::exchange::Exchange;
use crate::exchange::Next;
use crate::exchange::reject::Reject;
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
        // Off for HTTP/1.0 and where the framing forbids another request
        // (RFC 9112 §6.1): that stands.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(KEEPALIVE));
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
            Ok(Next::Proxy) => Ok(false),
            Ok(Next::Answered) => Ok(true),
            Err(reject) => {
                Box::pin(refuse(self, session, x, &reject)).await;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _: &mut Session, x: &mut Exchange) -> Result<Box<HttpPeer>> {
        if x.any_manager && x.failures > 0 {
            match self.context.manager() {
                Ok(manager) => {
                    self.context.reaches(x, &manager).map_err(|e| {
                        Error::because(ErrorType::HTTPStatus(403), "another manager", e)
                    })?;
                    x.hop = Some(manager);
                }
                Err(e) => return Err(Error::because(ErrorType::ConnectError, "no manager", e)),
            }
        }
        let hop = x.hop.clone().unwrap_or(Hop::Engine);
        x.to = hop.label();
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
        let hop = x.hop.as_ref().unwrap_or(&Hop::Engine);
        hop.prepare(
            head,
            &self.context.peers,
            &x.caller,
            x.id.as_header(),
            x.body,
        )
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        x: &mut Exchange,
        mut e: Box<Error>,
    ) -> Box<Error> {
        x.failures += 1;
        if let Some(hop) = &x.hop {
            hop.failed(&self.context.cluster, &e, &error::explain(&e));
        }
        // Nothing was sent yet: another manager may be asked.
        e.set_retry(x.any_manager && x.failures < 3);
        e
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        head: &mut ResponseHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        headers::refuse_misdirected(head).map_err(|e| e.into_up())?;
        if !head.status.is_informational() {
            x.status = head.status.as_u16();
            self.context.server_headers(x).apply(head);
        }
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &Error,
        x: &mut Exchange,
    ) -> FailToProxy {
        let reject = match e.root_cause().downcast_ref::<Reject>() {
            Some(reject) => reject.clone(),
            None => self
                .context
                .failed(x.hop.as_ref().unwrap_or(&Hop::Engine), e),
        };
        refuse(self, session, x, &reject).await;
        FailToProxy {
            error_code: x.status,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, x: &mut Exchange) {
        if !x.hijacked {
            x.out_bytes = x.out_bytes.max(session.body_bytes_sent() as u64);
            Downstream::set_request_in_progress(session.stream(), false);
        }
        if !self.unauthenticated.should_log(x) {
            return;
        }
        telemetry::exchange::log(x);
        if let Some(audit) = &self.audit {
            audit.tell(x);
        }
    }

    // Our own line says it all, and clients that leave are no errors.
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

async fn refuse(gateway: &Gateway, session: &mut Session, x: &mut Exchange, reject: &Reject) {
    if let Err(e) = gateway.context.refuse(session, x, reject).await {
        tracing::debug!("the refusal could not be sent: {e}");
    }
}
