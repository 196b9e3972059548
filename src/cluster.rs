//! Keeps the list of nodes: their addresses, and which of them answer.
//!
//! Discovery finds addresses, probes identify the agents behind them, and
//! managers list the nodes that should exist. Swarm itself is the membership
//! protocol; nothing is gossiped. Other modules decide what a node is sent.

pub(crate) mod ask;
pub(crate) mod conditions;
pub(crate) mod copies;
pub(crate) mod discover;
pub(crate) mod expected;
mod follow;
mod followers;
pub(crate) mod hop;
pub(crate) mod identity;
pub(crate) mod known;
mod managers;
pub(crate) mod members;
pub(crate) mod misses;
pub(crate) mod name_locks;
mod node_events;
mod own_node;
mod own_objects;
pub(crate) mod own_service;
pub(crate) mod probe;
pub(crate) mod published;
pub(crate) mod reachable;
pub(crate) mod removals;
pub(crate) mod residents;
mod rounds;
pub(crate) mod row;
mod schedule;
pub(crate) mod shared;
mod turns;
mod uses;
pub(crate) mod versions;
mod waiting;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use skep_filters::policy::{Guarded, Marks, Named};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::config::ClusterMode;
use crate::platform::clock::Moment;
use crate::platform::lateness::Lateness;
use crate::upstream::client::Client;
use crate::upstream::engine::Engine;
use crate::upstream::peers::Peers;
use discover::{Discovered, Discovery};
use followers::Followers;
use identity::{ApiRange, Identity};
use members::{Member, Members};
use own_node::label;
pub(crate) use own_objects::OwnContainer;
use own_objects::OwnObjects;
use own_service::OwnService;
use probe::Probe;
use published::Published;
use rounds::NodesRead;
use schedule::Schedule;
use turns::Turns;
use uses::Uses;
use versions::Versions;

/// The time after the start in which rounds follow each other at that pace, until the
/// others are found: the Swarm's DNS learns of a task only when it is healthy.
const EARLY: Duration = Duration::from_secs(10);

/// This node and the other nodes of its Swarm.
pub struct Cluster {
    me: ArcSwap<Identity>,
    label: ArcSwap<HeaderValue>,
    members: Arc<Members>,
    discovery: Discovery,
    probe: Probe,
    /// The addresses that discovery found, and when.
    discovered: ArcSwap<Discovered>,
    schedule: Schedule,
    /// The open calls to other agents.
    uses: Uses,
    /// The turns of the calls of fan-outs.
    turns: Turns,
    /// The agents that follow this one's table.
    followers: Followers,
    /// Whether this agent follows the table of another one.
    follows: AtomicBool,
    /// Notifies of a change of what this agent says of its node.
    own_change: Notify,
    /// Whether this agent is about to stop.
    stopping: watch::Sender<bool>,
    /// The addresses that a round tries without knowing whose they are.
    unknown: AtomicUsize,
    /// When the list of nodes was last read, and how many nodes it has.
    nodes_read: ArcSwapOption<NodesRead>,
    pub(crate) client: Arc<Client>,
    /// This node's engine.
    pub(crate) engine: Arc<Engine>,
    /// The way to other agents.
    pub(crate) peers: Arc<Peers>,
    own: OwnObjects,
    /// The objects of all agents; `None` while those of this one are not known.
    guarded: ArcSwapOption<Guarded>,
    /// The marks that this agent's configuration adds to them.
    marks: ArcSwap<Marks>,
    /// The versions of the people's list.
    pub(crate) versions: Versions,
    /// The configs that have them.
    people_configs: ArcSwap<Vec<Named>>,
    mode: ClusterMode,
    interval: Duration,
    deadline: Duration,
    /// How long a node may take to answer its part of a list.
    pub(crate) list_deadline: Duration,
    wake: Notify,
    lateness: Arc<Lateness>,
    /// The rounds in a row in which the engine was silent.
    engine_misses: AtomicU32,
    /// Counts the rounds.
    rounds: AtomicU32,
    probed: AtomicBool,
    /// The managers that took too long for a call, and when.
    slow: Mutex<HashMap<String, Instant>>,
    /// Counts the choices of a manager.
    turn: AtomicUsize,
    began: Instant,
    /// The lists of nodes that managers have given.
    listed: AtomicU32,
    /// Whether the nodes and their agents are known.
    known: watch::Sender<bool>,
    /// When the last round ended.
    last_round: ArcSwap<Instant>,
    /// Since when this node's engine has not answered, if it does not.
    engine_silent_since: watch::Sender<Option<Instant>>,
}

/// The arguments of [`Cluster::new`].
pub(crate) struct Parts {
    pub(crate) client: Arc<Client>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) config: crate::config::Cluster,
    /// How long a node may take to answer its part of a list.
    pub(crate) list_deadline: Duration,
    /// The port of other agents, where discovery names none.
    pub(crate) port: u16,
    /// This node as its engine described it at the start.
    pub(crate) me: Identity,
    /// The files and folders of the agent that hold secrets and settings.
    pub(crate) paths: Vec<PathBuf>,
    /// What tells its listeners which caller a container is.
    pub(crate) marks: Marks,
}

