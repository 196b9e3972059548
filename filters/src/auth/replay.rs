//! Remembers nonces, so that a signed request is accepted once.
//!
//! The memory outlives the keys and the configuration: a reload forgets nothing.
//! It does not survive a restart, and agents do not share it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::error::AuthError;
use super::window::Window;

/// The span of `created` of one generation, in seconds. Nonces are forgotten by
/// whole generations, so a nonce may be kept this much longer than needed.
const GENERATION: u64 = 4;

/// The longest gap between two forgotten times that are merged, in seconds.
const MERGE_GAP: u64 = 300;

/// The most forgotten times of a key.
const MAX_FORGOTTEN: usize = 8;

/// Remembers which nonces each key has used.
///
/// A nonce is kept until `created + past + future`, counted from the time stamp
/// of the *request*, not from its arrival. To keep it for the length of the
/// window after arrival is the classic mistake: a request stamped `future`
/// seconds ahead is acceptable for `past + future` seconds after it was first
/// seen. The additional `future` is for a clock that is set back a little. If the
/// clock is set back further, requests stamped within a forgotten time are
/// refused, because they might be replays.
/// Requests stamped between two such times are accepted: after a clock was an hour
/// ahead for a moment, only requests of that moment are refused.
///
/// Nonces are grouped by their time stamp into generations of a few seconds, and
/// expiry drops whole generations, so a call never scans. The time stamp is
/// signed, so a replay has that of the original and is found in the same
/// generation.
///
/// Each key has a quota. A key that has used it up is refused until its oldest
/// nonces expire: to evict live ones would allow a replay.
#[derive(Debug)]
pub struct NonceMemory {
    quota: usize,
    keys: Mutex<HashMap<Box<str>, Nonces>>,
}

impl NonceMemory {
    /// The default quota: 5,000 requests a second by one key, for as long as the
    /// default [`Window`] requires to remember them. A full quota takes up to
    /// 10 MB.
    pub const DEFAULT_QUOTA: usize = 1 << 18;

    /// An empty memory of at most `quota` nonces per key.
    #[must_use]
    pub fn new(quota: usize) -> Self {
        Self {
            quota,
            keys: Mutex::default(),
        }
    }

    /// Remembers the nonce of a request that is valid otherwise.
    ///
    /// Call it with the ids of existing keys only: each id gets an entry that is
    /// never removed.
    ///
    /// # Errors
    ///
    /// [`AuthError::Replay`] if the nonce is known, [`AuthError::Overloaded`] if the
    /// quota of the key is used up, [`AuthError::TimestampSkew`] if `created` is in a
    /// forgotten time.
    pub(super) fn remember(
        &self,
        key_id: &str,
        nonce: u128,
        created: u64,
        now: u64,
        window: Window,
    ) -> Result<(), AuthError> {
        // No code that can panic runs under the lock, so the data of a poisoned one is
        // consistent.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let nonces = match keys.get_mut(key_id) {
            Some(nonces) => nonces,
            None => keys.entry(key_id.into()).or_default(),
        };
        nonces.forget(now, window);
        if nonces.forgotten.iter().any(|time| time.contains(&created)) {
            return Err(AuthError::TimestampSkew { created, now });
        }
        let full = nonces.live >= self.quota;
        let generation = nonces.generations.entry(created / GENERATION).or_default();
        if generation.contains(&nonce) {
            return Err(AuthError::Replay {
                key_id: key_id.to_owned(),
            });
        }
        if full {
            return Err(AuthError::Overloaded {
                key_id: key_id.to_owned(),
                quota: self.quota,
            });
        }
        generation.insert(nonce);
        nonces.live += 1;
        Ok(())
    }
}

impl Default for NonceMemory {
    fn default() -> Self {
        Self::new(Self::DEFAULT_QUOTA)
    }
}

/// The nonces of one key.
#[derive(Debug, Default)]
struct Nonces {
    /// By `created / GENERATION`.
    generations: BTreeMap<u64, HashSet<u128>>,
    /// The number of nonces in all generations.
    live: usize,
    /// The seconds whose nonces are forgotten: in order, not adjacent, and at most
    /// [`MAX_FORGOTTEN`].
    forgotten: Vec<Range<u64>>,
}

impl Nonces {
    fn forget(&mut self, now: u64, window: Window) {
        let kept = window
            .past_seconds()
            .saturating_add(window.future_seconds());
        while let Some(oldest) = self.generations.first_entry() {
            let end = oldest.key().saturating_add(1).saturating_mul(GENERATION);
            if end.saturating_add(kept) > now {
                break;
            }
            let start = oldest.key() * GENERATION;
            self.live -= oldest.remove().len();
            self.forgotten.push(start..end);
            self.merge_forgotten();
        }
    }

