//! The size of skep: its memory, and its image, which contains only the program.

use std::path::Path;
use std::time::Duration;

use crate::fronts::Fronts;
use crate::say;

/// How long the idle agent is watched: two of its rounds.
const WATCHED: Duration = Duration::from_secs(10);

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

/// Prints what the agent costs when `idle`, its memory `after` the load in bytes, and
/// the image size.
pub(crate) fn print(skep: &Path, idle: &Idle, after: u64) -> anyhow::Result<()> {
    let image = std::fs::metadata(skep)?.len();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    say(&format!(
        "\nMemory: {:.1} MB idle (goal: at most 15), {:.1} MB after the load. Processor: {:.0} ms per minute idle. \
         Image: {:.1} MB (goal: at most 15).",
        mb(idle.memory),
        mb(after),
        idle.per_minute(),
        mb(image),
    ))
}
