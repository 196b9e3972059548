//! The one place of ours that asks for the time of day.
//!
//! The wall clock stamps what people and other machines read, and judges what
//! they have stamped: signatures, certificates, the end that a client names.
//! Somebody may set it at any time. How long something has lasted is therefore
//! measured with [`Instant`], which no one sets.

#![expect(clippy::disallowed_methods, reason = "all others ask here")]

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

/// When something happened: for ourselves, and for others to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// What lasts is measured from here.
    pub(crate) instant: Instant,
    /// In seconds since the Unix epoch.
    pub(crate) unix: u64,
}

impl Moment {
    /// This moment.
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

    /// By how much somebody sets a clock wrong who confuses two time zones.
    pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

    /// Both ways in which the clock may be wrong by that much.
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
