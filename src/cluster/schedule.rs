//! Decides which agents are probed in a round. In a small cluster these are all. In a
//! large one the number does not grow with it: a few in turn, and those that matter now.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::members::Member;

/// A cluster with so many nodes or addresses is small: every round probes all.
pub(crate) const FEW: usize = 16;

/// The agents that a round in a large cluster probes in turn.
const SAMPLE: usize = 4;

/// The most agents in doubt that a round probes.
const DOUBTS: usize = 32;

/// The most agents that are away that a round probes.
const AWAY: usize = 16;

/// The most addresses that a round probes without knowing whose they are.
pub(crate) const UNKNOWN: usize = 256;

/// The pause after a failed probe, and the longest after several.
const AGAIN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(30);

/// When addresses were last probed, and which are to be probed next.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    tried: Mutex<HashMap<SocketAddr, Tried>>,
    hurried: Mutex<BTreeSet<SocketAddr>>,
    order: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    at: Instant,
    /// The failures in a row.
    failures: u32,
}

/// What a round knows when it chooses.
pub(crate) struct Situation<'a> {
    pub(crate) members: &'a [Arc<Member>],
    /// The addresses that discovery found.
    pub(crate) discovered: &'a BTreeSet<SocketAddr>,
    /// The addresses of agents in doubt.
    pub(crate) doubts: Vec<SocketAddr>,
    /// The ids of nodes with open calls of this agent.
    pub(crate) used: BTreeSet<String>,
    /// The last sign of life of each member, in their order.
    pub(crate) contacts: Vec<Option<Instant>>,
    /// The most addresses to try that no member has.
    pub(crate) unknown: usize,
    pub(crate) now: Instant,
}

impl Situation<'_> {
    /// Whether every round probes all agents.
    pub(crate) fn is_small(&self) -> bool {
        self.members.len().max(self.discovered.len()) <= FEW
    }
}

impl Schedule {
    /// Probes this address in the next round.
    pub(crate) fn hurry(&self, address: SocketAddr) {
        let mut hurried = self.hurried.lock().unwrap_or_else(PoisonError::into_inner);
        if hurried.len() < UNKNOWN {
            hurried.insert(address);
        }
    }

    /// The place of a node in this agent's own order: agents do not all choose the same.
    pub(crate) fn order(&self, id: &str) -> u64 {
        self.order.hash_one(id)
    }

    /// The addresses to probe now.
    pub(crate) fn choose(&self, situation: &Situation<'_>) -> BTreeSet<SocketAddr> {
        let hurried =
            std::mem::take(&mut *self.hurried.lock().unwrap_or_else(PoisonError::into_inner));
        let at = |m: &Arc<Member>| [m.address, m.spare];
        let known: BTreeSet<_> = situation.members.iter().flat_map(at).flatten().collect();
        if situation.is_small() {
            return known.union(situation.discovered).copied().collect();
        }
        let mut chosen = hurried;
        chosen.extend(situation.doubts.iter().take(DOUBTS));
        let used = |m: &&Arc<Member>| situation.used.contains(&m.id);
        chosen.extend(
            situation
                .members
                .iter()
                .filter(used)
                .filter_map(|m| m.address),
        );
        let away = situation.members.iter().filter(|m| m.is_away() && m.is_met);
        let away = away.filter_map(|m| m.address);
        chosen.extend(self.due(away, situation.now, AWAY, Duration::ZERO));
        let unknown = situation.discovered.difference(&known).copied();
        // One that answers, and is still unknown, is in no Swarm.
        chosen.extend(self.due(unknown, situation.now, situation.unknown, SELDOM));
        let answering = situation.members.iter().zip(&situation.contacts);
        let answering = answering.filter(|(m, _)| !m.is_away() && m.address.is_some());
        let oldest = self.first(
            answering.map(|(m, contact)| ((*contact, self.order(&m.id)), m)),
            SAMPLE,
        );
        chosen.extend(oldest.into_iter().flat_map(at).flatten());
        chosen
    }

    /// Those of these addresses whose turn it is, in this agent's own order.
    fn due(
        &self,
        addresses: impl Iterator<Item = SocketAddr>,
        now: Instant,
        most: usize,
        after_success: Duration,
    ) -> Vec<SocketAddr> {
        let tried = self.tried();
        let due = addresses.filter_map(|address| {
            let last = tried.get(&address);
            let is_due = last.is_none_or(|last| now >= last.at + last.pause(after_success));
            is_due.then(|| {
                (
                    (last.map(|last| last.at), self.order.hash_one(address)),
                    address,
                )
            })
        });
        self.first(due, most)
    }

    /// The first of these by their keys.
    fn first<K: Ord, T>(&self, all: impl Iterator<Item = (K, T)>, most: usize) -> Vec<T> {
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().take(most).map(|(_, one)| one).collect()
    }

    /// Records the outcome of a probe.
    pub(crate) fn probed(&self, address: SocketAddr, answered: bool, at: Instant) {
        let mut tried = self.tried();
        let before = tried.get(&address).map_or(0, |last| last.failures);
        let failures = if answered {
            0
        } else {
            before.saturating_add(1)
        };
        tried.insert(address, Tried { at, failures });
    }

    /// Forgets all other addresses than these.
    pub(crate) fn retain(&self, is_known: impl Fn(&SocketAddr) -> bool) {
        self.tried().retain(|address, _| is_known(address));
    }

    fn tried(&self) -> MutexGuard<'_, HashMap<SocketAddr, Tried>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tried {
    fn pause(self, after_success: Duration) -> Duration {
        match self.failures {
            0 => after_success,
            n => AGAIN
                .saturating_mul(1 << n.saturating_sub(1).min(5))
                .min(SELDOM),
        }
    }
}

#[cfg(test)]
mod tests;
