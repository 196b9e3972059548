//! The table of nodes as agents hand it to each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use skep_filters::policy::Guarded;

use super::expected::{Availability, Expected};
use super::identity::EngineFacts;
use super::members::{Member, State};
use super::versions::Told;
use crate::upstream::clocks::Skew;

/// A table of nodes, or what differs from an earlier one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shared {
    /// The state of the table after this.
    pub(crate) revision: String,
    /// Whether these are all nodes.
    pub(crate) whole: bool,
    /// Whether a manager has listed the nodes.
    pub(crate) listed: bool,
    /// Whether this agent is about to stop.
    #[serde(default)]
    pub(crate) stopping: bool,
    /// What this agent says of its list of people; absent from an older agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) people: Option<Told>,
    pub(crate) nodes: Vec<Row>,
    /// The ids of the nodes that have left.
    #[serde(default)]
    pub(crate) gone: Vec<String>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) hostname: String,
    pub(crate) manager: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) availability: Option<Availability>,
    /// Whether the managers report it as down.
    #[serde(default)]
    pub(crate) down: bool,
    /// The address under which the Swarm knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) swarm_address: Option<IpAddr>,
    #[serde(flatten)]
    pub(crate) state: State,
    /// What its agent says; absent until one has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<AgentRow>,
}

/// What the agent of a node says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentRow {
    pub(crate) version: String,
    /// When it last said something else, by its own clock.
    #[serde(default)]
    pub(crate) changed: u64,
    /// Where it listens. Absent in what an agent says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<SocketAddr>,
    /// The fingerprint of the secret by which it was called.
    #[serde(default)]
    pub(crate) cluster: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<EngineFacts>,
    #[serde(default)]
    pub(crate) guarded: Guarded,
    /// The time that its clock is ahead, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock_skew_ms: Option<i64>,
}

impl Row {
    pub(super) fn of(member: &Member, cluster: String, skew: Option<Skew>) -> Self {
        let agent = member.agent.as_ref().map(|version| AgentRow {
            version: version.clone(),
            changed: member.changed,
            address: member.address,
            cluster,
            engine: member.engine.clone(),
            guarded: (*member.guarded).clone(),
            clock_skew_ms: skew.map(Skew::millis),
        });
        Self {
            id: member.id.clone(),
            hostname: member.hostname.clone(),
            manager: member.manager,
            labels: member.labels.clone(),
            availability: member.availability,
            down: member.is_down || member.state == State::Down,
            swarm_address: member.swarm_address,
            state: member.state.clone(),
            agent,
        }
    }

    /// What the managers list of the node.
    pub(super) fn listed(&self) -> Expected {
        Expected {
            id: self.id.clone(),
            hostname: self.hostname.clone(),
            manager: self.manager,
            labels: self.labels.clone(),
            down: self.down,
            availability: self.availability,
            address: self.swarm_address,
        }
    }
}
