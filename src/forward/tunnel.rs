//! Joins the two connections of an exchange that becomes a stream: `attach`,
//! `exec start`, `session`, `grpc`, and any other request for an upgrade.
//!
//! Pingora's own upgrade ends both directions when one ends, and does not know
//! Docker's older form, in which a plain `200` turns the socket into a stream
//! without an `Upgrade`. So this module takes both connections from Pingora and
//! copies bytes without inspecting them. It passes on the end of one direction
//! alone, for standard input ends that way. A client that is gone ends the stream,
//! also while the container is silent.

pub(super) mod farewell;
mod watch;

use std::io;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession as Upstream;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::timeout;

use crate::cluster::ask::GONE;
use crate::listen::server_headers::ServerHeaders;
use crate::listen::takeover;
use crate::upstream::{headers, request};

pub(crate) use watch::{Activity, End, Watch, silence};

use farewell::Farewell;
use watch::{WatchedStream, gone};

/// How an exchange with a fresh upstream connection ended.
#[derive(Debug)]
pub(crate) struct TunnelSummary {
    /// The upstream's status.
    pub(crate) status: StatusCode,
    /// Bytes to the client.
    pub(crate) out_bytes: u64,
    /// Bytes from the client, of a stream.
    pub(crate) in_bytes: u64,
}

/// Carries out the exchange. `head` is the request for the upstream; `body` is
/// the request body if it was read already. The exchange ends when `watch` finds
/// the upstream dead. Once `hijacked` is set the session is a dummy that must
/// not be used.
///
/// # Errors
/// If either connection fails before the hijack. A later failure ends the tunnel
/// and is no error: streams end in many ways.
pub(crate) async fn run(
    session: &mut Session,
    mut upstream: Upstream,
    head: RequestHeader,
    body: Option<Bytes>,
    server_headers: ServerHeaders,
    watch: &impl Watch,
    hijacked: &mut bool,
) -> pingora::Result<TunnelSummary> {
    let upgrade = session.is_upgrade_req();
    let answer = tokio::select! {
        answer = ask(session, &mut upstream, head, body) => answer?,
        () = watch.lost() => {
            return Err(Error::explain(ErrorType::ReadTimedout, GONE).into_up());
        }
    };
    let up = |e: Box<Error>| e.into_up();
    headers::refuse_misdirected(&answer).map_err(up)?;
    if !watch.accepts(&answer) {
        return Error::e_explain(ErrorType::HTTPStatus(answer.status.as_u16()), "refused")
            .map_err(up);
    }
    let switched = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    if switched && !upgrade {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "an unrequested 101").map_err(up);
    }
    if switched || headers::is_raw_stream(&answer) {
        join(session, upstream, answer, server_headers, watch, hijacked).await
    } else {
        relay(session, upstream, answer, server_headers, watch).await
    }
}

async fn ask(
    session: &mut Session,
    upstream: &mut Upstream,
    head: RequestHeader,
    body: Option<Bytes>,
) -> pingora::Result<ResponseHeader> {
    let up = |e: Box<Error>| e.into_up();
    let down = |e: Box<Error>| e.into_down();
    upstream
        .write_request_header(Box::new(head))
        .await
        .map_err(up)?;
    let sent = match body {
        Some(body) => request::write_piece(upstream, &body).await,
        None => loop {
            let Some(chunk) = session.read_request_body().await.map_err(down)? else {
                break Ok(());
            };
            if let Err(e) = request::write_piece(upstream, &chunk).await {
                break Err(e);
            }
        },
    };
    let sent = match sent {
        Ok(()) => upstream.finish_body().await.map(drop),
        failed => failed,
    };
    match (sent, headers::answer_head(upstream).await) {
        // It may have answered before the body ended, and closed.
        (Ok(()) | Err(_), Ok(head)) => Ok(head),
        (Err(e), Err(_)) | (Ok(()), Err(e)) => Err(up(e)),
    }
}

/// Passes on an ordinary answer, such as "no such container".
async fn relay(
    session: &mut Session,
    mut upstream: Upstream,
    mut answer: ResponseHeader,
    server_headers: ServerHeaders,
    watch: &impl Watch,
) -> pingora::Result<TunnelSummary> {
    let status = answer.status;
    session.set_keepalive(None);
    headers::strip_hop_by_hop_response(&mut answer);
    server_headers.apply(&mut answer);
    let down = |e: Box<Error>| e.into_down();
    let activity = Activity::default();
    let mut silence = Box::pin(silence(watch, &activity));
    let begun = session.write_response_header(Box::new(answer), false);
    begun.await.map_err(down)?;
    let sent_all = session.is_body_done();
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = upstream.read_body_bytes() => chunk.map_err(|e| e.into_up())?,
            gone = session.read_body_or_idle(true), if sent_all => {
                gone.map_err(down)?;
                None
            }
            () = &mut silence => {
                return Err(Error::explain(ErrorType::ReadTimedout, GONE).into_up());
            }
        };
        let Some(chunk) = chunk else { break };
        activity.add(chunk.len());
        let written = session.write_response_body(Some(chunk), false);
        written.await.map_err(down)?;
    }
    session
        .write_response_body(None, true)
        .await
        .map_err(down)?;
    let out_bytes = activity.bytes();
    Ok(TunnelSummary {
        status,
        out_bytes,
        in_bytes: 0,
    })
}

