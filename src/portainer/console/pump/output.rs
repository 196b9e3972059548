//! Passes the engine's output on to the browser, and pings a quiet connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use skep_filters::frames::Frames;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{End, Life, STUCK, Sink, send};
use crate::portainer::console::BLOCK;
use crate::portainer::console::text::{Piece, Text};

/// Proxies close connections that are quiet for a minute.
const PING: Duration = Duration::from_secs(50);

/// Pings without a sign of life after which the browser is gone.
const UNANSWERED: u32 = 2;

/// Turns output into messages.
pub(super) struct Output {
    frames: Option<Frames>,
    text: Text,
    bytes: u64,
}

impl Output {
    pub(super) fn new(multiplexed: bool, text: Text) -> Self {
        Self {
            frames: multiplexed.then(Frames::default),
            text,
            bytes: 0,
        }
    }

    /// The bytes sent to the browser.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Passes output on until the engine ends its stream.
    pub(super) async fn forward<C>(
        &mut self,
        sink: &mut Sink<C>,
        engine: impl AsyncRead + Unpin,
        first: &[u8],
        life: &Life,
    ) -> End
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        match self.forward_until_end(sink, engine, first, life).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn forward_until_end<C>(
        &mut self,
        sink: &mut Sink<C>,
        mut engine: impl AsyncRead + Unpin,
        first: &[u8],
        life: &Life,
    ) -> Result<End, End>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let pieces = self.read(first);
        self.send(sink, pieces).await?;
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.tick().await;
        let mut unanswered = 0;
        let mut buffer = BytesMut::with_capacity(BLOCK);
        loop {
            buffer.clear();
            tokio::select! {
                read = engine.read_buf(&mut buffer) => {
                    if let Ok(1..) = read {
                        let pieces = self.read(&buffer);
                        self.send(sink, pieces).await?;
                        continue;
                    }
                    let rest = std::mem::take(&mut self.text).end();
                    self.send(sink, rest).await?;
                    return Ok(read.map_or(End::Broken, |_| End::Engine));
                }
                _ = pings.tick() => {
                    if life.take() {
                        unanswered = 0;
                    }
                    if unanswered == UNANSWERED {
                        return Err(End::Browser);
                    }
                    unanswered += 1;
                    send(sink, Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8]) -> Vec<Piece> {
        let Some(frames) = &mut self.frames else {
            return self.text.read(bytes);
        };
        let mut output = Vec::with_capacity(bytes.len());
        while let Some((_, piece)) = frames.next(&mut bytes) {
            output.extend_from_slice(piece);
        }
        self.text.read(&output)
    }

    /// Sends these frames and flushes once.
    async fn send<C>(&mut self, sink: &mut Sink<C>, pieces: Vec<Piece>) -> Result<(), End>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let sending = async {
            for piece in pieces {
                let (length, message) = match piece {
                    Piece::Text(text) => (text.len(), Message::Text(text.into())),
                    Piece::Binary(bytes) => (bytes.len(), Message::Binary(bytes)),
                };
                sink.feed(message).await?;
                self.bytes += length as u64;
            }
            sink.flush().await
        };
        let sent: Result<Result<(), Error>, _> = timeout(STUCK, sending).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Browser),
        }
    }
}
