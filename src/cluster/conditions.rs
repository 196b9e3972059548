//! Logs a condition of a node once, counts how often it was met, and logs its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most nodes with a condition; more are not logged apart.
const MOST: usize = 10_240;

/// The conditions of nodes, by id.
#[derive(Debug, Default)]
pub(crate) struct Conditions(Mutex<BTreeMap<String, Condition>>);

#[derive(Clone, Copy, Debug)]
struct Condition {
    since: Instant,
    times: u64,
}

/// The end of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) lasted: Duration,
    pub(crate) times: u64,
}

impl Conditions {
    /// Counts; returns whether it is new, and so is worth a line.
    pub(crate) fn holds(&self, id: &str) -> bool {
        let mut all = self.all();
        if let Some(condition) = all.get_mut(id) {
            condition.times += 1;
            return false;
        }
        if all.len() < MOST {
            let since = Instant::now();
            all.insert(id.to_owned(), Condition { since, times: 1 });
        }
        true
    }

    /// The condition has ended, if there was one.
    pub(crate) fn ends(&self, id: &str) -> Option<Ended> {
        let Condition { since, times } = self.all().remove(id)?;
        let lasted = since.elapsed();
        Some(Ended { lasted, times })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Condition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_is_new_once_and_counted_until_it_ends() {
        let conditions = Conditions::default();
        assert_eq!(conditions.ends("n2"), None);
        for _ in 0..2 {
            assert!(conditions.holds("n2"));
            assert!(conditions.holds("n3"));
            let lasted = Duration::from_secs(7);
            advance(lasted).await;
            assert!(!conditions.holds("n2"));
            assert_eq!(conditions.ends("n2"), Some(Ended { lasted, times: 2 }));
            assert!(conditions.ends("n3").is_some());
        }
    }

    #[test]
    fn the_number_of_conditions_is_bounded() {
        let conditions = Conditions::default();
        for n in 0..2 * MOST {
            assert!(conditions.holds(&n.to_string()));
        }
        assert_eq!(conditions.all().len(), MOST);
    }
}
