//! Remembers when users of the list last called this agent, and from where. What other
//! agents have seen they know themselves.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The last call of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sighting {
    /// In seconds since the epoch.
    pub(crate) at: u64,
    pub(crate) from: String,
}

/// The last calls, by the names of users: there are no more than the list has had since
/// this agent started.
#[derive(Default)]
pub(crate) struct Sightings(Mutex<HashMap<String, Sighting>>);

impl Sightings {
    /// A user calls now.
    pub(crate) fn saw(&self, user: &str, from: &str, now: u64) {
        let mut all = self.all();
        match all.get_mut(user) {
            // Many requests come within one second.
            Some(last) if last.at == now => {}
            Some(last) => {
                last.at = now;
                from.clone_into(&mut last.from);
            }
            None => {
                let from = from.to_owned();
                all.insert(user.to_owned(), Sighting { at: now, from });
            }
        }
    }

    /// The last call of a user.
    pub(crate) fn of(&self, user: &str) -> Option<Sighting> {
        self.all().get(user).cloned()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Sighting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_of_each_user_is_remembered() {
        let sightings = Sightings::default();
        assert_eq!(sightings.of("alice"), None);
        sightings.saw("alice", "10.0.0.1:1", 5);
        sightings.saw("alice", "10.0.0.2:1", 7);
        sightings.saw("bob", "10.0.0.3:1", 6);
        let last = sightings.of("alice").unwrap();
        assert_eq!((last.at, last.from.as_str()), (7, "10.0.0.2:1"));
        assert_eq!(sightings.of("bob").unwrap().at, 6);
    }
}
