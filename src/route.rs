//! Decides which node answers a request: the rules of docs/architecture.md under
//! "Routing rules", in their order and with their numbers.

pub(crate) mod locate;
pub(crate) mod place;
pub(crate) mod task;

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use skep_filters::aggregate::{VolumeFilter, image_plan, plan};
use skep_filters::endpoint::filters::Filters;
use skep_filters::endpoint::{
    AllNodes, Announcement, Broadcast, Endpoint, Match, Merge, ObjectKind, Own, Route, SwarmObject,
};
use skep_filters::placement::creates_for_the_swarm;

use crate::cluster::Cluster;
use crate::cluster::members::{Member, State};
use crate::cluster::probe::ANY_NODE;
use crate::exchange::dialect::Dialect;
use crate::exchange::hint::{Hint, Malformed, header};
use crate::exchange::reject::{Reason, Reject};
use crate::forward::fanout::List;

/// The header that names a node by id or hostname, or [`EVERYONE`].
const TARGET: &str = "skep-target";

/// The target that means all nodes.
const EVERYONE: &str = "*";

/// The result of routing.
#[derive(Debug)]
pub(crate) enum Destination {
    /// This node's engine.
    Local,
    /// A manager, since this node is not one.
    Manager,
    /// One other node.
    Node(Arc<Member>),
    /// The node that has the object of the request.
    Owner(ObjectKind),
    /// All nodes; their answers are merged.
    Everyone(List),
    /// All nodes; their events are one stream.
    Events,
    /// All nodes, because the caller named all: each performs the call, and the
    /// answer reports the result of each.
    Everywhere(Broadcast),
    /// The node on which a container, a network or a volume is created; its body may
    /// require one.
    Placed(ObjectKind),
    /// The node that pulls an image: this one, unless another one lacked it.
    Pull,
    /// The engine that answers for the cluster, with the versions of all nodes.
    Announced(Announcement),
    /// This agent itself.
    Agent,
}

/// Why the request cannot go to the node that it names.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// No node has this id or hostname.
    #[error("no such node: {asked:?}; known nodes: {known}")]
    Unknown {
        asked: String,
        /// All nodes, for the message.
        known: String,
    },
    /// Several nodes have this hostname.
    #[error("{asked:?} is the hostname of several nodes; use one of their ids: {ids}")]
    Ambiguous { asked: String, ids: String },
    /// The node is known but not ready.
    #[error("node {node} cannot be asked: {state}")]
    NotReady { node: String, state: String },
    /// The request names all nodes, and its endpoint does not support that.
    #[error(
        "Skep-Target: {EVERYONE} works for lists, prunes, and the pull, load, tag and removal of images; name one node"
    )]
    NotEverywhere,
    /// A header occurs twice, or is not text.
    #[error("the {0} header must be given once, as text")]
    Malformed(&'static str),
    /// Another agent meant the node that had this address before.
    #[error("this is node {me:?}, not {asked:?}")]
    Misdirected { asked: String, me: String },
}

impl TargetError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::Ambiguous { .. } => StatusCode::CONFLICT,
            Self::NotReady { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Malformed(_) | Self::NotEverywhere => StatusCode::BAD_REQUEST,
            Self::Misdirected { .. } => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

impl From<Malformed> for TargetError {
    fn from(Malformed(name): Malformed) -> Self {
        Self::Malformed(name)
    }
}

impl From<TargetError> for Reject {
    fn from(error: TargetError) -> Self {
        Self::refused(error.status(), Reason::Target, error)
    }
}

/// The parts of a request by which it is routed.
pub(crate) struct Request<'a> {
    /// `None` for an unknown path.
    pub(crate) found: Option<&'a Match>,
    /// The query, not decoded.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) hint: Hint,
    pub(crate) dialect: &'a dyn Dialect,
    /// The body, if it was read.
    pub(crate) body: Option<&'a [u8]>,
    /// Whether another agent sent the request.
    pub(crate) from_peer: bool,
    /// Whether the caller is served this node only.
    pub(crate) own_node_only: bool,
    /// Whether `/info` shows the sums of all nodes.
    pub(crate) totals: bool,
}

