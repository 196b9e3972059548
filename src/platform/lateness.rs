//! Measures how late this process wakes up. On an overloaded machine an answer may
//! have come in time and still be read late, so others get the lost time on top.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

/// The pause between two measurements.
const TICK: Duration = Duration::from_millis(100);

/// A timer of a healthy process may be this late.
const USUAL: Duration = Duration::from_millis(20);

/// The longest extension, as a multiple of the deadline: a process that is always
/// late must give up some time too.
const LONGEST: u32 = 4;

/// The time that this process has lost since its start.
#[derive(Debug, Default)]
pub(crate) struct Lateness(AtomicU64);

impl Lateness {
    /// Measures for ever.
    pub(crate) async fn measure(&self) -> std::convert::Infallible {
        loop {
            let due = Instant::now() + TICK;
            sleep_until(due).await;
            self.add(due.elapsed());
        }
    }

    fn add(&self, late: Duration) {
        if late > USUAL {
            let millis = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            self.0.fetch_add(millis, Ordering::Relaxed);
        }
    }

    fn total(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// The outcome of `work`, or `None` if it takes longer than `deadline` and the time
    /// that this process lost meanwhile.
    pub(crate) async fn within<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let (began, before) = (Instant::now(), self.total());
        let mut end = began + deadline;
        tokio::pin!(work);
        loop {
            if let Ok(done) = timeout_at(end, &mut work).await {
                return Some(done);
            }
            // This timer itself may be what was late.
            let lost = self.total().saturating_sub(before).max(end.elapsed());
            let extended = began + deadline + lost.min(deadline * LONGEST);
            if extended <= end || extended <= Instant::now() {
                return None;
            }
            end = extended;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(2);

    async fn waits(lateness: &Lateness) -> Duration {
        let began = Instant::now();
        let nothing = lateness
            .within(DEADLINE, std::future::pending::<()>())
            .await;
        assert_eq!(nothing, None);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_is_taken_and_silence_ends_at_the_deadline() {
        let lateness = Lateness::default();
        let answer = lateness.within(DEADLINE, sleep(DEADLINE / 2)).await;
        assert_eq!(answer, Some(()));
        assert_eq!(waits(&lateness).await, DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_this_process_loses_is_not_counted_against_others() {
        let lateness = Lateness::default();
        // It loses half of its time for three seconds.
        let losing = async {
            for _ in 0..6 {
                sleep(Duration::from_millis(500)).await;
                lateness.add(Duration::from_millis(250));
            }
            std::future::pending().await
        };
        let waited = tokio::select! {
            waited = waits(&lateness) => waited,
            () = losing => return,
        };
        assert_eq!(waited, DEADLINE + Duration::from_millis(1500));
        // Time that was lost before does not count.
        assert_eq!(waits(&lateness).await, DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_always_late_gives_up_too() {
        let lateness = Lateness::default();
        let losing = async {
            loop {
                sleep(Duration::from_millis(100)).await;
                lateness.add(Duration::from_millis(1000));
            }
        };
        let waited = tokio::select! {
            waited = waits(&lateness) => waited,
            () = losing => return,
        };
        assert!(waited <= DEADLINE * (LONGEST + 1), "{waited:?}");
    }
}
