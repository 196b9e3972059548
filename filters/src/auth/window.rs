//! Defines the time window of signatures.

use std::time::Duration;

/// The limits for the time stamp of a request, relative to the clock of the agent, in
/// whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// The greatest age of a request.
    pub past: Duration,
    /// The greatest time by which a request may be ahead of the clock.
    pub future: Duration,
}

impl Window {
    /// Whether a request created at `created` is acceptable at `now`, both in
    /// seconds since the epoch.
    #[must_use]
    pub fn admits(&self, created: u64, now: u64) -> bool {
        created <= now.saturating_add(self.future_seconds())
            && now <= created.saturating_add(self.past_seconds())
    }

    pub(super) fn past_seconds(&self) -> u64 {
        self.past.as_secs()
    }

    pub(super) fn future_seconds(&self) -> u64 {
        self.future.as_secs()
    }
}

impl Default for Window {
    fn default() -> Self {
        Self {
            past: Duration::from_secs(30),
            future: Duration::from_secs(10),
        }
    }
}
