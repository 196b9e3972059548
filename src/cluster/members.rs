//! Holds the table of members, ordered by node id; readers take no lock, writers
//! replace the table whole.
//!
//! The load balancer's backends cannot hold this: it ignores changes to the
//! data attached to a backend, so a promoted worker would stay a worker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use skep_filters::policy::Guarded;
use tokio::sync::watch;
use tokio::time::Instant;

use super::expected::Expected;
use super::identity::{EngineFacts, Identity};
use crate::platform::clock::Moment;

/// How long a silent agent's last address is still probed after no name resolves
/// to it. Docker's DNS takes half a minute to list a node again that was cut off.
const PATIENCE: Duration = Duration::from_secs(120);

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
    /// Absent until its agent first reports them.
    pub(crate) engine: Option<EngineFacts>,
    /// The version of its agent; absent until a first answer.
    pub(crate) agent: Option<String>,
    /// The objects that belong to its agent.
    #[serde(skip)]
    pub(crate) guarded: Arc<Guarded>,
    /// Where its agent listens.
    pub(crate) address: Option<SocketAddr>,
    /// The position of the secret that its agent shares with ours.
    #[serde(skip)]
    pub generation: usize,
    #[serde(flatten)]
    pub(crate) state: State,
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

    /// Its agent answers, whether its engine does or not.
    fn agent_answers(&self) -> bool {
        matches!(self.state, State::Ready | State::NoEngine)
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
    writing: std::sync::Mutex<()>,
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
        recent.filter_map(|m| m.address).collect()
    }

    /// The ready member whose agent has this address.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<Arc<Member>> {
        let table = self.table.load();
        let mut found = table.values().filter(|m| m.address == Some(address));
        found.find(|m| m.is_ready()).cloned()
    }

    /// Records an agent's answer to a probe.
    pub(crate) fn heard(
        &self,
        address: SocketAddr,
        generation: usize,
        identity: &Identity,
        now: Moment,
    ) {
        self.change(|table| {
            // An overlay reuses addresses: the node that had this one has moved.
            for member in table.values_mut() {
                if member.address == Some(address) && member.id != identity.node_id {
                    let member = Arc::make_mut(member);
                    member.address = None;
                    member.enter(State::NoAgent, now);
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
            member.address = Some(address);
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

    /// Records a failed connection to the agent at this address.
    pub(crate) fn failed(&self, address: SocketAddr, reason: &str, now: Moment) {
        self.change(|table| {
            for member in table.values_mut() {
                if member.address == Some(address) && member.state != State::Down {
                    Arc::make_mut(member).enter(State::Unreachable(reason.to_owned()), now);
                }
            }
        });
    }

    /// Records a complete discovery: a member at any other address has lost its
    /// agent.
    pub(crate) fn discovered(&self, addresses: &[SocketAddr], now: Moment) {
        self.change(|table| {
            for member in table.values_mut() {
                if member.address.is_some_and(|a| !addresses.contains(&a)) {
                    let member = Arc::make_mut(member);
                    member.address = None;
                    member.enter(State::NoAgent, now);
                }
            }
        });
    }

    /// Records a manager's list of nodes.
    pub(crate) fn expected(&self, nodes: &[Expected], now: Moment) {
        self.change(|table| {
            table.retain(|id, m| m.is_ready() || nodes.iter().any(|n| n.id == *id));
            for node in nodes {
                let member = row(table, &node.id, &node.hostname, now);
                member.labels.clone_from(&node.labels);
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
    }

    /// Adds the managers that the engine talks to, even before discovery finds
    /// their agents.
    pub(crate) fn managers(&self, ids: &[String], now: Moment) {
        if ids.iter().all(|id| self.get(id).is_some()) {
            return;
        }
        self.change(|table| {
            for id in ids.iter().filter(|id| !id.is_empty()) {
                if !table.contains_key(id) {
                    row(table, id, "", now).manager = true;
                }
            }
        });
    }

    /// For a node that has left its Swarm.
    pub(crate) fn clear(&self) {
        self.change(BTreeMap::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let _one_at_a_time = self
            .writing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
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
            engine: None,
            agent: None,
            guarded: Arc::default(),
            address: None,
            generation: 0,
            state: State::NoAgent,
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
        assert!(members.at(at(1)).is_none());
        members.failed(at(1), "timed out", after(3));
        assert_eq!(members.get("a").unwrap().since, 2);
        members.heard(at(1), 0, &identity("a", false), after(4));
        assert_eq!(state(&members, "a"), State::Ready);
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
        members.managers(&["m".to_owned()], after(1));
        assert!(members.get("m").unwrap().manager);
        assert_eq!(state(&members, "m"), State::NoAgent);
    }

    #[test]
    fn a_reused_address_belongs_to_the_node_that_answers_there() {
        let members = Members::default();
        members.heard(at(1), 0, &identity("a", false), after(1));
        members.heard(at(1), 0, &identity("b", false), after(2));
        assert_eq!(state(&members, "a"), State::NoAgent);
        assert_eq!(members.at(at(1)).unwrap().id, "b");
    }

    #[test]
    fn a_node_whose_address_discovery_no_longer_finds_has_no_agent() {
        let members = Members::default();
        members.heard(at(1), 0, &identity("a", false), after(1));
        members.discovered(&[at(2)], after(2));
        assert_eq!(state(&members, "a"), State::NoAgent);
    }
}