async fn join(
    session: &mut Session,
    mut upstream: Upstream,
    answer: ResponseHeader,
    server_headers: ServerHeaders,
    watch: &impl Watch,
    hijacked: &mut bool,
) -> pingora::Result<TunnelSummary> {
    let head = raw_head(&upstream, &answer, &server_headers);
    // Only bytes that came together with the head: a pending read is cancelled.
    let first = upstream.read_body_bytes().now_or_never();
    let first = first.transpose()?.flatten();
    let opening = Opening {
        status: answer.status,
        head: &head,
        first,
        farewell: Farewell::of(&answer),
    };
    copy(session, upstream.into_inner(), opening, watch, hijacked).await
}

/// Carries a stream that this agent has opened, and that is no HTTP connection.
///
/// # Errors
/// If the client's connection fails before the hijack.
pub(crate) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    session: &mut Session,
    server: S,
    server_headers: ServerHeaders,
    watch: &impl Watch,
    hijacked: &mut bool,
) -> pingora::Result<TunnelSummary> {
    let status = StatusCode::SWITCHING_PROTOCOLS;
    let answer = ResponseHeader::build(status, None)?;
    let head = server_headers.put_on_raw(SWITCHED, &answer);
    let opening = Opening {
        status,
        head: &head,
        first: None,
        farewell: Farewell::of(&answer),
    };
    copy(session, server, opening, watch, hijacked).await
}

/// The head of the answer that a stream of [`carry`] begins with. Without a media type,
/// no agent on the way takes the stream for Docker's.
const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// The answer that a stream begins with.
struct Opening<'a> {
    status: StatusCode,
    head: &'a [u8],
    /// The upstream's bytes that came with the head.
    first: Option<Bytes>,
    farewell: Farewell,
}

/// Takes both connections over and copies until both directions have ended or
/// the upstream is dead. In the second case the client's connection closes
/// without TLS's `close_notify`: the stream may be incomplete.
async fn copy<S: AsyncRead + AsyncWrite + Unpin>(
    session: &mut Session,
    server: S,
    opening: Opening<'_>,
    watch: &impl Watch,
    hijacked: &mut bool,
) -> pingora::Result<TunnelSummary> {
    let Opening {
        status,
        head,
        first,
        farewell,
    } = opening;
    let activity = Activity::default();
    activity.add(first.as_ref().map_or(0, Bytes::len));
    let mut server = WatchedStream {
        stream: server,
        activity: &activity,
    };
    *hijacked = true;
    let taken = takeover::take(session).await?;
    let early = taken.early;
    let mut client = FollowedStream {
        stream: taken.stream,
        farewell: None,
    };
    let copied = async {
        let (first, early) = (first.as_deref(), early.as_deref());
        open(&mut client, &mut server, farewell, head, first, early).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    let is_silent = tokio::select! {
        copied = copied => {
            if let Err(e) = copied {
                tracing::debug!("a hijacked stream ended: {e}");
            }
            false
        }
        () = gone(taken.hangup.as_ref(), &activity) => {
            tracing::debug!("closed a hijacked stream: its client is gone");
            false
        }
        () = Box::pin(silence(watch, &activity)) => true,
    };
    if is_silent {
        let words = watch.last_words();
        tracing::info!("closed a hijacked stream: {words}");
        client.say(&words).await;
    }
    Ok(TunnelSummary {
        status,
        out_bytes: activity.bytes(),
        in_bytes: activity.input(),
    })
}

async fn open<S: AsyncWrite + Unpin>(
    client: &mut FollowedStream,
    server: &mut WatchedStream<'_, S>,
    farewell: Farewell,
    head: &[u8],
    first: Option<&[u8]>,
    early: Option<&[u8]>,
) -> std::io::Result<()> {
    client.write_all(head).await?;
    client.flush().await?;
    client.farewell = Some(farewell);
    if let Some(first) = first {
        // In a record of their own: docker-py reads the head through a buffer and the rest
        // from the connection, and loses what arrives in the head's record.
        client.write_all(first).await?;
        client.flush().await?;
    }
    server.write_all(early.unwrap_or_default()).await?;
    server.flush().await
}

/// The client's connection, and what was sent over it after the head.
struct FollowedStream {
    stream: Stream,
    farewell: Option<Farewell>,
}

/// The longest time to tell a client why its stream ends.
const LAST: Duration = Duration::from_secs(1);

impl FollowedStream {
    /// Tells the client why the stream ends, if it has a place for that. TLS's
    /// `close_notify` does not follow.
    async fn say(&mut self, words: &str) {
        let words = self.farewell.as_ref().and_then(|f| f.words(words));
        let said = async {
            self.stream.write_all(&words.unwrap_or_default()).await?;
            self.stream.flush().await
        };
        drop(timeout(LAST, said).await);
    }
}

impl AsyncRead for FollowedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for FollowedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if let Some(farewell) = &mut self.farewell {
            farewell.sent(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The upstream's head byte for byte, with the server headers added.
fn raw_head(
    upstream: &Upstream,
    answer: &ResponseHeader,
    server_headers: &ServerHeaders,
) -> Vec<u8> {
    let raw = upstream.get_headers_raw_bytes();
    server_headers.put_on_raw(&raw, answer)
}
