//! Limits rules to some nodes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::effect::Effect;

/// The role of a Swarm node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A node that holds the Swarm's state.
    Manager,
    /// A node that does not.
    Worker,
}

impl Role {
    /// As in `docker node ls`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manager => "manager",
            Self::Worker => "worker",
        }
    }
}

/// The node that a request is going to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Manager or worker.
    pub role: Role,
    /// Its host name.
    pub hostname: String,
    /// Its Swarm labels (`Spec.Labels`).
    pub labels: BTreeMap<String, String>,
}

/// The node for which a request is judged.
#[derive(Clone, Copy, Debug)]
pub enum On<'n> {
    /// On this one.
    Node(&'n Node),
    /// The node is unknown: a rule with a condition allows nothing, and denies
    /// every request that it matches.
    Unknown,
    /// Any node that allows it. Judge again when the node is known.
    Any,
}

/// The nodes that a rule is for. Every given condition must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeCondition {
    /// Of this role.
    pub role: Option<Role>,
    /// Of this host name; host names are compared without regard to case.
    pub hostname: Option<String>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
}

impl NodeCondition {
    /// Whether every node meets it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a rule with this condition and effect applies to a request there.
    pub(super) fn holds(&self, on: On<'_>, effect: Effect) -> bool {
        let node = match on {
            _ if self.is_empty() => return true,
            On::Unknown => return effect == Effect::Deny,
            On::Any => return effect == Effect::Allow,
            On::Node(node) => node,
        };
        let role = self.role.is_none_or(|role| role == node.role);
        let name = self.hostname.as_ref();
        let name = name.is_none_or(|name| name.eq_ignore_ascii_case(&node.hostname));
        let mut labels = self.labels.iter();
        role && name && labels.all(|(key, value)| node.labels.get(key) == Some(value))
    }
}
