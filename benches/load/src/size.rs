//! The size of skep: its memory, and its image, which contains only the program.

use std::path::Path;
use std::time::Duration;

use crate::connection::Connection;
use crate::engine::PING;
use crate::fronts::Fronts;
use crate::{say, signed};

/// How long the idle agent is watched: two of its rounds.
const WATCHED: Duration = Duration::from_secs(10);

/// Fewer than the places that one source has before authentication.
const CONNECTIONS: usize = 400;

/// The agent has dropped what a finished request needed.
const SETTLED: Duration = Duration::from_secs(1);

/// The memory of a connection that waits, in bytes.
pub(crate) struct Waiting {
    /// For its first request.
    first: u64,
    /// For its next one.
    next: u64,
}

impl Waiting {
    /// Opens connections to skep, and sends one request on each.
    pub(crate) async fn measure(fronts: &Fronts) -> anyhow::Result<Self> {
        let requests = signed::requests(&fronts.signers, PING, None, CONNECTIONS)?;
        let before = fronts.skep_rss()?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(fronts.skep.address, &fronts.tls).await?);
        }
        tokio::time::sleep(SETTLED).await;
        let opened = fronts.skep_rss()?;
        for (connection, request) in connections.iter_mut().zip(&requests) {
            connection.ask(request).await?;
        }
        tokio::time::sleep(SETTLED).await;
        let asked = fronts.skep_rss()?;
        let each = |memory: u64| memory.saturating_sub(before) / CONNECTIONS as u64;
        Ok(Self {
            first: each(opened),
            next: each(asked),
        })
    }
}

/// What an agent costs that nobody calls.
pub(crate) struct Idle {
    /// Its memory, in bytes.
    memory: u64,
    /// Its processor time while it was watched.
    cpu: Duration,
}

impl Idle {
    /// Watches the agent of the fronts.
    pub(crate) async fn measure(fronts: &Fronts) -> anyhow::Result<Self> {
        let memory = fronts.skep_rss()?;
        let before = fronts.skep_cpu()?;
        tokio::time::sleep(WATCHED).await;
        let cpu = fronts.skep_cpu()?.saturating_sub(before);
        Ok(Self { memory, cpu })
    }

    /// Its processor time per minute, in milliseconds.
    fn per_minute(&self) -> f64 {
        1000.0 * 60.0 * self.cpu.as_secs_f64() / WATCHED.as_secs_f64()
    }
}

/// Prints what the agent costs when `idle`, its memory `after` the load in bytes, that
/// of a connection, and the image size.
pub(crate) fn print(skep: &Path, idle: &Idle, waiting: &Waiting, after: u64) -> anyhow::Result<()> {
    let image = std::fs::metadata(skep)?.len();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    say(&format!(
        "\nMemory: {:.1} MB idle (goal: at most 15), {:.1} MB after the load. Processor: {:.0} ms per minute idle. \
         Image: {:.1} MB (goal: at most 17).",
        mb(idle.memory),
        mb(after),
        idle.per_minute(),
        mb(image),
    ))?;
    let kib = |bytes: u64| bytes as f64 / 1024.0;
    say(&format!(
        "A TLS connection: {:.1} KiB before its first request, {:.1} KiB between two (goal: at most 16).",
        kib(waiting.first),
        kib(waiting.next),
    ))
}
