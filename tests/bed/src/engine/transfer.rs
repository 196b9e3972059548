//! Bulk data in either direction, never buffered: `save`, `load`, and `build`,
//! which reports progress while it reads.

use std::io;

use super::exchange::{After, Exchange};
use super::images;
use crate::payload::{Noise, Tally};

/// The bytes of a build's context between two lines of progress.
const STEP: u64 = 64 * 1024;

/// Sends the configured amount of [`Noise`].
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
    x.shared.change(|config| {
        let rows = [config.rows("images"), config.rows("loads")].concat();
        config.put("images", rows);
    });
    x.chunk(result("Loaded", &arrived).as_bytes()).await?;
    x.finish().await
}

/// Begins the answer at the first piece of the context, before the rest arrives.
pub(super) async fn build(x: &mut Exchange<'_>) -> io::Result<After> {
    let mut arrived = Tally::default();
    let mut reported = None;
    while let Some(piece) = x.next_piece().await? {
        arrived.add(&piece);
        let step = arrived.bytes / STEP;
        if reported == Some(step) {
            continue;
        }
        if reported.is_none() {
            x.start("application/json").await?;
        }
        reported = Some(step);
        let line = format!("{{\"stream\":\"received {} bytes\"}}\n", arrived.bytes);
        x.chunk(line.as_bytes()).await?;
    }
    if reported.is_none() {
        x.start("application/json").await?;
    }
    x.chunk(result("Built", &arrived).as_bytes()).await?;
    x.finish().await
}

/// The last line: the size and the checksum of the body.
fn result(done: &str, arrived: &Tally) -> String {
    let (bytes, sum) = (arrived.bytes, arrived.sum.value());
    format!("{{\"stream\":\"{done} {bytes} bytes {sum:016x}\"}}\n")
}
