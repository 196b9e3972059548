//! How old a request may be, and how far ahead of the clock.

use std::time::Duration;

/// How far the time stamp of a request may be from the clock of the agent, in
/// whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// How old a request may be.
    pub past: Duration,
    /// How far ahead of the clock of the agent a request may be.
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
