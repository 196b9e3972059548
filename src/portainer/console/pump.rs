//! Copies between a browser and an engine once the console is open.
//!
//! The two directions run side by side: echoes must flow while a paste is still
//! going in. Each waits for its reader, so no data accumulates. When the browser
//! goes, the engine's connection closes at once; when the engine ends, the
//! browser gets a close frame.

mod input;
mod output;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::MESSAGE;
use super::engine::Opened;
use super::text::Text;
use output::Output;

/// A browser that reads nothing for this long is gone.
const STUCK: Duration = Duration::from_secs(60);

/// How long to wait for the answer to a close: a slow browser first reads the
/// output before it.
const CLOSING: Duration = Duration::from_secs(10);

/// Why a console ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The engine ended its stream.
    Engine,
    /// The engine's connection broke.
    Broken,
    /// The browser closed the console, or is gone.
    Browser,
    /// The browser sent a message longer than `MESSAGE`.
    TooLong,
    /// The browser sent an invalid frame, or text that is not UTF-8.
    Malformed(CloseCode),
}

type Sink<C> = SplitSink<WebSocketStream<C>, Message>;
type Source<C> = SplitStream<WebSocketStream<C>>;

/// Runs a console to its end, and returns the number of bytes to the browser.
pub(super) async fn run<C>(socket: WebSocketStream<C>, engine: Opened, text: Text) -> u64
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut source) = socket.split();
    let mut output = Output::new(engine.multiplexed, text);
    let end = {
        let (from_engine, to_engine) = tokio::io::split(engine.stream);
        let life = Life::default();
        tokio::select! {
            end = input::forward(&mut source, to_engine, &life) => end,
            end = output.forward(&mut sink, from_engine, &engine.first, &life) => end,
        }
        // The engine's connection closes here.
    };
    tracing::debug!("a console ended: {end:?}");
    close(sink, source, end).await;
    output.bytes()
}

/// Signs of life of the browser.
#[derive(Debug, Default)]
struct Life {
    heard: AtomicBool,
    /// The browser is not read from, because the engine takes no input.
    waiting: AtomicBool,
}

impl Life {
    fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    fn waits(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Whether the browser sent a frame since the last call, or could not.
    fn take(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed) || self.waiting.load(Ordering::Relaxed)
    }
}

impl End {
    fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TooLong,
            Error::Protocol(_) => Self::Malformed(CloseCode::Protocol),
            Error::Utf8(_) => Self::Malformed(CloseCode::Invalid),
            _ => Self::Browser,
        }
    }

    /// The close frame for the browser (RFC 6455 §7.4.1).
    fn close_frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Engine => (CloseCode::Normal, Cow::Borrowed("")),
            Self::Broken => (CloseCode::Error, "the engine's connection broke".into()),
            Self::TooLong => {
                let reason = format!("a message may have at most {MESSAGE} bytes");
                (CloseCode::Size, reason.into())
            }
            Self::Malformed(code) => (code, "".into()),
            // tungstenite sends the answer to the browser's own close.
            Self::Browser => return None,
        };
        let reason = reason.as_ref().into();
        Some(CloseFrame { code, reason })
    }
}

async fn send<C>(sink: &mut Sink<C>, message: Message) -> Result<(), End>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    match timeout(STUCK, sink.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(End::Browser),
    }
}

/// Sends a close frame, and waits for the answer.
async fn close<C>(mut sink: Sink<C>, mut source: Source<C>, end: End)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(frame) = end.close_frame() {
        // A slow browser has yet to read the output before the frame.
        let sent = send(&mut sink, Message::Close(Some(frame))).await;
        let answered = async { while let Some(Ok(_)) = source.next().await {} };
        if sent.is_ok() {
            let _ = timeout(CLOSING, answered).await;
        }
    }
    let rest = async {
        let _ = sink.close().await;
        let Ok(socket) = sink.reunite(source) else {
            return;
        };
        let mut stream = socket.into_inner();
        // TLS may still buffer bytes, and its `close_notify` shows another agent
        // on the way that the connection did not break.
        let _ = stream.shutdown().await;
        // Closing a socket with unread bytes resets it, which would discard data
        // that is still under way to the browser.
        let _ = copy(&mut stream, &mut tokio::io::sink()).await;
    };
    let _ = timeout(CLOSING, rest).await;
}
