//! Between a browser and an engine, once both have agreed.
//!
//! The two directions run side by side: what is echoed has to flow while a
//! paste is still going in. Each waits for its reader, so nothing piles up.
//! When the browser goes, so does the engine's connection, at once; when the
//! engine ends, the browser is told.

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

/// A browser that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(60);

/// How long a close may take to be answered: a slow browser comes to it when it
/// has taken what was sent before.
const CLOSING: Duration = Duration::from_secs(10);

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The engine has said all.
    Engine,
    /// Its connection broke.
    Broken,
    /// The browser has said so, or is not there.
    Browser,
    /// It sent a message longer than is taken.
    TooLong,
    /// It sent what is no websocket's frame, or text that is none.
    Malformed(CloseCode),
}

type Sink<C> = SplitSink<WebSocketStream<C>, Message>;
type Source<C> = SplitStream<WebSocketStream<C>>;

/// Runs a console to its end; the bytes that went to the browser.
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
            end = input::typed(&mut source, to_engine, &life) => end,
            end = output.show(&mut sink, from_engine, &engine.first, &life) => end,
        }
        // The engine's connection is closed here.
    };
    tracing::debug!("a console ended: {end:?}");
    close(sink, source, end).await;
    output.bytes()
}

/// Whether the browser is there.
#[derive(Debug, Default)]
struct Life {
    heard: AtomicBool,
    /// It is not listened to while the engine takes nothing.
    waiting: AtomicBool,
}

impl Life {
    fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    fn waits(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Whether it was heard since this was asked last, or could not be.
    fn shown(&self) -> bool {
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

    /// What the browser is told of it (RFC 6455 §7.4.1).
    fn close_frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Engine => (CloseCode::Normal, Cow::Borrowed("")),
            Self::Broken => (CloseCode::Error, "the engine's connection broke".into()),
            Self::TooLong => {
                let reason = format!("a message may have {MESSAGE} bytes");
                (CloseCode::Size, reason.into())
            }
            Self::Malformed(code) => (code, "".into()),
            // An answer that is due goes out.
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

/// Says goodbye, and waits for the answer.
async fn close<C>(mut sink: Sink<C>, mut source: Source<C>, end: End)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(frame) = end.close_frame() {
        // Behind output that a slow browser has yet to take.
        let told = send(&mut sink, Message::Close(Some(frame))).await;
        let answered = async { while let Some(Ok(_)) = source.next().await {} };
        if told.is_ok() {
            let _ = timeout(CLOSING, answered).await;
        }
    }
    let rest = async {
        let _ = sink.close().await;
        let Ok(socket) = sink.reunite(source) else {
            return;
        };
        let mut stream = socket.into_inner();
        // TLS holds bytes back that a socket does not take at once, and another
        // agent on the way tells an end from a broken connection.
        let _ = stream.shutdown().await;
        // To close a socket with something unread in it resets it, and what is
        // still under way to the browser is lost.
        let _ = copy(&mut stream, &mut tokio::io::sink()).await;
    };
    let _ = timeout(CLOSING, rest).await;
}
