//! Reads the rights of an identity: its policy, its networks and its limits.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use serde_saphyr::Location;
use skep_filters::policy::{RuleSet, Spec};

use super::error::ValueError;
use super::faults::Faults;
use super::policies::{Policies, Policy};
use super::raw::{self, Text};
use super::scalar;

/// The largest limit; no agent can serve more.
const MOST: usize = 1_000_000;

const NODES: &[(&str, Nodes)] = &[("all", Nodes::All), ("self", Nodes::Own)];

/// The rights of an identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub(crate) policy: Arc<Policy>,
    /// The networks that it may call from; empty for all.
    pub networks: Vec<IpNet>,
    /// How many requests it may make.
    pub(crate) limits: Limits,
    /// Whether these are the rights of health checks, which have the reserve of the
    /// operator and of agents.
    pub(crate) health_check: bool,
    /// The node on which its containers, networks and volumes are created, by id or
    /// hostname; `None` to choose one for each.
    pub node: Option<Arc<str>>,
    /// The nodes that it is served.
    pub nodes: Nodes,
    /// Of a user of the people's list, when the rights began; 0 for an identity of the
    /// configuration.
    pub(crate) since: u64,
}

/// The nodes that an identity is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nodes {
    /// The whole cluster.
    #[default]
    All,
    /// The node of the agent that it calls, as if there were no other.
    Own,
}

/// How many requests an identity may make to one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests that begin within a second; `None` for any number.
    pub(crate) per_second: Option<NonZeroU32>,
    /// Requests that are open at a time, streams and consoles included; `None`
    /// for any number.
    pub(crate) at_once: Option<NonZeroU32>,
}

impl Grant {
    /// All rights, from all networks, without limits.
    pub fn admin() -> Self {
        Self::of(Policy::admin())
    }

    /// The right to ask whether the agent lives.
    pub(crate) fn health() -> Option<Self> {
        let rules = RuleSet::new(&Spec::allowing(["GET /skep/v1/health"])).ok()?;
        let name = "health".to_owned();
        Some(Self {
            health_check: true,
            ..Self::of(Policy { name, rules })
        })
    }

    /// The rights of a policy, from all networks and without limits.
    pub(crate) fn of(policy: Policy) -> Self {
        Self {
            policy: Arc::new(policy),
            networks: Vec::new(),
            limits: Limits::default(),
            health_check: false,
            node: None,
            nodes: Nodes::All,
            since: 0,
        }
    }

    /// The same rights, without the secret that agents have in their environment.
    #[must_use]
    pub(crate) fn hiding_agents_secret(mut self) -> Self {
        let Policy { name, rules } = Arc::unwrap_or_clone(self.policy);
        let rules = rules.hiding_agents_secret();
        self.policy = Arc::new(Policy { name, rules });
        self
    }

    /// Whether the identity may call from this address. A caller without an
    /// address is on this machine.
    pub(crate) fn covers(&self, address: Option<IpAddr>) -> bool {
        let address = address.map(|address| address.to_canonical());
        let within = |net: &IpNet| address.is_some_and(|address| net.contains(&address));
        self.networks.is_empty() || self.networks.iter().any(within)
    }
}

/// The raw settings of a grant.
pub(super) struct Raw {
    pub(super) policy: Option<Text>,
    pub(super) networks: Option<Vec<Text>>,
    pub(super) limits: Option<raw::Limits>,
    pub(super) node: Option<Text>,
    pub(super) nodes: Option<Text>,
}

impl Raw {
    /// The grant of the identity at `key`, whose map is at `location`.
    pub(super) fn read(
        self,
        faults: &mut Faults,
        policies: &Policies,
        key: &str,
        location: Location,
    ) -> Option<Grant> {
        // No default: an operator has to decide on the rights of each identity.
        if self.policy.is_none() {
            let error = ValueError::new("this needs `policy`").help(policies.help());
            faults.report(key, location, error);
        }
        let networks = self.networks.unwrap_or_default();
        let networks = faults.each(&format!("{key}.networks"), networks, network);
        let limits = self.limits.unwrap_or_default();
        let mut limit = |name: &str, text: Option<Text>| {
            let read = |text: &str| scalar::whole(text, 1..=MOST);
            let number = faults.read(&format!("{key}.limits.{name}"), text, read)?;
            u32::try_from(number).ok().and_then(NonZeroU32::new)
        };
        let limits = Limits {
            per_second: limit("per_second", limits.per_second),
            at_once: limit("at_once", limits.at_once),
        };
        let node = faults.read(&format!("{key}.node"), self.node, node);
        let nodes = faults.or(&format!("{key}.nodes"), self.nodes, Nodes::All, |text| {
            scalar::choice(text, "a choice of nodes", NODES)
        });
        let policy = faults.read(&format!("{key}.policy"), self.policy, |text| {
            policies.find(text)
        })?;
        Some(Grant {
            health_check: false,
            policy,
            networks,
            limits,
            node,
            nodes,
            since: 0,
        })
    }
}

/// The id or the hostname of a node.
fn node(text: &str) -> Result<Arc<str>, ValueError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    match (1..=253).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.into()),
        false => Err(ValueError::new(format!(
            "`{text}` is not the id or the hostname of a node"
        ))),
    }
}

/// `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, ValueError> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(|_| one());
    network.map(|net| net.trunc()).map_err(|_| {
        ValueError::new(format!("`{text}` is not a network"))
            .help("for example 10.0.0.0/8, fd00::/8 or 192.168.1.20")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_may_call_from_its_networks_only() {
        let mut grant = Grant::admin();
        assert!(grant.covers(None) && grant.covers("8.8.8.8".parse().ok()));
        grant.networks = vec![network("10.1.2.3/8").unwrap(), network("::1").unwrap()];
        for (address, expected) in [
            ("10.9.9.9", true),
            ("::ffff:10.9.9.9", true),
            ("11.0.0.1", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(grant.covers(address.parse().ok()), expected, "{address}");
        }
        assert!(
            !grant.covers(None),
            "a caller at a socket of this machine has no address"
        );
    }

    #[test]
    fn an_invalid_network_is_refused() {
        for text in ["", "10.0.0.0/33", "example.com", "10.0.0", "10.0.0.0/"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
