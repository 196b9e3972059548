//! The agents that follow this one's table. One that does not ask again may be away.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// When the next question of each agent is due, by node id.
#[derive(Debug, Default)]
pub(crate) struct Followers(Mutex<BTreeMap<String, Instant>>);

impl Followers {
    /// The agent of this node has asked, and asks again by then.
    pub(crate) fn asks(&self, id: &str, next: Instant) {
        let mut all = self.all();
        match all.get_mut(id) {
            Some(due) => *due = next,
            None => drop(all.insert(id.to_owned(), next)),
        }
    }

    /// The agents that are late. They are forgotten until they ask again.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<String> {
        let mut late = Vec::new();
        self.all().retain(|id, due| {
            if *due < now {
                late.push(id.clone());
            }
            *due >= now
        });
        late
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_agent_that_does_not_ask_again_in_time_is_overdue_once() {
        let followers = Followers::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        followers.asks("a", now + second);
        followers.asks("b", now + 5 * second);
        assert!(followers.overdue(now).is_empty());
        assert_eq!(followers.overdue(now + 2 * second), ["a"]);
        assert!(followers.overdue(now + 3 * second).is_empty());
        followers.asks("b", now + 9 * second);
        assert!(followers.overdue(now + 6 * second).is_empty());
        assert_eq!(followers.overdue(now + 10 * second), ["b"]);
    }
}
