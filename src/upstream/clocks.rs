//! Knows how far the clocks of other agents are from this one's. A request is signed
//! with the time of the agent that checks it, so a wrong clock cuts nobody off.
//!
//! The time comes from the agent itself, over TLS that verifies it. The window of a
//! signature and the memory of nonces stay as they are: the time stamp is by the clock
//! of the agent that remembers it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::client::MAX_AGENTS;
use crate::platform::clock;

/// The greatest difference for which an agent signs. A clock that is further off is
/// wrong in ways that must be seen.
const MOST: Skew = Skew(10 * 60 * 1000);

/// The difference that is worth a warning, and the one at which it ends.
const WARN: Skew = Skew(2000);
const FINE: Skew = Skew(1000);

/// The time that another clock is ahead of this one, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Skew(i64);

impl Skew {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) fn millis(self) -> i64 {
        self.0
    }

    /// The difference to a clock that is ahead of that one by so many milliseconds.
    pub(crate) fn and(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    fn size(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Whether the clocks are so far apart that agents refuse each other.
    pub(crate) fn is_too_great(self) -> bool {
        self.size() > MOST
    }

    /// The other clock's time, in seconds since the Unix epoch.
    pub(crate) fn now(self) -> u64 {
        let now = i64::try_from(clock::now().as_millis()).unwrap_or(i64::MAX);
        u64::try_from(now.saturating_add(self.0) / 1000).unwrap_or(0)
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, word) = match self.0 {
            0.. => (self.0, "ahead"),
            _ => (self.0.saturating_neg(), "behind"),
        };
        write!(f, "{}.{} s {word}", size / 1000, size % 1000 / 100)
    }
}

/// A question about the time, from when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// In milliseconds since the Unix epoch.
    unix: i64,
    began: Instant,
}

/// A difference between two clocks, and how exact it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) skew: Skew,
    /// The greatest error.
    error: Skew,
}

impl Asking {
    pub(crate) fn now() -> Self {
        Self {
            unix: i64::try_from(clock::now().as_millis()).unwrap_or(i64::MAX),
            began: Instant::now(),
        }
    }

    /// The time since it was asked.
    pub(crate) fn took(self) -> Duration {
        self.began.elapsed()
    }

    /// The answer has this time, in milliseconds since the Unix epoch. It was true about
    /// half of the round trip ago.
    pub(crate) fn answered(self, time: u64) -> Measured {
        let half = i64::try_from(self.took().as_millis() / 2).unwrap_or(i64::MAX);
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        Measured {
            skew: Skew(time.saturating_sub(self.unix).saturating_sub(half)),
            error: Skew(half),
        }
    }

    /// The time in a refusal, if that is because of the time.
    pub(crate) fn refused(self, body: &[u8]) -> Option<Measured> {
        #[derive(Deserialize)]
        struct Refusal {
            reason: String,
            /// In whole seconds.
            time: u64,
        }
        let refusal: Refusal = serde_json::from_slice(body).ok()?;
        let is_time = refusal.reason == "timestamp-skew";
        is_time.then(|| self.answered(refusal.time.saturating_mul(1000).saturating_add(500)))
    }
}

/// The differences to the clocks of other agents, by node id.
#[derive(Debug, Default)]
pub(crate) struct Clocks(Mutex<HashMap<String, Known>>);

#[derive(Debug, Default)]
struct Known {
    skew: Skew,
    is_warned: bool,
    /// Whether this agent has not measured it itself.
    is_told: bool,
}

impl Clocks {
    /// The difference for a request to this node.
    pub(crate) fn of(&self, node: &str) -> Skew {
        self.shown(node).unwrap_or_default()
    }

    /// The difference, if it was measured.
    pub(crate) fn shown(&self, node: &str) -> Option<Skew> {
        self.known().get(node).map(|known| known.skew)
    }

    /// Records a difference that another agent tells, unless this one has measured it.
    pub(crate) fn told(&self, node: &str, skew: Skew) {
        let mut all = self.known();
        if let Some(known) = all.get_mut(node) {
            if known.is_told {
                known.skew = skew;
            }
        } else if all.len() < 2 * MAX_AGENTS {
            let known = Known {
                skew,
                is_told: true,
                ..Known::default()
            };
            all.insert(node.to_owned(), known);
        }
    }

