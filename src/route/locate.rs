//! Finds the node that has a container, an exec, an image, a volume or a network,
//! by asking every node at once.
//!
//! An engine looks a container up by full id, then name, then id prefix. This
//! module completes each of these steps for all nodes before the next. Ids never
//! move, so their nodes are remembered; names can, and are looked up each time.

mod together;

use futures::future::join_all;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::{ApiVersion, Match, ObjectIn, ObjectKind, query};
use skep_filters::json::Members;

use crate::cluster::ask::{
    ApiVersionChoice, Ask, Missing, Node, Timeout, ask_node, missing_header, nodes,
};
use crate::cluster::hop::Hop;
use crate::cluster::reachable::Reachable;
use crate::exchange::context::Context;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::upstream::client::Budget;
use crate::upstream::request;
pub(crate) use together::locate_together;

/// Bounds one inspect.
const INSPECT: usize = 8 << 20;

/// The result of a lookup.
pub(crate) enum Found {
    /// The node at the end of this hop has it.
    At(Hop),
    /// Every node was asked, and none has it.
    Nowhere,
    /// It belongs to the Swarm: any manager has it.
    Manager,
    /// A network of the Swarm, by its full id. Each node lists only its own
    /// containers in it (moby#24186).
    Everyone(String),
}

/// The object to look up.
pub(crate) struct Object<'a> {
    pub(crate) class: ObjectKind,
    /// Its name or id, as the client gave it.
    pub(crate) name: &'a str,
    /// The request's method.
    pub(crate) method: &'a Method,
    /// A query that narrows the lookup: the scope of a network.
    pub(crate) query: &'a str,
    /// The version to ask in.
    pub(crate) version: Option<ApiVersion>,
    /// The nodes to ask.
    pub(crate) reachable: &'a Reachable,
    pub(crate) request_id: &'a HeaderValue,
}

impl Object<'_> {
    /// Whether the request removes the object, or tries to.
    fn removes_it(&self) -> bool {
        self.class == ObjectKind::Container && *self.method == Method::DELETE
    }
}

/// The name of the object that decides a request's route, if there is one: from
/// its path, its query, or its body.
pub(crate) fn named(found: &Match, raw_query: &str, body: Option<&[u8]>) -> Option<String> {
    match found.endpoint.object? {
        ObjectIn::Path => found.object.clone(),
        ObjectIn::Query(name) | ObjectIn::EachQuery(name) => {
            query::get(raw_query, name).map(std::borrow::Cow::into_owned)
        }
        ObjectIn::Body(field) => Members::of(body?)?.text(field),
    }
    .filter(|name| !name.is_empty())
}