    /// Merges times that are close to each other, and the earliest ones if there are
    /// too many. Requests stamped between merged times are refused too.
    fn merge_forgotten(&mut self) {
        self.forgotten.sort_unstable_by_key(|time| time.start);
        let too_many = |times: &[Range<u64>]| times.len() > MAX_FORGOTTEN;
        let mut n = 1;
        while let Some([before, after]) = self.forgotten.get(n - 1..=n) {
            let close = after.start.saturating_sub(before.end) <= MERGE_GAP;
            if close || n == 1 && too_many(&self.forgotten) {
                let end = before.end.max(after.end);
                self.forgotten[n - 1].end = end;
                self.forgotten.remove(n);
            } else {
                n += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_767_225_600;

    fn window() -> Window {
        Window::default()
    }

    fn remember(memory: &NonceMemory, nonce: u128, created: u64, now: u64) -> &'static str {
        match memory.remember("ci", nonce, created, now, window()) {
            Ok(()) => "fresh",
            Err(error) => error.reason(),
        }
    }

    #[test]
    fn a_nonce_is_accepted_once_per_key() {
        let memory = NonceMemory::default();
        assert_eq!(remember(&memory, 1, NOW, NOW), "fresh");
        assert_eq!(remember(&memory, 1, NOW, NOW + 5), "replay");
        assert_eq!(remember(&memory, 2, NOW, NOW), "fresh");
        assert_eq!(memory.remember("other", 1, NOW, NOW, window()), Ok(()));
    }

    #[test]
    fn a_full_quota_refuses_until_nonces_expire() {
        let memory = NonceMemory::new(2);
        assert_eq!(remember(&memory, 1, NOW, NOW), "fresh");
        assert_eq!(remember(&memory, 2, NOW, NOW), "fresh");
        assert_eq!(remember(&memory, 3, NOW, NOW), "overloaded");
        assert_eq!(remember(&memory, 1, NOW, NOW), "replay");
        assert_eq!(memory.remember("other", 3, NOW, NOW, window()), Ok(()));
        let later = NOW + 40 + GENERATION;
        assert_eq!(remember(&memory, 3, later, later), "fresh");
    }

    #[test]
    fn requests_of_a_forgotten_time_are_refused_when_the_clock_goes_back() {
        let memory = NonceMemory::default();
        assert_eq!(remember(&memory, 1, NOW, NOW), "fresh");
        let hour_ahead = NOW + 3600;
        assert_eq!(remember(&memory, 2, hour_ahead, hour_ahead), "fresh");
        assert_eq!(remember(&memory, 1, NOW, NOW), "timestamp-skew");
        let moments_later = NOW + GENERATION;
        assert_eq!(remember(&memory, 3, moments_later, moments_later), "fresh");
    }

    #[test]
    fn a_clock_an_hour_off_for_some_minutes_blocks_no_hour_of_requests() {
        const HOUR: u64 = 3600;
        let ahead = |now: u64| now + HOUR;
        let behind = |now: u64| now - HOUR;
        for wrong in [ahead, behind] {
            let memory = NonceMemory::default();
            // A busy key: right, then wrong, then right again.
            for second in 0..600 {
                let now = NOW + second;
                let shown = if (200..400).contains(&second) {
                    wrong(now)
                } else {
                    now
                };
                let nonce = u128::from(second);
                assert_eq!(remember(&memory, nonce, shown, shown), "fresh", "{second}");
            }
            // No used nonce is accepted again, by either clock.
            for second in (0..600).step_by(7) {
                let now = NOW + second;
                let nonce = u128::from(second);
                for shown in [now, wrong(now)] {
                    let used = (200..400).contains(&second) == (shown != now);
                    if used {
                        assert_ne!(remember(&memory, nonce, shown, shown), "fresh", "{second}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_number_of_forgotten_times_is_bounded() {
        let memory = NonceMemory::default();
        for hour in 0..1000 {
            let now = NOW + hour * 3600;
            assert_eq!(remember(&memory, 1, now, now), "fresh");
        }
        assert!(memory.keys.lock().unwrap()["ci"].forgotten.len() <= MAX_FORGOTTEN);
        for hour in 0..999 {
            let now = NOW + hour * 3600;
            assert_eq!(remember(&memory, 1, now, now), "timestamp-skew");
        }
    }

    #[test]
    fn expired_generations_are_dropped() {
        let memory = NonceMemory::default();
        for second in 0..1000 {
            assert_eq!(
                remember(&memory, 7, NOW + second, NOW + second) == "fresh",
                second % GENERATION == 0
            );
        }
        let keys = memory.keys.lock().unwrap();
        let nonces = &keys["ci"];
        let most = (40 / GENERATION + 2) as usize;
        assert!(
            nonces.generations.len() <= most,
            "{}",
            nonces.generations.len()
        );
        assert!(nonces.live <= most, "{}", nonces.live);
    }

    proptest! {
        /// For any steps of the clock, no request in the window is fresh twice.
        #[test]
        fn no_nonce_is_ever_fresh_twice(
            calls in prop::collection::vec((0u128..4, 0u64..12, 0u64..400), 1..200)
        ) {
            let memory = NonceMemory::default();
            let mut fresh = HashSet::new();
            for (nonce, slot, now) in calls {
                let (created, now) = (NOW + slot * 30, NOW + now);
                if window().admits(created, now)
                    && remember(&memory, nonce, created, now) == "fresh"
                {
                    prop_assert!(fresh.insert((nonce, created)), "{nonce} at {created}, clock {now}");
                }
            }
        }
    }
}
