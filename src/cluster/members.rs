//! Holds the table of members, ordered by node id; readers take no lock, writers
//! replace the table whole.

mod history;
mod learn;
mod member;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;

use super::expected::Expected;
use super::identity::{Identity, RemoteManager};
use crate::platform::clock::Moment;
use history::History;
pub(crate) use history::Revision;
pub(crate) use learn::{Learned, Learner};
pub(crate) use member::{Member, State};

/// How long a silent agent's last address is still probed after no name resolves
/// to it. Docker's DNS takes half a minute to list a node again that was cut off.
const PATIENCE: Duration = Duration::from_secs(120);

/// The probes in a row that an agent may answer too late. An overloaded one is slow,
/// and not gone.
const LATE: u32 = 2;

type Table = BTreeMap<String, Arc<Member>>;

#[derive(Default)]
pub(crate) struct Members {
    table: ArcSwap<Table>,
    /// The addresses of managers, as this node's engine knows them.
    remote: ArcSwap<BTreeSet<IpAddr>>,
    /// The addresses of agents that have not answered in time, and how often in a row.
    doubts: Mutex<BTreeMap<SocketAddr, u32>>,
    /// The last signs of life of each node's agent.
    contacts: Mutex<BTreeMap<String, Contact>>,
    /// Held while the table is replaced.
    history: Mutex<History>,
    changes: watch::Sender<()>,
    /// The number of the last change that other agents have to learn of.
    revisions: watch::Sender<u64>,
}

/// What this agent itself knows of another one.
#[derive(Clone, Copy, Debug)]
struct Contact {
    /// When it last answered, or called.
    at: Instant,
    /// How long it took for its last answer to a probe.
    took: Option<Duration>,
}

impl Members {
    /// The number of members.
    pub(crate) fn len(&self) -> usize {
        self.table.load().len()
    }

