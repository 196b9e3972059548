//! Limits the rate of refusals that are logged one by one, and counts the rest.

use std::time::{Duration, Instant};

/// The most refusals that are logged in a burst.
const BURST: u32 = 50;

/// After each interval, one more may be logged.
const EVERY: Duration = Duration::from_millis(100);

/// A token bucket, and the count of the refusals that it suppressed.
pub(super) struct Allowance {
    /// The time at which [`BURST`] refusals may be logged again.
    full_at: Instant,
    suppressed: u64,
    last: String,
}

/// Whether a refusal is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is logged.
    Log,
    /// It is the first suppressed one since the count was taken.
    FirstSuppressed,
    /// It is suppressed like the one before.
    Suppressed,
}

impl Allowance {
    /// An allowance for a whole [`BURST`].
    pub(super) fn new(now: Instant) -> Self {
        Self {
            full_at: now,
            suppressed: 0,
            last: String::new(),
        }
    }

    /// Decides about a refusal at `now` of a client at the address `from`.
    pub(super) fn refused(&mut self, now: Instant, from: &str) -> Verdict {
        let full_at = self.full_at.max(now) + EVERY;
        if full_at - now <= EVERY * BURST {
            self.full_at = full_at;
            return Verdict::Log;
        }
        self.suppressed = self.suppressed.saturating_add(1);
        from.clone_into(&mut self.last);
        match self.suppressed {
            1 => Verdict::FirstSuppressed,
            _ => Verdict::Suppressed,
        }
    }

    /// Takes the count of suppressed refusals and the address of the last client.
    pub(super) fn take_suppressed(&mut self) -> Option<(u64, String)> {
        let count = std::mem::take(&mut self.suppressed);
        (count > 0).then(|| (count, std::mem::take(&mut self.last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_logged_and_then_ten_per_second() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut logged = |after: Duration, refusals: u32| {
            let verdicts = (0..refusals).map(|_| allowance.refused(start + after, "a"));
            verdicts.filter(|v| *v == Verdict::Log).count()
        };
        assert_eq!(logged(Duration::ZERO, 1000), 50);
        assert_eq!(logged(Duration::from_millis(99), 1000), 0);
        assert_eq!(logged(Duration::from_secs(1), 1000), 10);
        assert_eq!(logged(Duration::from_secs(100), 1000), 50);
    }

    #[test]
    fn refusals_below_the_rate_are_always_logged() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for n in 0..1000 {
            assert_eq!(allowance.refused(start + EVERY * n, "a"), Verdict::Log);
        }
        assert_eq!(allowance.take_suppressed(), None);
    }

    #[test]
    fn all_suppressed_refusals_are_counted() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for _ in 0..BURST {
            allowance.refused(start, "a");
        }
        assert_eq!(allowance.refused(start, "b"), Verdict::FirstSuppressed);
        assert_eq!(allowance.refused(start, "c"), Verdict::Suppressed);
        assert_eq!(allowance.take_suppressed(), Some((2, "c".to_owned())));
        assert_eq!(allowance.take_suppressed(), None);
        assert_eq!(allowance.refused(start, "d"), Verdict::FirstSuppressed);
    }
}
