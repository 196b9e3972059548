//! The ways in which an engine can fail its clients.

use std::io;
use std::time::Duration;

use super::exchange::{After, Exchange};

/// The interval at which a held request checks whether it is still held.
const LOOK: Duration = Duration::from_millis(5);

/// How the engine treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// As moby does.
    Normal,
    /// After this long, as moby does.
    Slow(Duration),
    /// As moby does, after the test has given this path another behaviour.
    Held,
    /// Answers with bytes that are not HTTP, and closes.
    Garbage,
    /// Sends less JSON than its `Content-Length` says, and closes.
    HalfJson,
    /// Reads the request and never answers.
    Hang,
    /// Reads the head, reads no more and never answers.
    Stall,
    /// Begins a pull or a load correctly, then reports a failure in the stream.
    FailMidway,
    /// Closes at once: on accept if set for the whole engine, otherwise after the head.
    Refuse,
    /// An error with this status and a JSON message.
    Status(u16),
    /// The same without reading the request's body; then closes.
    Reject(u16),
    /// Sends a 101 as soon as it accepts a connection, before it reads
    /// anything, then echoes the bytes after one request. Works only for the
    /// whole engine.
    Eager,
}

/// Applies the behaviour; `None` if the request needs a normal answer.
pub(super) async fn inflict(x: &mut Exchange<'_>) -> io::Result<Option<After>> {
    let wait = match x.config.behaviour_of(&x.path) {
        Behaviour::Normal | Behaviour::Eager | Behaviour::FailMidway => Duration::ZERO,
        Behaviour::Stall => std::future::pending().await,
        Behaviour::Held => {
            while x.shared.config().behaviour_of(&x.path) == Behaviour::Held {
                if x.pause(LOOK).await {
                    return Ok(Some(After::Close));
                }
            }
            Duration::ZERO
        }
        Behaviour::Slow(wait) => wait,
        Behaviour::Refuse => return Ok(Some(After::Close)),
        Behaviour::Status(status) => {
            let after = x.error(status, "this engine is set to fail").await?;
            return Ok(Some(after));
        }
        Behaviour::Reject(status) => {
            let body = "{\"message\":\"this engine is set to reject\"}\n";
            let head = format!(
                "HTTP/1.1 {status} Rejected\r\nContent-Type: application/json\r\n\
                 Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            x.link.send(head.as_bytes()).await?;
            return Ok(Some(After::Close));
        }
        Behaviour::Garbage => return say(x, b"\x16\x03 this is not HTTP \xff\xfe\r\n\r\n").await,
        Behaviour::HalfJson => {
            let half = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                        Content-Length: 4096\r\n\r\n[{\"Id\":\"0123456789";
            return say(x, half.as_bytes()).await;
        }
        Behaviour::Hang => {
            x.drain().await?;
            x.link.ended().await;
            x.ticket.note(|seen| seen.client_closed = true);
            return Ok(Some(After::Close));
        }
    };
    let gone = x.pause(x.config.delay + wait).await;
    Ok(gone.then_some(After::Close))
}

async fn say(x: &mut Exchange<'_>, bytes: &[u8]) -> io::Result<Option<After>> {
    x.drain().await?;
    x.link.send(bytes).await?;
    Ok(Some(After::Close))
}
