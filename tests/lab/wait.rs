//! Waiting for what will be so, but for no longer than it may take.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Looks until `look` succeeds; how long that took, and what was found.
///
/// # Panics
/// If it does not within so many seconds, with the reason of the last look.
#[track_caller]
pub(crate) fn eventually<T>(
    seconds: u64,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> (Duration, T) {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return (started.elapsed(), found),
            Err(reason) if started.elapsed() > Duration::from_secs(seconds) => {
                panic!("not within {seconds} s: {what}\n{reason}")
            }
            Err(_) => sleep(PAUSE),
        }
    }
}
