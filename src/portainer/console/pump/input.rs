//! Passes a browser's input on to the engine.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{End, Life, Source};

/// Bytes held for an engine that takes none, before the browser has to wait. Up
/// to here the browser is still read from, and its end noticed.
pub(super) const AHEAD: usize = 64 << 10;

/// How long the engine may take to read the input after the browser went.
const REST: Duration = Duration::from_secs(2);

/// Passes input on until the browser goes.
pub(super) async fn forward<C>(
    source: &mut Source<C>,
    mut engine: impl AsyncWrite + Unpin,
    life: &Life,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut held = BytesMut::new();
    let end = forward_until_end(source, &mut engine, &mut held, life).await;
    let rest = async {
        engine.write_all(&held).await?;
        engine.flush().await
    };
    let _ = timeout(REST, rest).await;
    end
}

async fn forward_until_end<C>(
    source: &mut Source<C>,
    engine: &mut (impl AsyncWrite + Unpin),
    held: &mut BytesMut,
    life: &Life,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut unflushed = false;
    let mut writable = true;
    loop {
        let full = held.len() >= AHEAD;
        life.waits(full);
        tokio::select! {
            biased;
            written = pass_on(engine, held), if unflushed => match written {
                Ok(0) => {
                    unflushed = false;
                    // Frees the memory of a long paste too.
                    *held = BytesMut::new();
                }
                Ok(n) => held.advance(n),
                // The engine reads no more, but may still send output.
                Err(_) => {
                    (writable, unflushed) = (false, false);
                    *held = BytesMut::new();
                }
            },
            message = source.next(), if !full => {
                let message = match message {
                    Some(Ok(message)) => message,
                    Some(Err(e)) => return End::of(&e),
                    None => return End::Browser,
                };
                life.heard();
                let bytes = match message {
                    Message::Text(text) => Bytes::from(text),
                    Message::Binary(bytes) => bytes,
                    Message::Close(_) => return End::Browser,
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                };
                if writable {
                    held.extend_from_slice(&bytes);
                    unflushed = true;
                }
            }
        }
    }
}

/// Writes some of the held bytes, or flushes if there are none.
async fn pass_on(engine: &mut (impl AsyncWrite + Unpin), held: &[u8]) -> std::io::Result<usize> {
    if held.is_empty() {
        engine.flush().await?;
        return Ok(0);
    }
    match engine.write(held).await? {
        0 => Err(std::io::ErrorKind::WriteZero.into()),
        n => Ok(n),
    }
}