/// Applies the routing rules.
///
/// # Errors
/// If the request names a node that cannot be asked.
pub(crate) fn route(cluster: &Cluster, request: &Request<'_>) -> Result<Destination, TargetError> {
    let &Request {
        found,
        query,
        headers,
        ref hint,
        dialect,
        body,
        from_peer,
        own_node_only,
        totals,
    } = request;
    if from_peer {
        return for_peer(cluster, found, headers);
    }
    let endpoint = found.map(|m| m.endpoint);
    let route = endpoint.map_or(Route::ThisNode, |e| e.route);
    if own_node_only {
        return on_own_node(cluster, route, headers);
    }
    // 1. The agent's own endpoints.
    if let Route::Agent | Route::AgentOrTarget | Route::EveryAgent = route {
        return Ok(match (header(headers, TARGET)?, route) {
            (Some(asked), Route::AgentOrTarget | Route::EveryAgent) => match find(cluster, &asked)?
            {
                Destination::Local => Destination::Agent,
                node => node,
            },
            _ => Destination::Agent,
        });
    }
    // 2. A named node.
    let creates = matches!(
        route,
        Route::ThisNodeOrManager(object) if creates_for_the_swarm(object, body)
    );
    match target(cluster, headers, hint, route, creates)? {
        Some(asked) if asked == EVERYONE => {
            let all_nodes = endpoint.map_or(AllNodes::Refused, Endpoint::all_nodes);
            match all_nodes {
                AllNodes::Refused => return Err(TargetError::NotEverywhere),
                AllNodes::AsUsual => {}
                AllNodes::Prune | AllNodes::Broadcast(_) if !cluster.is_on() => {
                    return Ok(Destination::Local);
                }
                AllNodes::Prune => return Ok(Destination::Everyone(List::Prune)),
                AllNodes::Broadcast(broadcast) => return Ok(Destination::Everywhere(broadcast)),
            }
        }
        Some(asked) => return find(cluster, &asked),
        None => {}
    }
    // 3. No Swarm.
    if !cluster.is_on() {
        return Ok(Destination::Local);
    }
    // 5. A request for a manager, and objects that only a manager creates.
    if creates || hint.manager {
        return Ok(manager(cluster));
    }
    Ok(match route {
        // 4. and 5.
        Route::Info if totals => Destination::Everyone(List::InfoTotals),
        Route::Info | Route::Manager => manager(cluster),
        // 6. Lists and events.
        Route::EveryNode(merge) => Destination::Everyone(list(merge, query, dialect)),
        Route::Events => Destination::Events,
        // 7. Versions.
        Route::Negotiation(announcement) => Destination::Announced(announcement),
        // 8. New containers, networks and volumes, and images for them.
        Route::Placement => Destination::Placed(ObjectKind::Container),
        Route::ThisNodeOrManager(SwarmObject::OverlayNetwork) => {
            Destination::Placed(ObjectKind::Network)
        }
        Route::ThisNodeOrManager(SwarmObject::ClusterVolume) => {
            Destination::Placed(ObjectKind::Volume)
        }
        Route::Pull => Destination::Pull,
        // 9. The owner of an object.
        Route::Owner(kind) => Destination::Owner(kind),
        Route::NetworkInspect => Destination::Owner(ObjectKind::Network),
        // 10. The rest.
        Route::ThisNode | Route::Itself | Route::AnyNode | Route::Prune => Destination::Local,
        Route::Agent | Route::AgentOrTarget | Route::EveryAgent => Destination::Agent,
    })
}

fn manager(cluster: &Cluster) -> Destination {
    if cluster.me().can_manage() {
        Destination::Local
    } else {
        Destination::Manager
    }
}

/// A request of a caller that is served this node only: there is no other.
fn on_own_node(
    cluster: &Cluster,
    route: Route,
    headers: &HeaderMap,
) -> Result<Destination, TargetError> {
    if let Some(asked) = header(headers, TARGET)?.filter(|asked| asked != EVERYONE) {
        let me = cluster.me();
        if asked != me.hostname && asked != me.node_id {
            let known = me.label();
            return Err(TargetError::Unknown { asked, known });
        }
    }
    Ok(match route {
        Route::Agent | Route::AgentOrTarget | Route::EveryAgent => Destination::Agent,
        _ => Destination::Local,
    })
}

