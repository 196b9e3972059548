//! Hijacked exchanges: exec, attach, session and grpc.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::exchange::{After, Exchange};
use super::objects::{find, name};
use super::seen::Connected;
use crate::fixture::{HOST, MADE};
use crate::payload::{Noise, noise};
use crate::wire::{Head, Link};

/// The behaviour of a hijacked exchange. The first part of an exec id or a
/// container name selects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Echoes in upper case; 300 ms after the client's end, sends [`tail`].
    Echo,
    /// Sends `hello`, ends its own direction after 100 ms, and reads on.
    ServerFirst,
    /// Sends `early` in the same segment as the head, then echoes.
    Early,
    /// Upgrades before it has read the request's body, then echoes.
    Eager,
    /// Echoes.
    Exact,
    /// Sends [`noise`] without end, and reads nothing.
    Flood,
    /// Reads nothing until an event is published, then echoes.
    Deaf,
    /// After the client's end, sends 64 KiB of [`noise`] and nothing until an event
    /// is published.
    Silent,
}

pub(super) const MODES: [(&str, Mode); 8] = [
    ("echo", Mode::Echo),
    ("server-first", Mode::ServerFirst),
    ("early", Mode::Early),
    ("eager", Mode::Eager),
    ("exact", Mode::Exact),
    ("flood", Mode::Flood),
    ("deaf", Mode::Deaf),
    ("silent", Mode::Silent),
];

const EAGER: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                     Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// The bytes that `echo` sends after the client's end: `tail:` and 200 KiB of noise.
pub fn tail() -> Vec<u8> {
    let mut tail = b"tail:".to_vec();
    tail.extend(noise(200 * 1024));
    tail
}

/// The mode that a name selects by its part before the first dot.
fn mode(name: &str) -> Option<Mode> {
    let wanted = name.split('.').next().unwrap_or_default();
    let (_, mode) = MODES.iter().find(|(name, _)| *name == wanted)?;
    Some(*mode)
}

pub(super) async fn exec(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    if !x.config.execs.iter().any(|known| known == id) {
        return x.error(404, &format!("No such exec instance: {id}")).await;
    }
    let mode = mode(id).unwrap_or(Mode::Exact);
    let common = x.common_fields();
    if mode == Mode::Eager {
        upgrade(x, &common, b"").await?;
        x.drain().await?;
        return converse(x, mode).await;
    }
    x.drain().await?;
    let mut detached = false;
    x.ticket.note(|seen| {
        detached = seen
            .json()
            .is_some_and(|body| body["Detach"] == Value::Bool(true));
    });
    if detached {
        return x.reply(200, "text/plain", b"").await;
    }
    hand_over(x, &common, mode).await
}

/// Unlike exec, attach sends neither moby's common fields nor a JSON error.
pub(super) async fn attach(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    x.drain().await?;
    let (status, message) = match find(&x.config, id) {
        Ok(row) if row.get(MADE).is_some() && x.config.program.is_some() => {
            let id = row["Id"].as_str().unwrap_or_default().to_owned();
            return run(x, &id).await;
        }
        Ok(row) => {
            let mode = mode(name(row)).unwrap_or(Mode::Exact);
            return hand_over(x, "", mode).await;
        }
        Err(refusal) => refusal,
    };
    let reason = if status == 404 {
        "Not Found"
    } else {
        "Bad Request"
    };
    let refusal = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n\
         {message}\r\n"
    );
    x.link.send(refusal.as_bytes()).await?;
    Ok(After::Close)
}

/// Runs the program of a created container: its output has moby's frames. Its input ends
/// with the client's, and an `AutoRemove` container goes when its program has ended.
async fn run(x: &mut Exchange<'_>, id: &str) -> io::Result<After> {
    upgrade(x, "", b"").await?;
    let Some(program) = x.config.program.clone() else {
        return Ok(After::Close);
    };
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let running = tokio::spawn(program(theirs));
    let (mut output, mut input) = tokio::io::split(ours);
    let Link { reader, writer } = &mut *x.link;
    let feed = async {
        let fed = tokio::io::copy(reader, &mut input).await;
        let _ = input.shutdown().await;
        fed.map(drop)
    };
    let show = async {
        let mut piece = vec![0; 32 * 1024];
        loop {
            let length = output.read(&mut piece).await?;
            if length == 0 {
                return io::Result::Ok(());
            }
            let mut header = vec![1, 0, 0, 0];
            header.extend(u32::try_from(length).unwrap_or(0).to_be_bytes());
            writer.write_all(&header).await?;
            writer.write_all(&piece[..length]).await?;
            writer.flush().await?;
        }
    };
    let (fed, shown) = tokio::join!(feed, show);
    drop((fed, shown));
    running.abort();
    x.shared.change(|config| {
        let mut rows = config.rows("containers").to_vec();
        rows.retain(|row| row["Id"] != id || row[HOST]["AutoRemove"] != true);
        config.put("containers", rows);
    });
    Ok(After::Close)
}

