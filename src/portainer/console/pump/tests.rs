//! Tests the pump between a browser and an engine in memory.

use bytes::Bytes;
use futures::SinkExt;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as L4;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::*;
use crate::portainer::console::BLOCK;

struct Bed {
    browser: WebSocketStream<DuplexStream>,
    engine: DuplexStream,
    pump: JoinHandle<u64>,
}

/// Longer than a browser may leave pings unanswered.
const PATIENT: Duration = Duration::from_secs(600);

/// The buffer of each socket, in bytes.
const ROOM: usize = 4 << 10;

async fn bed(first: &'static [u8], multiplexed: bool) -> Bed {
    let (stream, engine) = duplex(ROOM);
    let (browser, pump) = over(Box::new(stream), first, multiplexed).await;
    Bed {
        browser,
        engine,
        pump,
    }
}

async fn over(
    stream: Stream,
    first: &'static [u8],
    multiplexed: bool,
) -> (WebSocketStream<DuplexStream>, JoinHandle<u64>) {
    let (near, far) = duplex(ROOM);
    let config = WebSocketConfig::default()
        .write_buffer_size(BLOCK)
        .max_write_buffer_size(2 * MESSAGE)
        .max_message_size(Some(MESSAGE));
    let pump = tokio::spawn(async move {
        let socket = WebSocketStream::from_raw_socket(near, Role::Server, Some(config)).await;
        let opened = Opened {
            stream,
            first: Bytes::from_static(first),
            multiplexed,
        };
        run(socket, opened, Text::default()).await
    });
    let browser = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (browser, pump)
}

async fn next(browser: &mut WebSocketStream<DuplexStream>) -> Message {
    browser.next().await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
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
async fn the_engines_connection_closes_at_once_when_the_browser_goes() {
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

#[tokio::test(start_paused = true)]
async fn the_browser_gets_a_close_frame_when_the_engine_ends() {
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
async fn a_multiplexed_stream_is_shown_as_one() {
    let mut bed = bed(b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01", true).await;
    assert_eq!(next(&mut bed.browser).await, Message::Text("ab".into()));
    bed.engine.write_all(b"c").await.unwrap();
    assert_eq!(next(&mut bed.browser).await, Message::Text("c".into()));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_console_with_a_reason() {
    let mut bed = bed(b"", false).await;
    let long = vec![b'a'; MESSAGE + 1];
    // The announced length is refused before the message has come.
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

#[tokio::test(start_paused = true)]
async fn a_browser_that_does_not_read_stops_the_engine_and_is_closed_in_the_end() {
    let mut bed = bed(b"", false).await;
    // Held, and never read.
    let _browser = bed.browser;
    let begun = Instant::now();
    let mut taken = 0;
    // The write fails when the engine's connection is closed.
    while let Ok(n) = bed.engine.write(&[b'a'; ROOM]).await {
        taken += n;
    }
    assert!(taken <= 2 * BLOCK + 4 * ROOM, "{taken}");
    let waited = begun.elapsed();
    assert!(STUCK <= waited && waited < STUCK * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_takes_nothing_makes_the_browser_wait_and_loses_nothing() {
    let mut bed = bed(b"", false).await;
    let (mut sink, mut source) = bed.browser.split();
    let message = Bytes::from(vec![b'a'; ROOM]);
    let mut accepted = 0;
    while let Ok(sent) = timeout(PATIENT, sink.send(Message::Binary(message.clone()))).await {
        sent.unwrap();
        accepted += message.len();
    }
    assert!(accepted > input::AHEAD, "{accepted}");
    assert!(accepted < 2 * input::AHEAD, "{accepted}");
    // The browser does not count as gone, though it cannot answer pings.
    let listening = async { while let Some(Ok(_)) = source.next().await {} };
    assert!(timeout(PATIENT, listening).await.is_err());
    let mut seen = vec![0; accepted];
    bed.engine.read_exact(&mut seen).await.unwrap();
    assert!(seen.iter().all(|&byte| byte == b'a'));
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_goes_is_noticed_while_the_engine_takes_nothing() {
    for politely in [true, false] {
        let mut bed = bed(b"", false).await;
        let typed = Bytes::from(vec![b'a'; 2 * ROOM]);
        bed.browser.send(Message::Binary(typed)).await.unwrap();
        if politely {
            bed.browser.close(None).await.unwrap();
        } else {
            drop(bed.browser);
        }
        // Sooner than a ping could detect it.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut taken = Vec::new();
        bed.engine.read_to_end(&mut taken).await.unwrap();
        assert_eq!(taken.len(), ROOM, "{politely}");
    }
}

#[tokio::test(start_paused = true)]
async fn input_typed_before_the_browser_went_reaches_the_engine() {
    let mut bed = bed(b"", false).await;
    let typed = Bytes::from(vec![b'a'; 2 * ROOM]);
    bed.browser.send(Message::Binary(typed)).await.unwrap();
    bed.browser.close(None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut taken = Vec::new();
    bed.engine.read_to_end(&mut taken).await.unwrap();
    assert_eq!(taken.len(), 2 * ROOM);
}

#[tokio::test]
async fn the_browser_gets_an_error_code_when_the_engines_connection_breaks() {
    let (near, engine) = UnixStream::pair().unwrap();
    let (mut browser, _pump) = over(Box::new(L4::from(near)), b"", false).await;
    browser.send(Message::Text("x".into())).await.unwrap();
    engine.readable().await.unwrap();
    // Dropping a socket with unread bytes resets it.
    drop(engine);
    let Message::Close(Some(frame)) = next(&mut browser).await else {
        panic!("no close");
    };
    assert_eq!(frame.code, CloseCode::Error);
    assert_eq!(frame.reason.as_str(), "the engine's connection broke");
}

#[tokio::test]
async fn an_invalid_frame_ends_the_console_with_the_matching_code() {
    for (bytes, code) in [
        // A frame that is not masked, and text that is no UTF-8.
        (&b"\x81\x01a"[..], CloseCode::Protocol),
        (b"\x81\x81\0\0\0\0\xff", CloseCode::Invalid),
    ] {
        let mut bed = bed(b"", false).await;
        bed.browser.get_mut().write_all(bytes).await.unwrap();
        let Message::Close(Some(frame)) = next(&mut bed.browser).await else {
            panic!("no close");
        };
        assert_eq!(frame.code, code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_browser_gets_the_close_frame_too() {
    let mut bed = bed(b"", false).await;
    // With its header it fills the socket, so the close frame has to wait.
    let last = "a".repeat(ROOM - 4);
    bed.engine.write_all(last.as_bytes()).await.unwrap();
    drop(bed.engine);
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(next(&mut bed.browser).await, Message::Text(last.into()));
    let Message::Close(Some(frame)) = next(&mut bed.browser).await else {
        panic!("no close");
    };
    assert_eq!(frame.code, CloseCode::Normal);
}
