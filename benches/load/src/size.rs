//! The size of skep: its memory, and its image, which contains only the program.

use std::path::Path;

use crate::say;

/// Prints the memory `idle` and `after` the load, in bytes, and the image size.
pub(crate) fn print(skep: &Path, idle: u64, after: u64) -> anyhow::Result<()> {
    let image = std::fs::metadata(skep)?.len();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    say(&format!(
        "\nMemory: {:.1} MB idle (goal: at most 15), {:.1} MB after the load. Image: {:.1} MB (goal: at most 15).",
        mb(idle),
        mb(after),
        mb(image),
    ))
}