    /// Records a difference. The log has one line when it becomes great, and one when
    /// it ends.
    pub(crate) fn measured(&self, node: &str, hostname: &str, measured: Measured) {
        let Measured { skew, error } = measured;
        let mut all = self.known();
        if all.len() >= 2 * MAX_AGENTS && !all.contains_key(node) {
            all.clear();
        }
        let known = all.entry(node.to_owned()).or_default();
        known.skew = skew;
        known.is_told = false;
        let size = skew.size();
        if !known.is_warned && size.0.saturating_sub(error.0) >= WARN.0 {
            known.is_warned = true;
            tracing::warn!(
                node,
                hostname,
                "the clock of node {hostname} is {skew} of this node's; requests are signed by its \
                 clock up to 10 minutes: set the clocks by NTP (`timedatectl`)"
            );
        } else if known.is_warned && size.0 < FINE.0.saturating_add(error.0) {
            known.is_warned = false;
            tracing::info!(
                node,
                hostname,
                "the clock of node {hostname} is right again"
            );
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn exact(millis: i64) -> Measured {
        Measured {
            skew: Skew(millis),
            error: Skew(5),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_round_trip_is_the_time_of_the_answer() {
        let asking = Asking::now();
        advance(2 * SECOND).await;
        let there = u64::try_from(asking.unix).unwrap() + 1000 + 20_000;
        let measured = asking.answered(there);
        assert_eq!(measured.skew, Skew(20_000));
        assert_eq!(measured.error, Skew(1000));
        let behind = asking.answered(there - 40_000);
        assert_eq!(behind.skew.to_string(), "20.0 s behind");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_refusal_because_of_the_time_tells_the_time() {
        let asking = Asking::now();
        let time = asking.unix / 1000 + 60;
        let refusal =
            |reason: &str| format!(r#"{{"message":"","reason":"{reason}","time":{time}}}"#);
        let skew = asking.refused(refusal("timestamp-skew").as_bytes());
        let millis = skew.unwrap().skew.millis();
        assert!((59_000..=61_000).contains(&millis), "{millis}");
        assert_eq!(asking.refused(refusal("bad-signature").as_bytes()), None);
        assert_eq!(asking.refused(b"{}"), None);
        assert_eq!(asking.refused(b"not JSON"), None);
    }

    #[test]
    fn ten_minutes_are_the_most() {
        for (millis, too_great) in [
            (0, false),
            (600_000, false),
            (-600_000, false),
            (600_001, true),
            (-600_001, true),
            (i64::MIN, true),
        ] {
            assert_eq!(Skew(millis).is_too_great(), too_great, "{millis}");
        }
    }

    #[test]
    fn a_difference_is_warned_of_once_until_it_ends() {
        let clocks = Clocks::default();
        let warned = || clocks.known()["n2"].is_warned;
        for (measured, is_warned) in [
            (exact(1900), false),
            // It may be less.
            (
                Measured {
                    skew: Skew(2500),
                    error: Skew(900),
                },
                false,
            ),
            (exact(2100), true),
            (exact(1500), true),
            (exact(-3000), true),
            (exact(900), false),
        ] {
            clocks.measured("n2", "host2", measured);
            assert_eq!(warned(), is_warned, "{measured:?}");
            assert_eq!(clocks.of("n2"), measured.skew);
        }
        assert_eq!(clocks.of("n3"), Skew::ZERO);
        assert_eq!(clocks.shown("n3"), None);
    }

    #[test]
    fn what_another_agent_tells_counts_until_it_is_measured() {
        let clocks = Clocks::default();
        for (told, known) in [(500, 500), (700, 700)] {
            clocks.told("n2", Skew(told));
            assert_eq!(clocks.shown("n2"), Some(Skew(known)));
        }
        clocks.measured("n2", "host2", exact(100));
        clocks.told("n2", Skew(900));
        assert_eq!(clocks.of("n2"), Skew(100));
        // The way leads over the clock of the agent that tells.
        assert_eq!(clocks.of("n2").and(-300), Skew(-200));
        assert_eq!(Skew(i64::MAX).and(1), Skew(i64::MAX));
    }

    #[test]
    fn the_number_of_clocks_is_bounded() {
        let clocks = Clocks::default();
        for n in 0..3 * MAX_AGENTS {
            clocks.measured(&n.to_string(), "", exact(0));
            clocks.told(&format!("told{n}"), Skew(1));
        }
        assert!(clocks.known().len() <= 2 * MAX_AGENTS);
    }
}