/// Finds the node that has the object. Does not ask if there is only one node.
///
/// # Errors
/// If several nodes have an object of this name, or if no node that answered has
/// one and some did not answer: [`Reject::OnMissingNode`] if one of those has it,
/// otherwise [`Reject::NotFound`].
pub(crate) async fn locate(context: &Context, object: &Object<'_>) -> Result<Found, Reject> {
    let (nodes, mut missing) = nodes(&context.cluster, object.reachable);
    if let ([only], true) = (&nodes[..], missing.is_empty()) {
        return Ok(Found::At(only.hop.clone()));
    }
    if let Some(hop) = remembered(context, &nodes, object.name) {
        if object.removes_it() {
            context.known.forget(object.name);
        }
        return Ok(Found::At(hop));
    }
    let ids = || nodes.iter().map(|node| node.tag.id.as_str());
    if missing.is_empty() && context.misses.has(object.class, object.name, ids()) {
        return Ok(Found::Nowhere);
    }
    let path = object_path(object);
    let ask = Ask {
        head: &request::get("/").map_err(internal)?,
        version: ApiVersionChoice::of(&context.cluster, object.version),
        patience: Timeout::Deadline,
        path: &path,
        query: object.query,
        // Asked by the agent itself: the caller may have the right to remove an
        // object without that to inspect it.
        on_behalf_of: &OnBehalfOf::Agent,
        request_id: object.request_id,
    };
    // Several nodes may have the same image, volume or network: this node is
    // asked first, and is enough if it has one.
    let mut owners = Vec::new();
    let local_is_enough = matches!(
        object.class,
        ObjectKind::Image | ObjectKind::Volume | ObjectKind::Network
    );
    let this = nodes
        .iter()
        .take_while(|node| matches!(node.hop, Hop::Engine));
    let (here, others) = nodes.split_at(this.count());
    let rounds: Vec<&[Node]> = if local_is_enough {
        vec![here, others]
    } else {
        vec![&nodes]
    };
    for round in rounds {
        let ask = &ask;
        let answers = join_all(round.iter().map(|node| async move {
            (
                node,
                ask_node(
                    &context.cluster,
                    node,
                    ask,
                    ask.query,
                    &Budget::one(INSPECT),
                )
                .await,
            )
        }));
        for (node, answer) in answers.await {
            match answer {
                Ok(answer) if answer.head.status == StatusCode::OK => {
                    let row = serde_json::from_slice(&answer.body).unwrap_or_default();
                    owners.push(Owner::new(node, row, object.name));
                }
                // "multiple IDs found with provided prefix": passed on to the
                // engine, which answers with this error.
                Ok(answer) if answer.head.status == StatusCode::BAD_REQUEST => {
                    return Ok(Found::At(node.hop.clone()));
                }
                Ok(answer) if answer.head.status == StatusCode::NOT_FOUND => {}
                Ok(answer) => missing.push(Missing {
                    node: node.tag.clone(),
                    reason: format!("answered {}", answer.head.status.as_u16()),
                }),
                Err(reason) => missing.push(Missing {
                    node: node.tag.clone(),
                    reason,
                }),
            }
        }
        if !owners.is_empty() {
            break;
        }
    }
    let found = choose(context, object, owners, &missing);
    if matches!(found, Ok(Found::Nowhere)) {
        context.misses.saw(object.class, object.name, ids());
    }
    found
}

/// The node where the object was seen, unless it is missing.
fn remembered(context: &Context, nodes: &[Node], id: &str) -> Option<Hop> {
    let node = context.known.get(id)?;
    let found = nodes.iter().find(|n| *n.tag.id == *node);
    found.map(|n| n.hop.clone())
}

/// The path of the inspect that shows whether a node has the object.
pub(super) fn object_path(object: &Object<'_>) -> String {
    let name = object.name;
    match object.class {
        ObjectKind::Container => format!("/containers/{name}/json"),
        ObjectKind::Exec => format!("/exec/{name}/json"),
        ObjectKind::Image => format!("/images/{name}/json"),
        ObjectKind::Volume => format!("/volumes/{name}"),
        ObjectKind::Network => format!("/networks/{name}"),
    }
}

/// The fields of an inspect that identify an object. Containers and execs have
/// other fields than volumes.
#[derive(Default, Deserialize)]
struct Row {
    #[serde(alias = "ID", alias = "Id", default)]
    id: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Scope", default)]
    scope: String,
    /// A volume of the Swarm, which managers keep.
    #[serde(rename = "ClusterVolume", default)]
    cluster: Option<IgnoredAny>,
}

struct Owner<'a> {
    node: &'a Node,
    row: Row,
    step: u8,
}

impl<'a> Owner<'a> {
    fn new(node: &'a Node, row: Row, asked: &str) -> Self {
        // Full id, exact name, id prefix: the engine's order.
        let step = if row.id == asked {
            0
        } else if row.name.trim_start_matches('/') == asked.trim_start_matches('/') {
            1
        } else {
            2
        };
        Self { node, row, step }
    }
}

