//! The versions of the people's list: this agent's, and what other agents say of
//! theirs. `people` reads and keeps the list itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long this agent may rely on its list after a manager has last had the same.
const LEASE: Duration = Duration::from_secs(60);

/// What an agent says of its list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) version: u64,
    /// Whether it knows that there is no newer one.
    pub(crate) current: bool,
}

/// A version that another agent has, and this one does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newer {
    pub(crate) version: u64,
    /// The node of that agent.
    pub(crate) node: String,
}

/// The versions that are known.
pub(crate) struct Versions {
    own: watch::Sender<u64>,
    newer: watch::Sender<Newer>,
    confirmed: Mutex<Option<Instant>>,
    /// Counts what has been taken or confirmed, to wait for it.
    confirmations: watch::Sender<u64>,
}

impl Default for Versions {
    fn default() -> Self {
        Self {
            own: watch::Sender::new(0),
            newer: watch::Sender::new(Newer::default()),
            confirmed: Mutex::default(),
            confirmations: watch::Sender::new(0),
        }
    }
}

impl Versions {
    /// The version that this agent has; 0 for none.
    pub(crate) fn own(&self) -> u64 {
        *self.own.borrow()
    }

    /// Records that this agent has taken a version.
    pub(crate) fn took(&self, version: u64) {
        self.own.send_if_modified(|own| {
            let is_newer = version > *own;
            *own = version.max(*own);
            is_newer
        });
        self.confirmations.send_modify(|count| *count += 1);
    }

    /// Changes whenever this agent takes a version, or learns that it has the newest.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.confirmations.subscribe()
    }

    /// Changes whenever this agent takes a version.
    pub(crate) fn taken(&self) -> watch::Receiver<u64> {
        self.own.subscribe()
    }

    /// Changes whenever another agent has a newer version.
    pub(crate) fn newer(&self) -> watch::Receiver<Newer> {
        self.newer.subscribe()
    }

    /// The highest version that another agent has told of; 0 for none.
    pub(super) fn heard(&self) -> u64 {
        self.newer.borrow().version
    }

    /// What this agent says of its list.
    pub(super) fn told(&self) -> Told {
        Told {
            version: self.own(),
            current: self.is_current(),
        }
    }

    /// Records what the agent of a node says of its list; `None` from an agent that
    /// knows no such list.
    pub(super) fn hear(&self, node: &str, is_manager: bool, told: Option<Told>) {
        let own = self.own();
        let told = told.unwrap_or(Told {
            version: 0,
            current: own == 0,
        });
        if told.version > own {
            self.newer.send_replace(Newer {
                version: told.version,
                node: node.to_owned(),
            });
        } else if is_manager && told.current && told.version == own {
            self.confirm();
        }
    }

    /// Records that there is no newer version now.
    pub(crate) fn confirm(&self) {
        let was_current = self.is_current();
        *self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        // A manager confirms all the time: only news wakes those who follow it.
        if !was_current {
            self.confirmations.send_modify(|count| *count += 1);
        }
    }

    /// Whether this agent may rely on its list: a manager has had the same lately. Where
    /// there has never been a list, once is enough.
    pub(crate) fn is_current(&self) -> bool {
        let confirmed = self
            .confirmed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        confirmed.is_some_and(|at| self.own() == 0 || at.elapsed() < LEASE)
    }

    /// Resolves when this agent may rely on its list.
    pub(crate) async fn are_current(&self) {
        let mut confirmations = self.confirmations.subscribe();
        while !self.is_current() {
            confirmations.borrow_and_update();
            // Its sender lives as long as this agent.
            let _ = confirmations.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn told(version: u64, current: bool) -> Option<Told> {
        Some(Told { version, current })
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_manager_with_the_same_version_confirms_a_list() {
        let versions = Versions::default();
        versions.took(3);
        for (is_manager, said, confirms) in [
            (true, told(2, true), false),
            (true, told(4, true), false),
            (true, told(3, false), false),
            (true, None, false),
            (false, told(3, true), false),
            (true, told(3, true), true),
        ] {
            versions.hear("n1", is_manager, said);
            assert_eq!(versions.is_current(), confirms, "{said:?}");
        }
        assert_eq!(versions.newer().borrow().version, 4);
        advance(LEASE).await;
        assert!(!versions.is_current(), "for a while only");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_list_one_confirmation_is_enough() {
        let versions = Versions::default();
        assert!(!versions.is_current());
        versions.hear("n1", true, None);
        advance(LEASE * 2).await;
        assert!(versions.is_current());
        versions.took(1);
        assert!(!versions.is_current());
    }

    #[tokio::test]
    async fn versions_only_rise() {
        let versions = Versions::default();
        for (took, own) in [(2, 2), (1, 2), (5, 5)] {
            versions.took(took);
            assert_eq!(versions.own(), own);
        }
    }
}
