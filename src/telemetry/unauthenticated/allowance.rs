//! The rate up to which refusals are told one by one, and the count of the rest.

use std::time::{Duration, Instant};

/// So many are told at once.
const BURST: u32 = 50;

/// One more may be told after so long.
const EVERY: Duration = Duration::from_millis(100);

/// What may still be told, and what was not.
pub(super) struct Allowance {
    /// When there is room for [`BURST`] again.
    full_at: Instant,
    left_out: u64,
    last: String,
}

/// What becomes of one refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is told.
    Tell,
    /// It is the first that is left out since the count was taken.
    FirstLeftOut,
    /// It is left out like the one before.
    LeftOut,
}

impl Allowance {
    /// With room for all of [`BURST`].
    pub(super) fn new(now: Instant) -> Self {
        Self {
            full_at: now,
            left_out: 0,
            last: String::new(),
        }
    }

    /// A refusal at `now` of somebody at `from`.
    pub(super) fn refused(&mut self, now: Instant, from: &str) -> Verdict {
        let full_at = self.full_at.max(now) + EVERY;
        if full_at - now <= EVERY * BURST {
            self.full_at = full_at;
            return Verdict::Tell;
        }
        self.left_out = self.left_out.saturating_add(1);
        from.clone_into(&mut self.last);
        match self.left_out {
            1 => Verdict::FirstLeftOut,
            _ => Verdict::LeftOut,
        }
    }

    /// Takes the count of those left out, and where the last of them was from.
    pub(super) fn left_out(&mut self) -> Option<(u64, String)> {
        let count = std::mem::take(&mut self.left_out);
        (count > 0).then(|| (count, std::mem::take(&mut self.last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_and_then_ten_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut told = |after: Duration, refusals: u32| {
            let verdicts = (0..refusals).map(|_| allowance.refused(start + after, "a"));
            verdicts.filter(|v| *v == Verdict::Tell).count()
        };
        assert_eq!(told(Duration::ZERO, 1000), 50);
        assert_eq!(told(Duration::from_millis(99), 1000), 0);
        assert_eq!(told(Duration::from_secs(1), 1000), 10);
        assert_eq!(told(Duration::from_secs(100), 1000), 50);
    }

    #[test]
    fn who_stays_below_the_rate_is_always_told() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for n in 0..1000 {
            assert_eq!(allowance.refused(start + EVERY * n, "a"), Verdict::Tell);
        }
        assert_eq!(allowance.left_out(), None);
    }

    #[test]
    fn what_is_left_out_is_counted_to_the_last_one() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for _ in 0..BURST {
            allowance.refused(start, "a");
        }
        assert_eq!(allowance.refused(start, "b"), Verdict::FirstLeftOut);
        assert_eq!(allowance.refused(start, "c"), Verdict::LeftOut);
        assert_eq!(allowance.left_out(), Some((2, "c".to_owned())));
        assert_eq!(allowance.left_out(), None);
        assert_eq!(allowance.refused(start, "d"), Verdict::FirstLeftOut);
    }
}
