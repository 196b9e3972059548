//! Reads the time of day; no other module does.
//!
//! The wall clock gives time stamps for people and other machines, and checks
//! theirs: in signatures, certificates, and clients' time limits. Somebody may
//! set it at any time. Durations are therefore measured with [`Instant`], which
//! nobody can set.

#![expect(
    clippy::disallowed_methods,
    reason = "the only module that reads the wall clock"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The time of day.
pub fn wall() -> SystemTime {
    let now = SystemTime::now();
    #[cfg(test)]
    let now = stepped::as_set(now);
    now
}

/// Time since the Unix epoch; zero if the clock is set before it.
pub fn now() -> Duration {
    wall().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// To measure durations from.
    pub(crate) instant: Instant,
    /// In seconds since the Unix epoch, for people and other machines.
    pub(crate) unix: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            instant: Instant::now(),
            unix: now().as_secs(),
        }
    }
}

/// A wall clock that a test sets. Each thread has its own, so tests that run at
/// the same time do not see it.
#[cfg(test)]
pub(crate) mod stepped {
    use std::cell::Cell;
    use std::time::{Duration, SystemTime};

    /// The error of a clock in the neighbouring time zone.
    pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

    /// A clock that is an hour ahead, and one that is an hour behind.
    pub(crate) const STEPS: [Step; 2] = [|now| now + HOUR, |now| now - HOUR];

    type Step = fn(SystemTime) -> SystemTime;

    thread_local! {
        static STEP: Cell<Step> = const { Cell::new(|now| now) };
    }

    pub(super) fn as_set(now: SystemTime) -> SystemTime {
        STEP.get()(now)
    }

    /// Sets the clock of this thread.
    pub(crate) fn set(step: Step) {
        STEP.set(step);
    }
}
