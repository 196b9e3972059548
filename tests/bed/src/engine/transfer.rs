//! Bulk data in either direction, never held: `save`, `load`, and `build`,
//! which talks while it listens.

use std::io;

use super::exchange::{After, Exchange};
use super::images;
use crate::payload::{Noise, Tally};

/// How much of a build's context arrives between two lines of progress.
const STEP: u64 = 64 * 1024;

/// Sends as much [`Noise`] as the engine was told to.
pub(super) async fn save(x: &mut Exchange<'_>) -> io::Result<After> {
    x.drain().await?;
    x.start("application/x-tar").await?;
    let mut noise = Noise::new();
    let mut buffer = vec![0; 32 * 1024];
    let mut left = x.config.transfer;
    while left > 0 {
        let n = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        noise.fill(&mut buffer[..n]);
        x.chunk(&buffer[..n]).await?;
        left -= n as u64;
    }
    x.finish().await
}

pub(super) async fn load(x: &mut Exchange<'_>) -> io::Result<After> {
    let mut arrived = Tally::default();
    while let Some(piece) = x.next_piece().await? {
        arrived.add(&piece);
    }
    x.start("application/json").await?;
    if images::failed(x).await? {
        return x.finish().await;
    }
    x.chunk(result("Loaded", &arrived).as_bytes()).await?;
    x.finish().await
}

/// The answer begins with the first piece of the context, whose rest is still to come.
pub(super) async fn build(x: &mut Exchange<'_>) -> io::Result<After> {
    let mut arrived = Tally::default();
    let mut said = None;
    while let Some(piece) = x.next_piece().await? {
        arrived.add(&piece);
        let step = arrived.bytes / STEP;
        if said == Some(step) {
            continue;
        }
        if said.is_none() {
            x.start("application/json").await?;
        }
        said = Some(step);
        let line = format!("{{\"stream\":\"received {} bytes\"}}\n", arrived.bytes);
        x.chunk(line.as_bytes()).await?;
    }
    if said.is_none() {
        x.start("application/json").await?;
    }
    x.chunk(result("Built", &arrived).as_bytes()).await?;
    x.finish().await
}

/// The last line: what arrived and its checksum.
fn result(done: &str, arrived: &Tally) -> String {
    let (bytes, sum) = (arrived.bytes, arrived.sum.value());
    format!("{{\"stream\":\"{done} {bytes} bytes {sum:016x}\"}}\n")
}
