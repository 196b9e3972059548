//! Holds the state that the steps of all requests share: the cluster, this node's
//! configuration, its clients, and the remembered owners of objects.

use std::sync::Arc;

use pingora::Error;

use crate::cluster::Cluster;
use crate::cluster::conditions::Conditions;
use crate::cluster::copies::Copies;
use crate::cluster::hop::Hop;
use crate::cluster::known::{Known, Pulls};
use crate::cluster::misses::Misses;
use crate::cluster::name_locks::NameLocks;
use crate::cluster::reachable::Reachable;
use crate::cluster::removals::Removals;
use crate::cluster::residents::Residents;
use crate::config::Config;
use crate::exchange::called::Permission;
use crate::exchange::reject::{self, Reject};
use crate::listen::memory::Memory;
use crate::listen::server_headers::AgentHeaders;
use crate::upstream::client::Client;
use crate::upstream::engine::Engine;
use crate::upstream::peers::Peers;

/// The shared state.
pub(crate) struct Context {
    pub(crate) config: Config,
    /// The local engine.
    pub(crate) engine: Arc<Engine>,
    /// Sends the agent's own requests.
    pub(crate) client: Arc<Client>,
    /// Signs requests to other agents and connects to them.
    pub(crate) peers: Arc<Peers>,
    pub(crate) cluster: Arc<Cluster>,
    /// The memory that requests in progress may hold.
    pub(crate) memory: Arc<Memory>,
    /// The nodes on which containers and execs were seen.
    pub(crate) known: Known,
    /// The ids that no node has.
    pub(crate) misses: Misses,
    /// The nodes that lacked an image.
    pub(crate) pulls: Pulls,
    /// Where containers were that callers removed in the last minutes.
    pub(crate) removals: Removals,
    /// The names that open requests give to containers.
    pub(crate) name_locks: NameLocks,
    /// The nodes that answers were without.
    pub(crate) missing: Conditions,
    /// The containers of this node's engine, by their addresses.
    pub(crate) residents: Residents,
    /// The copies of images to this node.
    pub(crate) copies: Copies,
    /// The headers of every answer besides skep's own.
    pub(crate) agent_headers: AgentHeaders,
    /// Whether an audit log is configured.
    pub(crate) audited: bool,
}

impl Context {
    /// A manager other than this node.
    ///
    /// # Errors
    /// If none has answered its last probe.
    pub(crate) fn manager(&self) -> Result<Hop, Reject> {
        let none = || Reject::NoManager {
            from: self.cluster.me().name().to_owned(),
            reason: self.cluster.managers_in_words(),
        };
        self.cluster.manager().map(Hop::Agent).ok_or_else(none)
    }

    /// The refusal for a failed call to a hop. If the hop itself failed, the table of
    /// members records it.
    pub(crate) fn failed(&self, hop: &Hop, error: &Error) -> Reject {
        reject::of_proxy(error, |reason| {
            hop.failed(&self.cluster, error, &reason);
            self.unreachable(hop, reason)
        })
    }

    /// The refusal for a hop that does not answer.
    pub(crate) fn unreachable(&self, hop: &Hop, reason: String) -> Reject {
        match hop {
            Hop::Engine => Reject::Engine {
                node: self.cluster.me().name().to_owned(),
                address: self.engine.address().to_owned(),
                reason,
            },
            Hop::Agent(member) => Reject::Node {
                node: member.name().to_owned(),
                reason: format!("{reason}{}", self.cluster.outlook(member)),
            },
        }
    }

    /// Refuses a hop that the caller may not reach.
    ///
    /// # Errors
    /// [`Reject::Denied`].
    pub(crate) fn reaches(&self, permission: &Permission, hop: &Hop) -> Result<(), Reject> {
        let Reachable::Some(may) = &permission.reachable else {
            return Ok(());
        };
        if may.contains(&hop.node(&self.cluster)) {
            return Ok(());
        }
        let node = hop.name(&self.cluster.me()).to_owned();
        Err(Reject::Denied {
            who: permission.called.caller.name.clone(),
            policy: permission.called.policy.name.clone(),
            rule: permission.rule.to_string(),
            reason: format!("not on node {node}"),
        })
    }
}
