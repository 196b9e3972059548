//! Holds the table of members, ordered by node id; readers take no lock, writers
//! replace the table whole.
//!
//! The load balancer's backends cannot hold this: it ignores changes to the
//! data attached to a backend, so a promoted worker would stay a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use skep_filters::policy::Guarded;
use tokio::sync::watch;
use tokio::time::Instant;

use super::expected::{Availability, Expected};
use super::identity::{EngineFacts, Identity, RemoteManager};
use crate::platform::clock::Moment;

/// How long a silent agent's last address is still probed after no name resolves
/// to it. Docker's DNS takes half a minute to list a node again that was cut off.
const PATIENCE: Duration = Duration::from_secs(120);

/// The probes in a row that an agent may answer too late. An overloaded one is slow,
/// and not gone.
const LATE: u32 = 2;

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `Swarm.NodeID`.
    pub id: String,
    /// The node's hostname; may repeat.
    pub hostname: String,
    pub manager: bool,
    /// Its labels in the Swarm (`Spec.Labels`), which a manager reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Whether the scheduler gives it tasks; absent until a manager reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) availability: Option<Availability>,
    /// Absent until its agent first reports them.
    pub(crate) engine: Option<EngineFacts>,
    /// The version of its agent; absent until a first answer.
    pub(crate) agent: Option<String>,
    /// The objects that belong to its agent.
    #[serde(skip)]
    pub(crate) guarded: Arc<Guarded>,
    /// Where its agent listens.
    pub(crate) address: Option<SocketAddr>,
    /// Another address at which its agent has answered, in case the first one fails.
    #[serde(skip)]
    pub(crate) spare: Option<SocketAddr>,
    /// The position of the secret that its agent shares with ours.
    #[serde(skip)]
    pub generation: usize,
    #[serde(flatten)]
    pub(crate) state: State,
    /// The time that its clock is ahead of the one of the node that answers, if it was
    /// measured. Only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock_skew_ms: Option<i64>,
    /// When it entered this state, in seconds since the Unix epoch: for people.
    pub(crate) since: u64,
    /// The same on the monotonic clock, which has no meaning in another process.
    #[serde(skip, default = "Instant::now")]
    pub(crate) entered: Instant,
}

/// Whether a node can answer requests, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "reason", rename_all = "kebab-case")]
pub(crate) enum State {
    /// Its agent and its engine answer.
    Ready,
    /// Its agent answers, its engine does not.
    NoEngine,
    /// Its agent was found but does not answer.
    Unreachable(String),
    /// It belongs to the Swarm, but no agent was found on it.
    NoAgent,
    /// The managers report it as down.
    Down,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::NoEngine => f.write_str("its engine does not answer"),
            Self::Unreachable(reason) => write!(f, "unreachable: {reason}"),
            Self::NoAgent => f.write_str("no agent found"),
            Self::Down => f.write_str("down"),
        }
    }
}

impl Member {
    /// The name for messages: the hostname, else the id.
    pub(crate) fn name(&self) -> &str {
        if self.hostname.is_empty() {
            &self.id
        } else {
            &self.hostname
        }
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && self.address.is_some()
    }

    /// Why it is missing from an answer.
    pub(crate) fn missing_reason(&self) -> String {
        match self.availability {
            Some(Availability::Drain | Availability::Pause) if self.state == State::NoAgent => {
                let word = if self.is_drained() {
                    "drained"
                } else {
                    "paused"
                };
                format!("{}: the node is {word}", self.state)
            }
            _ => self.state.to_string(),
        }
    }

    /// Whether it can have no running task: its managers have taken all of them
    /// away, and the agent with them.
    pub(crate) fn is_without_tasks(&self) -> bool {
        self.state == State::NoAgent && self.is_drained()
    }

    /// Its agent has answered, or it can have none.
    pub(crate) fn is_found(&self) -> bool {
        self.state != State::NoAgent || self.is_drained()
    }

    fn is_drained(&self) -> bool {
        self.availability == Some(Availability::Drain)
    }

    /// It was found, and does not answer.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.state, State::Unreachable(_) | State::NoEngine)
    }

    /// Its agent answers, whether its engine does or not.
    fn agent_answers(&self) -> bool {
        matches!(self.state, State::Ready | State::NoEngine)
    }

    /// Another node has its address, or nobody has it.
    fn lose_address(&mut self, now: Moment) {
        self.address = self.spare.take().filter(|_| self.agent_answers());
        if self.address.is_none() {
            self.enter(State::NoAgent, now);
        }
    }

    fn enter(&mut self, state: State, now: Moment) {
        if self.state == state {
            return;
        }
        // The reason of a failure may change from one try to the next without
        // a change of state.
        let same = matches!(
            (&self.state, &state),
            (State::Unreachable(_), State::Unreachable(_))
        );
        if !same {
            tracing::info!(
                node = self.id.as_str(),
                hostname = self.hostname.as_str(),
                "node {} is now {state} (was {})",
                self.name(),
                self.state
            );
            self.since = now.unix;
            self.entered = now.instant;
        }
        self.state = state;
    }
}