fn choose(
    context: &Context,
    object: &Object<'_>,
    mut owners: Vec<Owner<'_>>,
    missing: &[Missing],
) -> Result<Found, Reject> {
    let Some(best) = owners.iter().map(|o| o.step).min() else {
        let has_it = is_on_a_missing_node(context, object, missing);
        if missing.is_empty() {
            return Ok(Found::Nowhere);
        }
        let (what, nodes) = (not_found_message(object), missing_header(missing));
        return Err(if has_it {
            Reject::OnMissingNode {
                what,
                missing: nodes,
            }
        } else {
            Reject::NotFound {
                what,
                missing: nodes,
            }
        });
    };
    owners.retain(|o| o.step == best);
    let swarm = owners.iter().any(|o| o.row.scope == "swarm");
    if object.class == ObjectKind::Network && swarm {
        return Ok(match *object.method {
            Method::GET => Found::Everyone(owners.swap_remove(0).row.id),
            _ => Found::Manager,
        });
    }
    let cluster = owners.iter().all(|o| o.row.cluster.is_some());
    if object.class == ObjectKind::Volume && cluster && *object.method != Method::GET {
        return Ok(Found::Manager);
    }
    let alike = match object.class {
        ObjectKind::Image => true,
        // Reading any of several volumes with one name is harmless, and a
        // driver's global volume is the same on every node.
        ObjectKind::Volume => {
            let global = owners.iter().all(|o| o.row.scope == "global");
            *object.method == Method::GET || global || owners.iter().any(is_local)
        }
        _ => false,
    };
    if owners.len() > 1 && !alike {
        let nodes: Vec<_> = owners
            .iter()
            .map(|o| o.node.tag.hostname.as_str())
            .collect();
        return Err(Reject::SeveralNodes {
            name: object.name.to_owned(),
            nodes: nodes.join(", "),
        });
    }
    let local = owners.iter().position(is_local);
    let owner = &owners[local.unwrap_or(0)];
    let (row, node) = (&owner.row, &owner.node.tag.id);
    match object.class {
        _ if object.removes_it() => context.known.forget(&row.id),
        ObjectKind::Container => context.known.saw_named(&row.id, &row.name, node),
        ObjectKind::Exec => context.known.saw(&row.id, node),
        ObjectKind::Image | ObjectKind::Volume | ObjectKind::Network => {}
    }
    Ok(Found::At(owner.node.hop.clone()))
}

fn is_local(owner: &Owner<'_>) -> bool {
    matches!(owner.node.hop, Hop::Engine)
}

/// Whether one of the missing nodes has the object: it was seen there, or it is
/// named by a full id, which no client makes up. An image may be pulled again by its
/// id, and a volume has none. Forgets what was seen on the nodes that answered: they
/// do not have it.
fn is_on_a_missing_node(context: &Context, object: &Object<'_>, missing: &[Missing]) -> bool {
    match object.class {
        ObjectKind::Image | ObjectKind::Volume => false,
        ObjectKind::Network => is_full_id(object.name),
        ObjectKind::Container | ObjectKind::Exec => {
            let mut has_it = is_full_id(object.name);
            for (id, node) in context.known.meant(object.name) {
                match missing.iter().any(|m| *m.node.id == *node) {
                    true => has_it = true,
                    false => context.known.forget(&id),
                }
            }
            has_it
        }
    }
}

fn is_full_id(name: &str) -> bool {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    name.len() == 64 && name.bytes().all(is_digit)
}

/// The engine's own message for a missing object: clients search for it.
fn not_found_message(object: &Object<'_>) -> String {
    let name = object.name;
    match object.class {
        ObjectKind::Exec => format!("No such exec instance: {name}"),
        ObjectKind::Image => format!("No such image: {name}"),
        ObjectKind::Volume => format!("get {name}: no such volume"),
        ObjectKind::Network => format!("network {name} not found"),
        ObjectKind::Container => format!("No such container: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use skep_filters::endpoint::EndpointId;

    use super::*;

    #[test]
    fn the_object_in_a_body_is_read_as_by_the_engine() {
        let connect = Match {
            endpoint: EndpointId::NetworkConnect.endpoint(),
            object: Some("net".to_owned()),
        };
        let named = |body: &str| named(&connect, "", Some(body.as_bytes()));
        for (body, name) in [
            (r#"{"Container":"a"}"#, Some("a")),
            (r#"{"CONTAINER":"a","Container":"b"}"#, Some("b")),
            (r#"{"Container":"b","CONTAINER":"a"}"#, Some("a")),
            (r#"{"Container":""}"#, None),
            (r#"{"Container":5}"#, None),
            ("not JSON", None),
        ] {
            assert_eq!(named(body).as_deref(), name, "{body}");
        }
    }
}
