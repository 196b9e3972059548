//! Sends the agent's own requests: fan-out, probes, and requests whose body was
//! read before it is forwarded. All share one connection pool; every answer is
//! bounded. Streams and hijacked connections have their own modules.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::TransportConnector;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use crate::listen::bounds::LIST_FACTOR;
use crate::listen::memory::{Account, Share};
use crate::platform;
use crate::platform::keepalive::IDLE;

/// The most addresses of agents: DNS may return any number.
pub(crate) const MAX_AGENTS: usize = 10_240;

/// The most idle connections, to agents and to the engine. In a larger cluster the
/// oldest are closed.
const POOL: usize = 1280;

pub(crate) struct Client {
    pooled: Connector,
    fresh: TransportConnector,
    new_for_writes: bool,
}

/// The bytes of bodies that may be held in memory: by one answer, and by all
/// answers to one request together.
#[derive(Debug)]
pub(crate) struct Budget {
    each: usize,
    left: AtomicUsize,
    /// The memory of the request that asks, if it pays.
    share: Option<Mutex<Share>>,
    exhausted: AtomicBool,
}

impl Budget {
    /// For one answer only.
    pub(crate) fn one(each: usize) -> Self {
        Self::shared(each, each)
    }

    /// For several answers, `all` together.
    pub(crate) fn shared(each: usize, all: usize) -> Self {
        let left = AtomicUsize::new(all);
        Self {
            each,
            left,
            share: None,
            exhausted: AtomicBool::new(false),
        }
    }

    /// The answers are paid from this account until the budget is dropped.
    pub(crate) fn paid_by(self, account: &Account) -> Self {
        let share = Some(Mutex::new(account.open()));
        Self { share, ..self }
    }

