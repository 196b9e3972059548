//! Between a browser and an engine, once both have agreed.
//!
//! The two directions run side by side: what is echoed has to flow while a
//! paste is still going in. Each waits for its reader, so nothing piles up.
//! When the browser goes, so does the engine's connection, at once; when the
//! engine ends, the browser is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::demux::Demux;
use super::engine::Opened;
use super::text::{Piece, Text};

/// Proxies close what is quiet for a minute.
const PING: Duration = Duration::from_secs(50);

/// Pings without a sign of life after which the browser is gone.
const UNANSWERED: u32 = 2;

/// A browser that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(60);

/// How long a close may take to be answered.
const CLOSING: Duration = Duration::from_secs(2);

/// Bytes read of the engine at a time.
const BLOCK: usize = 16 << 10;

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Engine,
    Browser,
    /// A message longer than is taken.
    TooLong,
}

type Sink<C> = SplitSink<WebSocketStream<C>, Message>;
type Source<C> = SplitStream<WebSocketStream<C>>;

/// Runs a console to its end; the bytes that went to the browser.
pub(super) async fn run<C>(socket: WebSocketStream<C>, engine: Opened) -> u64
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut source) = socket.split();
    let mut out_bytes = 0;
    let end = {
        let (from_engine, to_engine) = tokio::io::split(engine.stream);
        let life = Life::default();
        let mut output = Output {
            demux: engine.multiplexed.then(Demux::default),
            text: Text::default(),
            out_bytes: &mut out_bytes,
        };
        tokio::select! {
            end = typed(&mut source, to_engine, &life) => end,
            end = show(&mut sink, from_engine, engine.first, &mut output, &life) => end,
        }
        // The engine's connection is closed here.
    };
    log::debug!("a console ended: {end:?}");
    let _ = timeout(CLOSING, close(&mut sink, &mut source, end)).await;
    out_bytes
}

/// Whether the browser is there.
#[derive(Debug, Default)]
struct Life {
    heard: AtomicBool,
    /// It is not listened to while the engine takes nothing.
    waiting: AtomicBool,
}

/// What was typed, until the browser goes.
async fn typed<C>(source: &mut Source<C>, mut engine: impl AsyncWrite + Unpin, life: &Life) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut listens = true;
    loop {
        let message = match source.next().await {
            Some(Ok(message)) => message,
            Some(Err(Error::Capacity(_))) => return End::TooLong,
            Some(Err(_)) | None => return End::Browser,
        };
        life.heard.store(true, Ordering::Relaxed);
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return End::Browser,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        if !listens {
            continue;
        }
        life.waiting.store(true, Ordering::Relaxed);
        let written = async {
            engine.write_all(&bytes).await?;
            engine.flush().await
        };
        // It reads no more, but may have things to say yet.
        listens = written.await.is_ok();
        life.waiting.store(false, Ordering::Relaxed);
    }
}

/// Output on its way to frames.
struct Output<'a> {
    demux: Option<Demux>,
    text: Text,
    out_bytes: &'a mut u64,
}

impl Output<'_> {
    fn read(&mut self, bytes: &[u8]) -> Vec<Piece> {
        match &mut self.demux {
            None => self.text.read(bytes),
            Some(demux) => self.text.read(&demux.read(bytes)),
        }
    }

    async fn send<C>(&mut self, sink: &mut Sink<C>, pieces: Vec<Piece>) -> Result<(), End>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        for piece in pieces {
            let (length, message) = match piece {
                Piece::Text(text) => (text.len(), Message::Text(text.into())),
                Piece::Binary(bytes) => (bytes.len(), Message::Binary(bytes)),
            };
            send(sink, message).await?;
            *self.out_bytes += length as u64;
        }
        Ok(())
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

/// What the engine says, and pings where it is quiet, until it ends.
async fn show<C>(
    sink: &mut Sink<C>,
    engine: impl AsyncRead + Unpin,
    first: Bytes,
    output: &mut Output<'_>,
    life: &Life,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    match showing(sink, engine, first, output, life).await {
        Ok(()) => End::Engine,
        Err(end) => end,
    }
}