type Table = BTreeMap<String, Arc<Member>>;

#[derive(Default)]
pub(crate) struct Members {
    table: ArcSwap<Table>,
    /// The addresses of nodes, as the managers list them.
    listed: ArcSwap<BTreeSet<IpAddr>>,
    /// The addresses of managers, as this node's engine knows them.
    remote: ArcSwap<BTreeSet<IpAddr>>,
    /// The addresses of agents that have not answered in time, and how often in a row.
    doubts: Mutex<BTreeMap<SocketAddr, u32>>,
    /// How long each node's agent took for its last answer to a probe.
    took: Mutex<BTreeMap<String, Duration>>,
    writing: Mutex<()>,
    changes: watch::Sender<()>,
}

impl Members {
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

    /// Records how long a node's agent took to answer a probe.
    pub(crate) fn took(&self, id: &str, time: Duration) {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.insert(id.to_owned(), time);
    }

    /// How long a node's agent took to answer its last probe.
    pub(crate) fn last_took(&self, id: &str) -> Option<Duration> {
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
        took.get(id).copied()
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
        &**self.listed.load() | &**self.remote.load()
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
            if member.manager != identity.manager && member.agent.is_some() {
                let role = if identity.manager {
                    "manager"
                } else {
                    "worker"
                };
                tracing::info!(
                    node = identity.node_id.as_str(),
                    "node {} is now a {role}",
                    identity.name()
                );
            }
            member.hostname.clone_from(&identity.hostname);
            member.manager = identity.manager;
            member.agent = Some(identity.agent.clone());
            match member.address {
                // It is found at two addresses. It keeps the one that it has while that
                // answers: streams and connections belong to it.
                Some(other) if other != address && member.agent_answers() => {
                    member.spare = Some(address);
                }
                _ => {
                    member.address = Some(address);
                    member.spare = member.spare.filter(|spare| *spare != address);
                }
            }
            if let Some(guarded) = &identity.guarded
                && *member.guarded != *guarded
            {
                member.guarded = Arc::new(guarded.clone());
            }
            member.generation = generation;
            if identity.engine.is_some() {
                member.engine.clone_from(&identity.engine);
                member.enter(State::Ready, now);
            } else {
                member.enter(State::NoEngine, now);
            }
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
                        _ => member.enter(State::Unreachable(reason.to_owned()), now),
                    }
                }
            }
        });
    }

    /// Records a complete discovery: a member at any other address has lost its
    /// agent.
    pub(crate) fn discovered(&self, addresses: &[SocketAddr], now: Moment) {
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
        let listed: BTreeSet<_> = nodes.iter().filter_map(|node| node.address).collect();
        let changed = listed != **self.listed.load();
        if changed {
            self.listed.store(Arc::new(listed));
        }
        self.change(|table| {
            table.retain(|id, m| m.is_ready() || nodes.iter().any(|n| n.id == *id));
            self.took
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|id, _| table.contains_key(id));
            for node in nodes {
                let member = row(table, &node.id, &node.hostname, now);
                member.labels.clone_from(&node.labels);
                member.availability = node.availability;
                if member.agent.is_none() {
                    member.manager = node.manager;
                    member.hostname.clone_from(&node.hostname);
                }
                match (&member.state, node.down) {
                    (State::NoAgent | State::Unreachable(_), true) => {
                        member.enter(State::Down, now);
                    }
                    (State::Down, false) => member.enter(State::NoAgent, now),
                    _ => {}
                }
            }
        });
        changed
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
        self.listed.store(Arc::default());
        self.remote.store(Arc::default());
        self.doubts().clear();
        self.change(BTreeMap::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table.load();
        let mut table = Table::clone(&before);
        change(&mut table);
        // A probe that changes nothing wakes no waiter.
        if table != **before {
            self.table.store(Arc::new(table));
            self.changes.send_replace(());
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
            generation: 0,
            state: State::NoAgent,
            clock_skew_ms: None,
            since: now.unix,
            entered: now.instant,
        })
    });
    Arc::make_mut(member)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    fn identity(id: &str, manager: bool) -> Identity {
        Identity {
            node_id: id.to_owned(),
            hostname: format!("host-{id}"),
            swarm: true,
            manager,
            engine: Some(EngineFacts {
                version: "20.10.24".to_owned(),
                api_min: "1.12".to_owned(),
                api_max: "1.41".to_owned(),
            }),
            ..Identity::default()
        }
    }

    fn expected(id: &str, down: bool) -> Expected {
        Expected {
            id: id.to_owned(),
            hostname: format!("host-{id}"),
            manager: false,
            labels: BTreeMap::new(),
            down,
            availability: None,
            address: None,
        }
    }

    fn at(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 9001).into()
    }

    /// A moment this many seconds after this process began.
    fn after(seconds: u64) -> Moment {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Moment {
            instant: *BEGAN + Duration::from_secs(seconds),
            unix: seconds,
        }
    }

    fn ready_at(members: &Members, last: u8) -> bool {
        let mut all = members.all().into_iter();
        all.any(|m| m.address == Some(at(last)) && m.is_ready())
    }

    fn state(members: &Members, id: &str) -> State {
        members.get(id).unwrap().state.clone()
    }

    #[test]
    fn the_last_address_of_a_silent_agent_is_kept_for_a_while() {
        let members = Members::default();
        members.heard(at(1), 0, &identity("a", false), after(1));
        let mut without_engine = identity("b", false);
        without_engine.engine = None;
        members.heard(at(2), 0, &without_engine, after(1));
        members.failed(at(1), "refused", after(1000));
        members.failed(at(1), "no answer", after(1100));
        let (early, late) = (after(1000 + 119).instant, after(1000 + 120).instant);
        assert_eq!(members.recent(early), [at(1), at(2)]);
        assert_eq!(members.recent(late), [at(2)]);
    }

    #[test]
    fn a_promoted_worker_is_a_manager_at_the_next_probe() {
        let members = Members::default();
        members.heard(at(1), 0, &identity("a", false), after(1));
        assert!(!members.get("a").unwrap().manager);
        members.heard(at(1), 0, &identity("a", true), after(2));
        assert!(members.get("a").unwrap().manager);
        assert_eq!(members.get("a").unwrap().since, 1);
    }

    #[test]
    fn a_failed_connection_takes_a_member_out_and_a_probe_brings_it_back() {
        let members = Members::default();
        members.heard(at(1), 0, &identity("a", false), after(1));
        members.failed(at(1), "connection refused", after(2));
        assert!(!members.get("a").unwrap().is_ready());
        assert!(!ready_at(&members, 1));
        members.failed(at(1), "timed out", after(3));
        assert_eq!(members.get("a").unwrap().since, 2);
        members.heard(at(1), 0, &identity("a", false), after(4));
        assert_eq!(state(&members, "a"), State::Ready);
    }

    #[test]
    fn a_late_agent_is_given_up_only_after_several_times_in_a_row() {
        let members = Members::default();
        let heard = |now| members.heard(at(1), 0, &identity("a", false), after(now));
        let late = |now| members.late(at(1), "no answer", after(now));
        let ready = || members.get("a").unwrap().is_ready();
        heard(1);
        for round in 0..5 {
            for _ in 0..LATE {
                late(2 + round);
                assert!(ready() && members.is_doubtful(at(1)) && members.has_doubts());
            }
            heard(3 + round);
            assert!(!members.is_doubtful(at(1)));
        }
        for _ in 0..LATE {
            late(10);
        }
        let mut changes = members.changes();
        late(11);
        assert!(!ready() && changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert!(members.is_doubtful(at(1)) && !members.has_doubts());
        // It comes back with its first answer.
        heard(12);
        assert!(ready() && !members.is_doubtful(at(1)));
        // A second way to it is better than waiting.
        members.heard(at(2), 0, &identity("a", false), after(13));
        late(14);
        assert!(ready());
        assert_eq!(members.get("a").unwrap().address, Some(at(2)));
        // An address without a member is never in doubt.
        members.late(at(9), "no answer", after(15));
        assert!(!members.has_doubts());
    }

    #[test]
    fn a_node_that_a_manager_lists_is_a_member_without_an_agent() {
        let members = Members::default();
        members.expected(&[expected("a", false), expected("b", true)], after(1));
        assert_eq!(state(&members, "a"), State::NoAgent);
        assert_eq!(state(&members, "b"), State::Down);
        members.expected(&[expected("b", false)], after(2));
        assert!(members.get("a").is_none());
        assert_eq!(state(&members, "b"), State::NoAgent);
    }

    #[test]
    fn a_manager_that_only_the_engine_knows_is_a_member_too() {
        let members = Members::default();
        let manager = RemoteManager {
            id: "m".to_owned(),
            address: "10.0.0.9".parse().ok(),
        };
        members.managers(&[manager], after(1));
        assert!(members.get("m").unwrap().manager);
        assert_eq!(state(&members, "m"), State::NoAgent);
    }

    #[test]
    fn a_reused_address_belongs_to_the_node_that_answers_there() {
        let members = Members::default();
        members.heard(at(1), 0, &identity("a", false), after(1));
        members.heard(at(1), 0, &identity("b", false), after(2));
        assert_eq!(state(&members, "a"), State::NoAgent);
        assert_eq!(members.get("b").unwrap().address, Some(at(1)));
        assert!(ready_at(&members, 1));
    }

    #[test]
    fn an_agent_at_two_addresses_keeps_the_one_that_answers() {
        let members = Members::default();
        let heard = |last, now| members.heard(at(last), 0, &identity("a", false), after(now));
        let address = || members.get("a").unwrap().address;
        let ready = || members.get("a").unwrap().is_ready();
        heard(1, 1);
        heard(2, 1);
        heard(1, 2);
        heard(2, 2);
        assert_eq!(address(), Some(at(1)));
        assert_eq!(members.recent(after(2).instant), [at(1), at(2)]);
        // The other one takes over at once, and back.
        members.failed(at(1), "no answer", after(3));
        assert!(ready());
        assert_eq!(address(), Some(at(2)));
        heard(1, 4);
        assert_eq!(address(), Some(at(2)));
        members.discovered(&[at(1)], after(5));
        assert!(ready());
        assert_eq!(address(), Some(at(1)));
        // A failed address takes over nothing.
        heard(2, 6);
        members.failed(at(2), "no answer", after(7));
        members.failed(at(1), "no answer", after(7));
        assert!(!ready());
        heard(2, 8);
        assert!(ready());
        assert_eq!(address(), Some(at(2)));
        // Another node at the spare address.
        heard(1, 9);
        members.heard(at(1), 0, &identity("b", false), after(10));
        members.failed(at(2), "no answer", after(11));
        assert!(!ready());
    }

    #[test]
    fn the_addresses_of_the_swarm_are_those_of_its_list_and_of_known_managers() {
        let members = Members::default();
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        let manager = RemoteManager {
            id: "m".to_owned(),
            address: Some(ip(9)),
        };
        members.managers(&[manager], after(1));
        assert_eq!(members.swarm_addresses(), [ip(9)].into());
        let listed = |last| Expected {
            address: Some(ip(last)),
            ..expected("a", false)
        };
        assert!(members.expected(&[listed(1)], after(2)));
        assert!(!members.expected(&[listed(1)], after(3)));
        assert_eq!(members.swarm_addresses(), [ip(1), ip(9)].into());
        assert!(members.expected(&[listed(2)], after(4)));
        assert_eq!(members.swarm_addresses(), [ip(2), ip(9)].into());
        members.clear();
        assert!(members.swarm_addresses().is_empty());
    }

    #[test]
    fn a_drained_node_without_an_agent_has_no_tasks() {
        for (availability, state, idle, reason) in [
            (
                Some(Availability::Drain),
                State::NoAgent,
                true,
                "no agent found: the node is drained",
            ),
            (
                Some(Availability::Pause),
                State::NoAgent,
                false,
                "no agent found: the node is paused",
            ),
            (
                Some(Availability::Active),
                State::NoAgent,
                false,
                "no agent found",
            ),
            (None, State::NoAgent, false, "no agent found"),
            // It may have tasks that its managers could not stop.
            (Some(Availability::Drain), State::Down, false, "down"),
            (
                Some(Availability::Drain),
                State::Unreachable("x".to_owned()),
                false,
                "unreachable: x",
            ),
        ] {
            let members = Members::default();
            members.expected(&[expected("a", false)], after(1));
            let member = Member {
                availability,
                state,
                ..(*members.get("a").unwrap()).clone()
            };
            assert_eq!(member.is_without_tasks(), idle, "{member:?}");
            assert_eq!(member.missing_reason(), reason);
        }
    }

    #[test]
    fn a_node_whose_address_discovery_no_longer_finds_has_no_agent() {
        let members = Members::default();
        members.heard(at(1), 0, &identity("a", false), after(1));
        members.discovered(&[at(2)], after(2));
        assert_eq!(state(&members, "a"), State::NoAgent);
    }
}