/// A request of another agent is for this node and goes no further.
fn for_peer(
    cluster: &Cluster,
    found: Option<&Match>,
    headers: &HeaderMap,
) -> Result<Destination, TargetError> {
    let own = found.and_then(|m| m.endpoint.own);
    let asked = header(headers, TARGET)?.unwrap_or_default();
    let me = cluster.me();
    let probed = asked == ANY_NODE && own == Some(Own::Identity);
    if !probed && (asked.is_empty() || asked != me.node_id) {
        let me = me.node_id.clone();
        return Err(TargetError::Misdirected { asked, me });
    }
    Ok(match own {
        Some(_) => Destination::Agent,
        None => Destination::Local,
    })
}

fn list(merge: Merge, query: &str, dialect: &dyn Dialect) -> List {
    match merge {
        Merge::Containers => List::Containers(plan(query)),
        Merge::Images if dialect.lists_images_by_node() => List::ImagesApart(image_plan(query)),
        Merge::Images => List::Images(image_plan(query)),
        Merge::Volumes => List::Volumes(volume_filter(query)),
        Merge::Networks => List::Networks,
        Merge::DataUsage => List::DataUsage,
    }
}

/// Empty if the filters are malformed: the engines refuse them.
fn volume_filter(query: &str) -> VolumeFilter {
    let filters = Filters::from_query(query).unwrap_or_default();
    let values = |name| filters.values(name).map(str::to_owned).collect();
    VolumeFilter {
        names: values("name"),
        drivers: values("driver"),
        labels: values("label"),
        dangling: filters
            .values("dangling")
            .next()
            .map(skep_filters::endpoint::query::truthy),
    }
}

/// The node that the request names. A hint is ignored outside of a Swarm, beside a
/// request for a manager, and where only managers answer. Portainer's UI sends one
/// there too, and newer servers drop its request for a manager (the header list of
/// 2.43), so an object of the whole Swarm also counts as a request for one. A
/// manager answers `/info`, since the ids of volumes depend on it.
fn target(
    cluster: &Cluster,
    headers: &HeaderMap,
    hint: &Hint,
    route: Route,
    creates: bool,
) -> Result<Option<String>, TargetError> {
    let named = header(headers, TARGET)?;
    let managers = matches!(route, Route::Manager | Route::Info);
    if named.is_some() || hint.manager || creates || managers || !cluster.is_on() {
        return Ok(named);
    }
    Ok(hint.node.clone())
}

/// The node with this id or hostname.
fn find(cluster: &Cluster, asked: &str) -> Result<Destination, TargetError> {
    let me = cluster.me();
    if !cluster.is_on() {
        if asked == me.hostname || asked == me.node_id {
            return Ok(Destination::Local);
        }
        return Err(TargetError::Unknown {
            asked: asked.to_owned(),
            known: me.label(),
        });
    }
    let all = cluster.all();
    let member = match all.iter().find(|m| m.id == asked) {
        Some(member) => member,
        None => by_hostname(&all, asked)?,
    };
    if member.id == me.node_id {
        Ok(Destination::Local)
    } else if member.is_ready() {
        Ok(Destination::Node(member.clone()))
    } else {
        Err(TargetError::NotReady {
            node: format!("{} ({})", member.name(), member.id),
            state: member.missing_reason(),
        })
    }
}

fn by_hostname<'a>(all: &'a [Arc<Member>], asked: &str) -> Result<&'a Arc<Member>, TargetError> {
    let named: Vec<_> = all.iter().filter(|m| m.hostname == asked).collect();
    // A node that left the Swarm and joined anew stays in its list under the
    // old id, down (moby#24106): only two live ones are ambiguous.
    let live: Vec<_> = named
        .iter()
        .copied()
        .filter(|m| m.state != State::Down)
        .collect();
    match (live.as_slice(), named.as_slice()) {
        ([one], _) | ([], [one, ..]) => Ok(one),
        ([], []) => Err(TargetError::Unknown {
            asked: asked.to_owned(),
            known: join(all.iter().map(|m| format!("{} ({})", m.hostname, m.id))),
        }),
        (several, _) => Err(TargetError::Ambiguous {
            asked: asked.to_owned(),
            ids: join(several.iter().map(|m| m.id.clone())),
        }),
    }
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
