//! One node of the cluster, and whether it can be asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skep_filters::policy::Guarded;
use tokio::time::Instant;

use crate::cluster::expected::{Availability, Expected};
use crate::cluster::identity::{EngineFacts, Identity};
use crate::platform::clock::Moment;

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
    /// The address under which the Swarm knows it, if a manager lists it.
    #[serde(skip)]
    pub(crate) swarm_address: Option<IpAddr>,
    /// Whether the managers report it as down, while its agent may still answer.
    #[serde(skip)]
    pub(crate) is_down: bool,
    /// The position of the secret that its agent shares with ours.
    #[serde(skip)]
    pub generation: usize,
    /// Whether this agent itself has called its agent at that address. If not, its
    /// address and state are as another agent knows them.
    #[serde(skip)]
    pub(crate) is_met: bool,
    /// When its agent last changed what it says of its node, by its own clock.
    #[serde(skip)]
    pub(crate) changed: u64,
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

    /// Whether other agents have to learn of what differs from before.
    pub(super) fn tells_the_same_as(&self, before: &Self) -> bool {
        let told = |m: &Self| {
            (
                m.manager,
                m.availability,
                m.swarm_address,
                m.address,
                m.generation,
                m.changed,
                m.is_down,
                std::mem::discriminant(&m.state),
            )
        };
        told(self) == told(before)
            && self.hostname == before.hostname
            && self.labels == before.labels
            && self.engine == before.engine
            && self.agent == before.agent
            && self.guarded == before.guarded
    }

    fn is_drained(&self) -> bool {
        self.availability == Some(Availability::Drain)
    }

    /// It was found, and does not answer.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.state, State::Unreachable(_) | State::NoEngine)
    }

    /// Its agent answers, whether its engine does or not.
    pub(super) fn agent_answers(&self) -> bool {
        matches!(self.state, State::Ready | State::NoEngine)
    }

    /// Takes what its agent says of it.
    pub(super) fn describe(&mut self, identity: &Identity, now: Moment) {
        if self.manager != identity.manager && self.agent.is_some() {
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
        self.hostname.clone_from(&identity.hostname);
        self.manager = identity.manager;
        self.agent = Some(identity.agent.clone());
        self.changed = identity.changed;
        if let Some(guarded) = &identity.guarded
            && *self.guarded != *guarded
        {
            self.guarded = Arc::new(guarded.clone());
        }
        if identity.engine.is_some() {
            self.engine.clone_from(&identity.engine);
            self.enter(State::Ready, now);
        } else {
            self.enter(State::NoEngine, now);
        }
    }

    /// Takes what a manager lists of its node. Returns whether its agent is to be
    /// asked: the managers miss it, and it has answered so far.
    pub(super) fn list(&mut self, node: &Expected, now: Moment) -> bool {
        self.labels.clone_from(&node.labels);
        self.availability = node.availability;
        self.swarm_address = node.address;
        if self.agent.is_none() {
            self.manager = node.manager;
            self.hostname.clone_from(&node.hostname);
        }
        let was_down = std::mem::replace(&mut self.is_down, node.down);
        match (&self.state, node.down) {
            (State::NoAgent | State::Unreachable(_), true) => self.enter(State::Down, now),
            (State::Down, false) => self.enter(State::NoAgent, now),
            _ => {}
        }
        node.down && !was_down && self.agent_answers()
    }

    /// Another node has its address, or nobody has it.
    pub(super) fn lose_address(&mut self, now: Moment) {
        self.address = self.spare.take().filter(|_| self.agent_answers());
        self.is_met = self.address.is_some();
        if self.address.is_none() {
            self.enter(State::NoAgent, now);
        }
    }

    pub(super) fn enter(&mut self, state: State, now: Moment) {
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