/// BuildKit's two endpoints, which echo all bytes.
pub(super) async fn session(x: &mut Exchange<'_>) -> io::Result<After> {
    match x.head.header("Upgrade").map(str::to_owned) {
        None => x.error(500, "no upgrade proto in request").await,
        Some(other) if other != "h2c" => {
            let message = format!("protocol {other} not supported");
            x.error(500, &message).await
        }
        Some(_) => {
            x.drain().await?;
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
            x.link.send(head.as_bytes()).await?;
            converse(x, Mode::Exact).await
        }
    }
}

/// A connection of an engine that upgrades before the request arrives.
pub(super) async fn eager(connected: &Connected, link: &mut Link) -> io::Result<()> {
    link.send(EAGER.as_bytes()).await?;
    let Some(head) = Head::read(&mut link.reader).await? else {
        return Ok(());
    };
    if let Some(mut x) = Exchange::begin(connected, link, head) {
        x.drain().await?;
        converse(&mut x, Mode::Exact).await?;
    }
    Ok(())
}

async fn hand_over(x: &mut Exchange<'_>, fields: &str, mode: Mode) -> io::Result<After> {
    let first: &[u8] = if mode == Mode::Early { b"early" } else { b"" };
    upgrade(x, fields, first).await?;
    converse(x, mode).await
}

/// Upgrades with moby's answer, which depends on the client's `Upgrade` header.
async fn upgrade(x: &mut Exchange<'_>, fields: &str, first: &[u8]) -> io::Result<()> {
    let raw = "Content-Type: application/vnd.docker.raw-stream\r\n";
    let head = if x.head.header("Upgrade").is_some() {
        format!("HTTP/1.1 101 UPGRADED\r\n{raw}Connection: Upgrade\r\nUpgrade: tcp\r\n{fields}\r\n")
    } else {
        format!("HTTP/1.1 200 OK\r\n{raw}{fields}\r\n")
    };
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(first);
    x.link.send(&bytes).await
}

async fn converse(x: &mut Exchange<'_>, mode: Mode) -> io::Result<After> {
    if mode == Mode::ServerFirst {
        x.link.send(b"hello").await?;
        sleep(Duration::from_millis(100)).await;
        x.link.close_write().await?;
    }
    if mode == Mode::Flood {
        return flood(x).await;
    }
    if mode == Mode::Deaf {
        let (_, mut published) = x.shared.listen();
        // An error means that no event can come any more.
        let _ = published.recv().await;
    }
    loop {
        let bytes = x.link.receive().await?;
        if bytes.is_empty() {
            break;
        }
        x.ticket.note(|seen| seen.raw.add(&bytes));
        match mode {
            Mode::ServerFirst | Mode::Silent => {}
            Mode::Echo => x.link.send(&bytes.to_ascii_uppercase()).await?,
            Mode::Early | Mode::Eager | Mode::Exact | Mode::Flood | Mode::Deaf => {
                x.link.send(&bytes).await?;
            }
        }
    }
    x.ticket.note(|seen| seen.client_closed = true);
    if mode == Mode::Silent {
        x.link.send(&noise(64 * 1024)).await?;
        let (_, mut published) = x.shared.listen();
        let _ = published.recv().await;
    }
    if mode == Mode::Echo {
        sleep(Duration::from_millis(300)).await;
        x.link.send(&tail()).await?;
    }
    Ok(After::Close)
}

async fn flood(x: &mut Exchange<'_>) -> io::Result<After> {
    let mut source = Noise::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        source.fill(&mut piece);
        if x.link.send(&piece).await.is_err() {
            x.ticket.note(|seen| seen.client_closed = true);
            return Ok(After::Close);
        }
        x.ticket.note(|seen| seen.sent += piece.len() as u64);
    }
}
