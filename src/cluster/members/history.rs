//! Numbers the changes of the table that other agents have to learn of, so that one
//! that has a table gets only what differs.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Member, Members, Table};

/// The members that are remembered after they have left. One that misses an older
/// departure gets the whole table.
const GONE: usize = 1024;

/// A state of one agent's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// Names the process that counts.
    epoch: u64,
    number: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.number)
    }
}

/// A text is no revision of a table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a revision of a table of nodes")]
pub(crate) struct BadRevision;

impl FromStr for Revision {
    type Err = BadRevision;

    fn from_str(text: &str) -> Result<Self, BadRevision> {
        let (epoch, number) = text.split_once('-').ok_or(BadRevision)?;
        Ok(Self {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| BadRevision)?,
            number: number.parse().map_err(|_| BadRevision)?,
        })
    }
}

/// The numbers of the last changes.
#[derive(Debug)]
pub(super) struct History {
    last: Revision,
    /// The number of each member's last change.
    of: BTreeMap<String, u64>,
    /// The members that have left, oldest first.
    gone: VecDeque<(u64, String)>,
    /// The number of the last departure that is forgotten.
    forgotten: u64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            last: Revision {
                // Different in each process: the standard library seeds it.
                epoch: RandomState::new().hash_one("epoch"),
                number: 0,
            },
            of: BTreeMap::new(),
            gone: VecDeque::new(),
            forgotten: 0,
        }
    }
}

impl History {
    /// Records what differs; returns the number of the last change.
    pub(super) fn record(&mut self, before: &Table, after: &Table) -> u64 {
        let number = self.last.number + 1;
        let mut differs = false;
        for id in before.keys().filter(|id| !after.contains_key(*id)) {
            differs = true;
            self.of.remove(id);
            self.gone.push_back((number, id.clone()));
        }
        for (id, member) in after {
            let is_same = before.get(id).is_some_and(|before| {
                Arc::ptr_eq(before, member) || member.tells_the_same_as(before)
            });
            if !is_same {
                differs = true;
                self.of.insert(id.clone(), number);
            }
        }
        while self.gone.len() > GONE {
            self.forgotten = self.gone.pop_front().map_or(0, |(number, _)| number);
        }
        if differs {
            self.last.number = number;
        }
        self.last.number
    }
}

/// What differs from an earlier state of the table.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) revision: Revision,
    /// Whether it has all members, because that state is not known.
    pub(crate) is_whole: bool,
    pub(crate) members: Vec<Arc<Member>>,
    /// The ids of the members that have left since.
    pub(crate) gone: Vec<String>,
}

impl Difference {
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_whole && self.members.is_empty() && self.gone.is_empty()
    }
}

impl Members {
    /// What differs from this state of the table; everything without one.
    pub(crate) fn since(&self, known: Option<Revision>) -> Difference {
        let history = self.history();
        let table = self.table.load();
        let revision = history.last;
        let since = known.filter(|known| {
            known.epoch == revision.epoch
                && known.number <= revision.number
                && known.number >= history.forgotten
        });
        let Some(since) = since else {
            return Difference {
                revision,
                is_whole: true,
                members: table.values().cloned().collect(),
                gone: Vec::new(),
            };
        };
        let changed = history.of.iter().filter(|(_, n)| **n > since.number);
        let gone = history.gone.iter().filter(|(n, _)| *n > since.number);
        Difference {
            revision,
            is_whole: false,
            members: changed
                .filter_map(|(id, _)| table.get(id).cloned())
                .collect(),
            // One that has come back is a member.
            gone: gone
                .filter(|(_, id)| !table.contains_key(id))
                .map(|(_, id)| id.clone())
                .collect(),
        }
    }

    /// Notifies of every change that other agents have to learn of.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.subscribe()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