impl Cluster {
    /// A cluster that knows only this node so far.
    pub(crate) fn new(parts: Parts) -> Self {
        let members = Arc::new(Members::default());
        let own = Arc::new(OwnService::new(parts.client.clone(), parts.engine.clone()));
        let discovery = Discovery::new(parts.config.discover, own, members.clone(), parts.port);
        let lateness = Arc::new(Lateness::default());
        let probe = Probe::new(
            parts.client.clone(),
            parts.peers.clone(),
            members.clone(),
            lateness.clone(),
            parts.config.probe_timeout,
        );
        let own = OwnObjects::new(
            parts.client.clone(),
            parts.engine.clone(),
            parts.config.container,
            parts.paths,
        );
        let now = Instant::now();
        let me = Identity {
            changed: own_node::change_time(0),
            ..parts.me
        };
        let engine_silent_since = me.engine.is_none().then_some(now);
        Self {
            last_round: ArcSwap::from_pointee(now),
            engine_silent_since: watch::Sender::new(engine_silent_since),
            label: ArcSwap::from_pointee(label(&me)),
            me: ArcSwap::from_pointee(me),
            members,
            discovery,
            probe,
            discovered: ArcSwap::default(),
            schedule: Schedule::default(),
            uses: Uses::default(),
            turns: Turns::default(),
            followers: Followers::default(),
            follows: AtomicBool::new(false),
            own_change: Notify::new(),
            stopping: watch::Sender::new(false),
            unknown: AtomicUsize::new(rounds::FIRST_UNKNOWN),
            nodes_read: ArcSwapOption::empty(),
            client: parts.client,
            engine: parts.engine,
            peers: parts.peers,
            own,
            guarded: ArcSwapOption::empty(),
            marks: ArcSwap::from_pointee(parts.marks),
            versions: Versions::default(),
            people_configs: ArcSwap::default(),
            mode: parts.config.mode,
            interval: parts.config.interval,
            deadline: parts.config.probe_timeout,
            list_deadline: parts.list_deadline,
            wake: Notify::new(),
            lateness,
            engine_misses: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
            probed: AtomicBool::new(false),
            slow: Mutex::default(),
            turn: AtomicUsize::new(0),
            began: now,
            listed: AtomicU32::new(0),
            known: watch::Sender::new(false),
        }
    }

    /// This node.
    pub fn me(&self) -> Arc<Identity> {
        self.me.load_full()
    }

    /// The value of `Skep-Node` in this node's own answers; empty if its name
    /// cannot stand in a header.
    pub(crate) fn label(&self) -> HeaderValue {
        (**self.label.load()).clone()
    }

    /// Whether this node works with others; outside a Swarm it never does.
    pub fn is_on(&self) -> bool {
        self.mode != ClusterMode::Off && self.me.load().swarm
    }

    /// Whether there are no others for certain: the engine has said so, or the
    /// configuration does.
    pub(crate) fn is_alone(&self) -> bool {
        let me = self.me.load();
        self.mode == ClusterMode::Off || me.engine.is_some() && !me.swarm
    }

    /// Whether a round has completed. Before the first one, an empty list of
    /// members means nothing.
    pub fn probed_once(&self) -> bool {
        self.probed.load(Ordering::Relaxed)
    }

    /// Waits after the start until the nodes are known, as long as a client may wait.
    /// Without that, an answer would lack the rows of nodes that nobody could name.
    pub(crate) async fn known(&self) {
        let mut known = self.known.subscribe();
        if !self.is_on() || *known.borrow_and_update() || self.began.elapsed() >= EARLY {
            return;
        }
        drop(timeout(self.list_deadline / 2, known.wait_for(|known| *known)).await);
    }

    /// Every node of the cluster but this one, by node id.
    pub fn others(&self) -> Vec<Arc<Member>> {
        let me = self.me.load();
        let mut all = self.members.all();
        all.retain(|m| m.id != me.node_id);
        all
    }

    /// Every node of the cluster, this one as its engine describes it.
    pub fn all(&self) -> Vec<Arc<Member>> {
        let me = self.me.load();
        let listed = self.members.get(&me.node_id);
        let entered = listed.as_ref().map(|m| (m.since, m.entered));
        let now = Moment::now();
        let (since, entered) = entered.unwrap_or((now.unix, now.instant));
        let mut all = self.others();
        all.push(Arc::new(Member {
            id: me.node_id.clone(),
            hostname: me.hostname.clone(),
            manager: me.manager,
            engine: me.engine.clone(),
            agent: Some(me.agent.clone()),
            guarded: Arc::default(),
            address: listed.as_ref().and_then(|m| m.address),
            availability: listed.as_ref().and_then(|m| m.availability),
            labels: listed
                .as_ref()
                .map(|m| m.labels.clone())
                .unwrap_or_default(),
            spare: None,
            swarm_address: listed.as_ref().and_then(|m| m.swarm_address),
            is_down: false,
            generation: 0,
            is_met: true,
            changed: me.changed,
            state: if me.engine.is_some() {
                members::State::Ready
            } else {
                members::State::NoEngine
            },
            clock_skew_ms: None,
            since,
            entered,
        }));
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The objects that belong to agents: those of this one, and those that the
    /// others announce. `None` while this agent does not know its own.
    pub fn guarded(&self) -> Option<Arc<Guarded>> {
        self.guarded.load_full()
    }

    /// The ports of this node's agent that are published; `None` until they are known.
    pub(crate) fn published(&self) -> Option<Arc<Published>> {
        self.own.published()
    }

    /// The node with this id, unless it is this one.
    pub(crate) fn member(&self, id: &str) -> Option<Arc<Member>> {
        self.members.get(id)
    }

    /// Whether the node with this id last described itself as a manager.
    pub(crate) fn is_manager(&self, id: &str) -> bool {
        self.members.get(id).is_some_and(|m| m.manager)
    }

    /// The API versions of every node that is ready.
    pub(crate) fn ranges(&self) -> Vec<ApiRange> {
        let all = self.all();
        let ready = all.iter().filter(|m| m.state == members::State::Ready);
        ready.filter_map(|m| m.engine.as_ref()?.range()).collect()
    }
}