async fn showing<C>(
    sink: &mut Sink<C>,
    mut engine: impl AsyncRead + Unpin,
    first: Bytes,
    output: &mut Output<'_>,
    life: &Life,
) -> Result<(), End>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let pieces = output.read(&first);
    output.send(sink, pieces).await?;
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.tick().await;
    let mut unanswered = 0;
    let mut buffer = BytesMut::with_capacity(BLOCK);
    loop {
        buffer.clear();
        tokio::select! {
            read = engine.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) {
                    let rest = std::mem::take(&mut output.text).end();
                    return output.send(sink, rest).await;
                }
                let pieces = output.read(&buffer);
                output.send(sink, pieces).await?;
            }
            _ = pings.tick() => {
                let heard = life.heard.swap(false, Ordering::Relaxed);
                if heard || life.waiting.load(Ordering::Relaxed) {
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

/// Says goodbye, and waits for the answer.
async fn close<C>(sink: &mut Sink<C>, source: &mut Source<C>, end: End)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let code = match end {
        End::Engine => Some(CloseCode::Normal),
        End::TooLong => Some(CloseCode::Size),
        // It has said so, or is not there; an answer that is due goes out.
        End::Browser => None,
    };
    if let Some(code) = code {
        let reason = "".into();
        let _ = sink
            .send(Message::Close(Some(CloseFrame { code, reason })))
            .await;
        while let Some(Ok(_)) = source.next().await {}
    }
    let _ = sink.close().await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

    use super::*;
    use crate::console::MESSAGE;

    struct Bed {
        browser: WebSocketStream<DuplexStream>,
        engine: DuplexStream,
        pump: tokio::task::JoinHandle<u64>,
    }

    async fn bed(first: &'static [u8], multiplexed: bool) -> Bed {
        let (near, far) = duplex(4 << 10);
        let (stream, engine) = duplex(4 << 10);
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE));
        let pump = tokio::spawn(async move {
            let socket = WebSocketStream::from_raw_socket(near, Role::Server, Some(config)).await;
            let opened = Opened {
                stream: Box::new(stream),
                first: Bytes::from_static(first),
                multiplexed,
            };
            run(socket, opened).await
        });
        Bed {
            browser: WebSocketStream::from_raw_socket(far, Role::Client, None).await,
            engine,
            pump,
        }
    }

    async fn next(browser: &mut WebSocketStream<DuplexStream>) -> Message {
        browser.next().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_long_paste_is_echoed_whole_while_it_goes_in() {
        let Bed {
            browser,
            engine,
            pump,
        } = bed(b"", false).await;
        let echo = tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(engine);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let paste = "é€🐝".repeat(12_000);
        let (mut sink, mut source) = browser.split();
        let pasted = paste.clone();
        let sending = tokio::spawn(async move {
            sink.send(Message::Text(pasted.into())).await.unwrap();
            sink
        });
        let mut echoed = String::new();
        while echoed.len() < paste.len() {
            match source.next().await.unwrap().unwrap() {
                Message::Text(text) => echoed.push_str(&text),
                other => panic!("{other:?}"),
            }
        }
        assert!(echoed == paste);
        let mut sink = sending.await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(pump.await.unwrap(), paste.len() as u64);
        echo.await.unwrap();
    }

    #[tokio::test]
    async fn bytes_go_in_as_they_are_and_the_first_ones_come_out() {
        let mut bed = bed(b"$ ", false).await;
        assert_eq!(next(&mut bed.browser).await, Message::Text("$ ".into()));
        let typed = Bytes::from_static(b"\x00\xff\x1b[A");
        bed.browser
            .send(Message::Binary(typed.clone()))
            .await
            .unwrap();
        let mut seen = vec![0; typed.len()];
        bed.engine.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, typed);
    }

    #[tokio::test]
    async fn the_engine_hears_at_once_that_the_browser_has_gone() {
        for politely in [true, false] {
            let mut bed = bed(b"", false).await;
            if politely {
                bed.browser.close(None).await.unwrap();
            } else {
                drop(bed.browser);
            }
            let mut rest = Vec::new();
            assert_eq!(bed.engine.read_to_end(&mut rest).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn the_browser_is_told_that_the_engine_has_ended() {
        let mut bed = bed(b"", false).await;
        bed.engine.write_all(b"bye \xe2\x82").await.unwrap();
        drop(bed.engine);
        assert_eq!(next(&mut bed.browser).await, Message::Text("bye ".into()));
        let rest = Bytes::from_static(b"\xe2\x82");
        assert_eq!(next(&mut bed.browser).await, Message::Binary(rest));
        let Message::Close(Some(frame)) = next(&mut bed.browser).await else {
            panic!("no close");
        };
        assert_eq!(frame.code, CloseCode::Normal);
        assert!(bed.browser.next().await.is_none());
        assert_eq!(bed.pump.await.unwrap(), 6);
    }

    #[tokio::test]
    async fn what_is_multiplexed_is_shown_as_one() {
        let mut bed = bed(b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01", true).await;
        assert_eq!(next(&mut bed.browser).await, Message::Text("ab".into()));
        bed.engine.write_all(b"c").await.unwrap();
        assert_eq!(next(&mut bed.browser).await, Message::Text("c".into()));
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_ends_the_console_with_a_reason() {
        let mut bed = bed(b"", false).await;
        let long = vec![b'a'; MESSAGE + 1];
        // It is refused by its announced length, before it has come.
        let (mut sink, mut source) = bed.browser.split();
        let sending = tokio::spawn(async move { sink.send(Message::Binary(long.into())).await });
        let Some(Ok(Message::Close(Some(frame)))) = source.next().await else {
            panic!("no close");
        };
        assert_eq!(frame.code, CloseCode::Size);
        let mut rest = Vec::new();
        bed.engine.read_to_end(&mut rest).await.unwrap();
        sending.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_console_is_pinged_and_stays_while_the_browser_answers() {
        let mut bed = bed(b"", false).await;
        for _ in 0..5 {
            let ping = next(&mut bed.browser).await;
            assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
        }
        bed.engine.write_all(b"still here").await.unwrap();
        let text = next(&mut bed.browser).await;
        assert_eq!(text, Message::Text("still here".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_browser_that_answers_no_pings_is_gone() {
        let mut bed = bed(b"", false).await;
        // Held, and never read.
        let _browser = bed.browser;
        let mut rest = Vec::new();
        assert_eq!(bed.engine.read_to_end(&mut rest).await.unwrap(), 0);
    }
}
