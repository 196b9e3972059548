//! Serves a container's console as a websocket, in Portainer's form: text
//! towards the browser, bytes towards the engine.
//!
//! The engine opens the console before the browser's upgrade is granted, so that
//! its refusals are ordinary answers. Routing finds the node that has the
//! container; this module answers for the node it runs on.

mod engine;
mod handshake;
mod pump;
mod text;

use http::StatusCode;
use pingora::proxy::Session;
use skep_filters::endpoint::{Console, query};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::internal;
use crate::exchange::reject::{Reason, Reject};
use crate::listen::takeover;
use crate::upstream::error;

/// The longest message from a browser: a paste. One console can make the agent
/// hold this many bytes.
const MESSAGE: usize = 1 << 20;

/// Bytes read from an engine, and written in frames, at a time.
const BLOCK: usize = 16 << 10;

/// Why a console was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The id is not hexadecimal.
    #[error("id must be the hexadecimal id of a container or an exec")]
    Id,
    /// The request is not a valid websocket handshake.
    #[error("this endpoint is a websocket: {0}")]
    Handshake(&'static str),
    /// A page of another site asks, with its visitor's credentials.
    #[error("a page of another site may not open a console here")]
    Origin,
    /// The engine refused.
    #[error("{message}")]
    Engine { status: StatusCode, message: String },
}

impl Problem {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Id => StatusCode::BAD_REQUEST,
            Self::Handshake(_) => StatusCode::UPGRADE_REQUIRED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Engine { status, .. } => *status,
        }
    }
}

impl From<Problem> for Reject {
    fn from(problem: Problem) -> Self {
        Self::refused(problem.status(), Reason::Console, problem)
    }
}

/// Opens a console on this node, and serves it until it ends.
///
/// # Errors
/// As a [`Problem`], or if the engine cannot be reached.
pub(crate) async fn answer(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    kind: Console,
    query: &str,
) -> Result<Next, Reject> {
    let id = query::get(query, "id").unwrap_or_default();
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::Id.into());
    }
    let key = handshake::accept(&session.req_header().headers)?;
    let opened = engine::open(context, kind, &id).await?;
    let head = handshake::agreed(&key, &context.server_headers(x.exchange)).map_err(internal)?;
    x.record().status = Some(StatusCode::SWITCHING_PROTOCOLS);
    x.exchange.hijacked = true;
    let taken = takeover::take(session).await;
    let taken = taken.map_err(|e| Reject::Client(error::explain(&e)))?;
    let (mut client, early) = (taken.stream, taken.early);
    if let Err(e) = begin(&mut client, &head).await {
        tracing::debug!("a console ended at its start: {e}");
        return Ok(Next::Answered);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(BLOCK)
        .write_buffer_size(BLOCK)
        .max_write_buffer_size(2 * MESSAGE)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let early = early.map(Vec::from).unwrap_or_default();
    let socket =
        WebSocketStream::from_partially_read(client, early, Role::Server, Some(config)).await;
    let text = if x.exchange.dialect.takes_binary_frames() {
        text::Text::default()
    } else {
        text::Text::text_only()
    };
    x.exchange.record.bytes = pump::run(socket, opened, text).await;
    Ok(Next::Answered)
}

async fn begin(client: &mut pingora::protocols::Stream, head: &[u8]) -> std::io::Result<()> {
    client.write_all(head).await?;
    client.flush().await
}
