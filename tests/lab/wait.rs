//! Bounded waits for a condition.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(200);

/// Checks until `check` succeeds; returns the time that took, and the result.
///
/// # Panics
/// If it does not succeed in time, with the reason of the last check.
#[track_caller]
pub(crate) fn eventually<T>(
    seconds: u64,
    what: &str,
    mut check: impl FnMut() -> Result<T, String>,
) -> (Duration, T) {
    let started = Instant::now();
    loop {
        match check() {
            Ok(found) => return (started.elapsed(), found),
            Err(reason) if started.elapsed() > Duration::from_secs(seconds) => {
                panic!("not within {seconds} s: {what}\n{reason}")
            }
            Err(_) => sleep(PAUSE),
        }
    }
}
