//! Relays a request with a held body, or without one, and streams the answer.
//!
//! Pingora replays at most 64 KiB of a body that was read, and cannot stop waiting
//! for an answer when the upstream is lost. This module can do both.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::time::timeout;

use crate::cluster::ask::GONE;
use crate::forward::tunnel::farewell::Farewell;
use crate::forward::tunnel::{Activity, End, Watch, silence};
use crate::listen::server_headers::ServerHeaders;
use crate::upstream::client::Client;
use crate::upstream::headers;

/// The status and size of a relayed answer.
#[derive(Debug)]
pub(crate) struct RelaySummary {
    pub(crate) status: StatusCode,
    /// Bytes of the answer's body.
    pub(crate) out_bytes: u64,
}

/// The longest time to tell a client why its answer ends.
const LAST: Duration = Duration::from_secs(1);

/// Sends `head` and `body`, and relays the answer. Waits for its head until the
/// upstream is lost, and for its body until `watch` finds the other agent dead.
///
/// # Errors
/// If either connection fails. The error's source says which.
pub(crate) async fn run(
    session: &mut Session,
    client: &Client,
    peer: &HttpPeer,
    head: RequestHeader,
    body: Bytes,
    server_headers: ServerHeaders,
    watch: &impl Watch,
) -> pingora::Result<RelaySummary> {
    let up = |e: Box<Error>| e.into_up();
    let down = |e: Box<Error>| e.into_down();
    let answered = {
        let sent = client.send(peer, head, body);
        tokio::pin!(sent);
        tokio::select! {
            sent = &mut sent => sent.map_err(up)?,
            // The client has disconnected: the request is dropped.
            idle = session.read_body_or_idle(true) => {
                idle.map_err(down)?;
                sent.await.map_err(up)?
            }
            () = watch.lost() => {
                return Err(Error::explain(ErrorType::ReadTimedout, GONE).into_up());
            }
        }
    };
    let (mut upstream, mut answer) = answered;
    headers::refuse_misdirected(&answer).map_err(up)?;
    if !watch.accepts(&answer) {
        return Error::e_explain(ErrorType::HTTPStatus(answer.status.as_u16()), "refused")
            .map_err(up);
    }
    let status = answer.status;
    headers::strip_hop_by_hop_response(&mut answer);
    server_headers.apply(&mut answer);
    let mut farewell = Farewell::of(&answer);
    session
        .write_response_header(Box::new(answer), false)
        .await
        .map_err(down)?;
    let activity = Activity::default();
    let mut dead = Box::pin(silence(watch, &activity));
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = next(session, &mut upstream) => chunk?,
            () = &mut dead => {
                let words = farewell.words(&watch.last_words());
                let said = session.write_response_body(words.map(Bytes::from), false);
                drop(timeout(LAST, said).await);
                return Err(Error::explain(ErrorType::ReadTimedout, GONE).into_up());
            }
        };
        let Some(chunk) = chunk else { break };
        activity.add(chunk.len());
        farewell.sent(&chunk);
        tokio::select! {
            written = session.write_response_body(Some(chunk), false) => written.map_err(down)?,
            // The agent that has called does not read any more.
            () = &mut dead, if watch.end() == End::Client => {
                return Err(Error::explain(ErrorType::WriteTimedout, GONE).into_down());
            }
        }
    }
    let out_bytes = activity.bytes();
    session
        .write_response_body(None, true)
        .await
        .map_err(down)?;
    client.release(upstream, peer).await;
    Ok(RelaySummary { status, out_bytes })
}

async fn next(session: &mut Session, upstream: &mut HttpSession) -> pingora::Result<Option<Bytes>> {
    tokio::select! {
        biased;
        chunk = upstream.read_response_body() => chunk.map_err(|e| e.into_up()),
        idle = session.read_body_or_idle(true) => {
            idle.map_err(|e| e.into_down())?;
            Ok(None)
        }
    }
}