    /// All members, in the order of their node ids.
    pub(crate) fn all(&self) -> Vec<Arc<Member>> {
        self.table.load().values().cloned().collect()
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Member>> {
        self.table.load().get(id).cloned()
    }

    /// Whether the agent at this address answered its last probe.
    pub(crate) fn answers(&self, address: SocketAddr) -> bool {
        let table = self.table.load();
        table
            .values()
            .any(|m| m.address == Some(address) && m.agent_answers())
    }

    /// Whether the agent at this address was late, or is given up.
    pub(crate) fn is_doubtful(&self, address: SocketAddr) -> bool {
        self.doubts().contains_key(&address) || !self.answers(address)
    }

    /// Whether any agent was late and is not given up yet.
    pub(crate) fn has_doubts(&self) -> bool {
        !self.doubts().is_empty()
    }

    fn doubts(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, u32>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of agents that were late and are not given up yet.
    pub(crate) fn doubtful(&self) -> Vec<SocketAddr> {
        self.doubts().keys().copied().collect()
    }

    /// Records that the agent at this address may be away. Probes decide.
    pub(crate) fn doubt(&self, address: SocketAddr) {
        if self.answers(address) {
            self.doubts().entry(address).or_default();
            self.changes.send_replace(());
        }
    }

    /// Records how long a node's agent took to answer a probe.
    pub(crate) fn took(&self, id: &str, time: Duration) {
        let (at, took) = (Instant::now(), Some(time));
        self.contacts().insert(id.to_owned(), Contact { at, took });
    }

    /// Records a sign of life of a node's agent: an answer to a call, or a call.
    pub(crate) fn lives(&self, id: &str) {
        let at = Instant::now();
        let mut contacts = self.contacts();
        if let Some(contact) = contacts.get_mut(id) {
            contact.at = at;
        } else if self.get(id).is_some() {
            contacts.insert(id.to_owned(), Contact { at, took: None });
        }
    }

    /// Records an answer of a node's agent to a call.
    pub(crate) fn answered(&self, id: &str, address: SocketAddr) {
        self.lives(id);
        self.doubts().remove(&address);
    }

    /// How long a node's agent took to answer its last probe.
    pub(crate) fn last_took(&self, id: &str) -> Option<Duration> {
        self.contacts().get(id)?.took
    }

    /// When a node's agent last gave this one a sign of life.
    pub(crate) fn last_contact(&self, id: &str) -> Option<Instant> {
        Some(self.contacts().get(id)?.at)
    }

    fn contacts(&self) -> MutexGuard<'_, BTreeMap<String, Contact>> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The addresses of agents that answer, or did recently.
    pub(crate) fn recent(&self, now: Instant) -> Vec<SocketAddr> {
        let table = self.table.load();
        let recent = table
            .values()
            .filter(|m| m.agent_answers() || now.saturating_duration_since(m.entered) < PATIENCE);
        recent
            .flat_map(|m| [m.address, m.spare])
            .flatten()
            .collect()
    }

    /// The addresses of the nodes of the Swarm, as far as they are known. On a worker,
    /// these are at first only those of managers, whose agents list the others.
    pub(crate) fn swarm_addresses(&self) -> BTreeSet<IpAddr> {
        let table = self.table.load();
        let listed = table.values().filter_map(|m| m.swarm_address);
        listed.chain(self.remote.load().iter().copied()).collect()
    }

    /// Records an agent's answer to a probe.
    pub(crate) fn heard(
        &self,
        address: SocketAddr,
        generation: usize,
        identity: &Identity,
        now: Moment,
    ) {
        self.doubts().remove(&address);
        self.change(|table| {
            // An overlay reuses addresses: the node that had this one has moved.
            for member in table.values_mut() {
                if member.id == identity.node_id {
                    continue;
                }
                if member.spare == Some(address) {
                    Arc::make_mut(member).spare = None;
                }
                if member.address == Some(address) {
                    Arc::make_mut(member).lose_address(now);
                }
            }
            if identity.node_id.is_empty() {
                return; // It is in no Swarm (any more).
            }
            let member = row(table, &identity.node_id, &identity.hostname, now);
            match member.address {
                // It is found at two addresses. It keeps the one that it has while that
                // answers: streams and connections belong to it.
                Some(other) if other != address && member.agent_answers() && member.is_met => {
                    member.spare = Some(address);
                }
                _ => {
                    member.address = Some(address);
                    member.is_met = true;
                    member.spare = member.spare.filter(|spare| *spare != address);
                }
            }
            member.generation = generation;
            member.describe(identity, now);
        });
    }

    /// Records what this agent says of its own node.
    pub(crate) fn own(&self, identity: &Identity, now: Moment) {
        if identity.node_id.is_empty() {
            return;
        }
        self.change(|table| {
            let member = row(table, &identity.node_id, &identity.hostname, now);
            member.describe(identity, now);
        });
    }

    /// Records that the agent at this address has not answered in time. It is given up
    /// after several times in a row, or at once where another address has answered.
    pub(crate) fn late(&self, address: SocketAddr, reason: &str, now: Moment) {
        let at = |m: &&Arc<Member>| m.address == Some(address);
        let member = self.table.load().values().find(at).cloned();
        let waits = member.is_some_and(|m| m.agent_answers() && m.spare.is_none());
        let waits = waits && {
            let mut doubts = self.doubts();
            let times = doubts.entry(address).or_default();
            *times += 1;
            *times <= LATE
        };
        if waits {
            self.changes.send_replace(());
        } else {
            self.failed(address, reason, now);
        }
    }

    /// Records a failed connection to the agent at this address.
    pub(crate) fn failed(&self, address: SocketAddr, reason: &str, now: Moment) {
        self.doubts().remove(&address);
        self.change(|table| {
            for member in table.values_mut() {
                if member.spare == Some(address) {
                    Arc::make_mut(member).spare = None;
                }
                if member.address == Some(address) && member.state != State::Down {
                    let member = Arc::make_mut(member);
                    match member.spare.take() {
                        Some(spare) if member.agent_answers() => member.address = Some(spare),
                        _ => {
                            member.is_met = true;
                            member.enter(State::Unreachable(reason.to_owned()), now);
                        }
                    }
                }
            }
        });
    }

    /// Records a complete discovery: a member at any other address has lost its
    /// agent.
    pub(crate) fn discovered(&self, addresses: &BTreeSet<SocketAddr>, now: Moment) {
        self.doubts()
            .retain(|address, _| addresses.contains(address));
        self.change(|table| {
            for member in table.values_mut() {
                if member.spare.is_some_and(|a| !addresses.contains(&a)) {
                    Arc::make_mut(member).spare = None;
                }
                if member.address.is_some_and(|a| !addresses.contains(&a)) {
                    Arc::make_mut(member).lose_address(now);
                }
            }
        });
    }

    /// Records a manager's list of nodes. Returns whether their addresses have changed.
    pub(crate) fn expected(&self, nodes: &[Expected], now: Moment) -> bool {
        let before = self.swarm_addresses();
        let ids: BTreeSet<_> = nodes.iter().map(|node| node.id.as_str()).collect();
        let mut doubts = Vec::new();
        self.change(|table| {
            table.retain(|id, m| m.is_ready() || ids.contains(id.as_str()));
            self.contacts().retain(|id, _| table.contains_key(id));
            for (id, member) in &mut *table {
                if member.swarm_address.is_some() && !ids.contains(id.as_str()) {
                    Arc::make_mut(member).swarm_address = None;
                }
            }
            for node in nodes {
                let member = row(table, &node.id, &node.hostname, now);
                if member.list(node, now) {
                    doubts.extend(member.address);
                }
            }
        });
        for address in doubts {
            self.doubt(address);
        }
        self.swarm_addresses() != before
    }

    /// Adds the managers that the engine talks to, even before discovery finds
    /// their agents.
    pub(crate) fn managers(&self, managers: &[RemoteManager], now: Moment) {
        let remote: BTreeSet<_> = managers.iter().filter_map(|m| m.address).collect();
        if remote != **self.remote.load() {
            self.remote.store(Arc::new(remote));
        }
        let mut ids = managers.iter().map(|m| &m.id);
        if ids.all(|id| self.get(id).is_some()) {
            return;
        }
        self.change(|table| {
            let ids = managers.iter().map(|m| &m.id);
            for id in ids.filter(|id| !id.is_empty()) {
                if !table.contains_key(id) {
                    row(table, id, "", now).manager = true;
                }
            }
        });
    }

    /// For a node that has left its Swarm.
    pub(crate) fn clear(&self) {
        self.remote.store(Arc::default());
        self.doubts().clear();
        self.contacts().clear();
        self.change(BTreeMap::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut history = self.history();
        let before = self.table.load();
        let mut table = Table::clone(&before);
        change(&mut table);
        // A probe that changes nothing wakes no waiter.
        if table != **before {
            let number = history.record(&before, &table);
            self.table.store(Arc::new(table));
            self.changes.send_replace(());
            self.revisions.send_if_modified(|last| {
                let is_new = *last != number;
                *last = number;
                is_new
            });
        }
    }
}

fn row<'a>(table: &'a mut Table, id: &str, hostname: &str, now: Moment) -> &'a mut Member {
    let member = table.entry(id.to_owned()).or_insert_with(|| {
        Arc::new(Member {
            id: id.to_owned(),
            hostname: hostname.to_owned(),
            manager: false,
            labels: BTreeMap::new(),
            availability: None,
            engine: None,
            agent: None,
            guarded: Arc::default(),
            address: None,
            spare: None,
            swarm_address: None,
            is_down: false,
            generation: 0,
            is_met: false,
            changed: 0,
            state: State::NoAgent,
            clock_skew_ms: None,
            since: now.unix,
            entered: now.instant,
        })
    });
    Arc::make_mut(member)
}
