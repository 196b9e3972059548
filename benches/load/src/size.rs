//! What skep weighs: memory, and the image, which holds the program and
//! nothing else.

use std::path::Path;

use crate::say;

/// `idle` and `after` the load, in bytes.
pub(crate) fn print(skep: &Path, idle: u64, after: u64) -> anyhow::Result<()> {
    let image = std::fs::metadata(skep)?.len();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    say(&format!(
        "\nMemory: {:.1} MB idle (aim: at most 15), {:.1} MB after the load. Image: {:.1} MB (aim: at most 15).",
        mb(idle),
        mb(after),
        mb(image),
    ))
}
