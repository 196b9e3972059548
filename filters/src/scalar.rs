//! Parses values that settings and policies share: durations and sizes.

mod duration;
mod size;

pub use duration::{BadDuration, format_duration, parse_duration};
pub use size::{BadSize, Size};