    /// Whether an answer was refused because the account had no memory for it.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Takes `more` bytes for an answer that holds `held`; false if it may not grow.
    fn grow(&self, held: usize, more: usize) -> bool {
        let take = |left: usize| left.checked_sub(more);
        let (store, load) = (Ordering::Relaxed, Ordering::Relaxed);
        if held + more > self.each || self.left.fetch_update(store, load, take).is_err() {
            return false;
        }
        let paid = self.share.as_ref().is_none_or(|share| {
            let mut share = share.lock().unwrap_or_else(PoisonError::into_inner);
            share.grow(more.saturating_mul(LIST_FACTOR)).is_ok()
        });
        if !paid {
            self.exhausted.store(true, Ordering::Relaxed);
        }
        paid
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: ResponseHeader,
    pub(crate) body: Bytes,
}

/// An answer whose body has not arrived yet.
pub(crate) struct Arriving {
    session: HttpSession,
    peer: HttpPeer,
    /// The bytes that have.
    length: usize,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            pooled: Connector::new(Some(options())),
            fresh: TransportConnector::new(Some(options())),
            new_for_writes: false,
        }
    }

    /// The same, with a new connection for each request that must not be sent twice.
    /// If its server ends, the request is either not sent or answered; on an idle
    /// connection it might be lost, and nobody could tell whether it was carried out.
    pub(crate) fn with_new_connections_for_writes(self) -> Self {
        Self {
            new_for_writes: true,
            ..self
        }
    }

    /// Sends a request and reads the whole answer, as long as the budget allows.
    /// It sets no deadline; the caller does.
    ///
    /// # Errors
    /// As the connection fails, or if the body is longer.
    pub(crate) async fn fetch(
        &self,
        peer: &HttpPeer,
        head: RequestHeader,
        budget: &Budget,
    ) -> pingora::Result<Answer> {
        self.exchange(peer, head, Bytes::new(), budget).await
    }

    /// As [`Self::fetch`], for a request with a body.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub(crate) async fn exchange(
        &self,
        peer: &HttpPeer,
        head: RequestHeader,
        body: Bytes,
        budget: &Budget,
    ) -> pingora::Result<Answer> {
        let (mut session, head) = self.send(peer, head, body).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = session.read_response_body().await? {
            if !budget.grow(body.len(), chunk.len()) {
                return Error::e_explain(
                    ErrorType::InternalError,
                    format!("the answers are longer than {} bytes", budget.each),
                );
            }
            body.extend_from_slice(&chunk);
        }
        self.release(session, peer).await;
        let body = body.freeze();
        Ok(Answer { head, body })
    }

    /// Sends a request without a body, and reads the head of the answer.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn begin(
        &self,
        peer: HttpPeer,
        head: RequestHeader,
    ) -> pingora::Result<(ResponseHeader, Arriving)> {
        let (session, head) = self.send(&peer, head, Bytes::new()).await?;
        let arriving = Arriving {
            session,
            peer,
            length: 0,
        };
        Ok((head, arriving))
    }

    /// The next bytes of an answer, at least `enough` unless it ends, and the rest of it.
    ///
    /// # Errors
    /// As the connection fails, or if the answer is longer than `most`.
    pub(crate) async fn more(
        &self,
        mut arriving: Arriving,
        enough: usize,
        most: usize,
    ) -> pingora::Result<(Bytes, Option<Arriving>)> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = arriving.session.read_response_body().await? {
            arriving.length += chunk.len();
            if arriving.length > most {
                return Error::e_explain(
                    ErrorType::InternalError,
                    format!("the answers are longer than {most} bytes"),
                );
            }
            bytes.extend_from_slice(&chunk);
            if bytes.len() >= enough {
                return Ok((bytes.freeze(), Some(arriving)));
            }
        }
        self.release(arriving.session, &arriving.peer).await;
        Ok((bytes.freeze(), None))
    }

    /// Sends a request with its body, and reads the head of the answer. The
    /// caller reads the answer's body from the session, and releases it.
    ///
    /// # Errors
    /// As the connection fails. A reused connection that is dead before the first
    /// byte of the answer is replaced once.
    pub(crate) async fn send(
        &self,
        peer: &HttpPeer,
        head: RequestHeader,
        body: Bytes,
    ) -> pingora::Result<(HttpSession, ResponseHeader)> {
        // Only these may be sent twice: the engine may have acted on any other.
        let again = matches!(head.method, http::Method::GET | http::Method::HEAD);
        let mut first = true;
        loop {
            let (mut session, reused) = if again || !self.new_for_writes {
                self.pooled.get_http_session(peer).await?
            } else {
                (HttpSession::H1(self.dedicated(peer).await?), false)
            };
            match ask(&mut session, head.clone(), body.clone()).await {
                Ok(answer) => return Ok((session, answer)),
                Err(_) if reused && first && again => first = false,
                Err(e) => return Err(e),
            }
        }
    }

    /// Returns a connection to the pool after its answer was read to the end.
    pub(crate) async fn release(&self, mut session: HttpSession, peer: &HttpPeer) {
        if let HttpSession::H1(h1) = &mut session {
            h1.respect_keepalive();
        }
        self.pooled
            .release_http_session(session, peer, Some(IDLE))
            .await;
    }

    /// A new connection that never enters the pool.
    ///
    /// # Errors
    /// As the connection fails.
    pub(crate) async fn dedicated(
        &self,
        peer: &HttpPeer,
    ) -> pingora::Result<v1::client::HttpSession> {
        Ok(v1::client::HttpSession::new(
            self.fresh.new_stream(peer).await?,
        ))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

async fn ask(
    session: &mut HttpSession,
    head: RequestHeader,
    body: Bytes,
) -> pingora::Result<ResponseHeader> {
    session.write_request_header(Box::new(head)).await?;
    if let Err(e) = send_body(session, body).await {
        // It may have answered before the body ended, and closed.
        return answer_head(session).await.map_err(|_| e);
    }
    answer_head(session).await
}

async fn send_body(session: &mut HttpSession, body: Bytes) -> pingora::Result<()> {
    if !body.is_empty() {
        session.write_request_body(body, true).await?;
    }
    session.finish_request_body().await
}

async fn answer_head(session: &mut HttpSession) -> pingora::Result<ResponseHeader> {
    loop {
        session.read_response_header().await?;
        let head = session.response_header().cloned();
        let head = head.ok_or_else(|| Error::new(ErrorType::InvalidHTTPHeader))?;
        // 100 Continue and the like precede the answer.
        if !head.status.is_informational() {
            return Ok(head);
        }
    }
}

/// Connector settings. The file of roots is empty on purpose: every peer brings
/// its own, and the platform's authorities must be trusted for none of them.
pub(crate) fn options() -> ConnectorOptions {
    let mut options = ConnectorOptions::new(POOL);
    options.ca_file = Some(platform::EMPTY_FILE.to_owned());
    options
}
