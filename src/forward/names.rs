//! Keeps the names of containers unique: a name that a container of another node
//! has is refused in the engine's own words. The engine refuses those of its own.
//!
//! Requests through one agent wait for each other. Two requests for one name that
//! reach two agents at the same moment may both succeed, and so may a request for
//! the name of a container on a node that does not answer.

use futures::future::join_all;
use http::StatusCode;
use serde::Deserialize;
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::{ApiVersion, query};

use crate::cluster::ask::{ApiVersionChoice, Ask, Node, Timeout, ask_node, nodes};
use crate::cluster::hop::Hop;
use crate::cluster::reachable::Reachable;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::internal;
use crate::exchange::reject::{Reason, Reject};
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds one inspect, in bytes.
const INSPECT: usize = 8 << 20;

/// The longest name that is looked up; engines have no limit, but no client has
/// longer ones.
const LONGEST: usize = 512;

/// The name that the request gives a container, without a leading `/`; `None` for
/// one that the engine makes up or refuses (moby `RestrictedNamePattern`).
pub(crate) fn given(raw_query: &str) -> Option<String> {
    let name = query::get(raw_query, "name")?;
    let name = name.strip_prefix('/').unwrap_or(&name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    let is_name = begins && (2..=LONGEST).contains(&name.len()) && name.bytes().all(plain);
    is_name.then(|| name.to_owned())
}

/// Refuses a name that a container on another node than `hop` has.
///
/// # Errors
/// 409, with the node unless the caller may not reach it.
pub(crate) async fn refuse_taken(
    context: &Context,
    x: &Judged<'_>,
    hop: &Hop,
    name: &str,
    version: Option<ApiVersion>,
) -> Result<(), Reject> {
    let own = hop.node(&context.cluster);
    let (mut nodes, _) = nodes(&context.cluster, &Reachable::All);
    nodes.retain(|node| node.tag.id != own);
    let looked_up = nodes
        .iter()
        .map(|node| async move { (node, inspect(context, x, node, name, version).await) });
    for (node, answer) in join_all(looked_up).await {
        let Some(container) = answer.ok().flatten() else {
            continue;
        };
        // The engine also finds the beginning of an id.
        if container.name.trim_start_matches('/') != name {
            continue;
        }
        let at = match x.reachable().has(&node.tag.id) {
            true => format!(" It is on node {}.", node.tag.hostname),
            false => String::new(),
        };
        let message = format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You \
             have to remove (or rename) that container to be able to reuse that name.{at}",
            container.id
        );
        return Err(Reject::refused(
            StatusCode::CONFLICT,
            Reason::NameTaken,
            message,
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Container {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
}

async fn inspect(
    context: &Context,
    x: &Judged<'_>,
    node: &Node,
    name: &str,
    version: Option<ApiVersion>,
) -> Result<Option<Container>, Reject> {
    let body = inspect_container(context, x, node, name, version).await?;
    Ok(body.and_then(|body| serde_json::from_slice(&body).ok()))
}

/// The inspect of a container on one node; `None` if the node does not have it, or
/// does not answer.
///
/// # Errors
/// For a defect of skep.
pub(crate) async fn inspect_container(
    context: &Context,
    x: &Judged<'_>,
    node: &Node,
    name: &str,
    version: Option<ApiVersion>,
) -> Result<Option<bytes::Bytes>, Reject> {
    let path = format!("/containers/{name}/json");
    let ask = Ask {
        head: &request::get("/").map_err(internal)?,
        version: ApiVersionChoice::of(&context.cluster, version),
        patience: Timeout::Deadline,
        path: &path,
        query: "",
        // The caller may give a name without the right to inspect containers.
        on_behalf_of: &OnBehalfOf::Agent,
        request_id: x.id().as_header(),
    };
    let answer = ask_node(&context.cluster, node, &ask, "", &Budget::one(INSPECT)).await;
    let found = answer.ok().filter(|a| a.head.status == StatusCode::OK);
    Ok(found.map(|answer| answer.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_as_by_the_engine() {
        for (query, name) in [
            ("name=web", Some("web")),
            ("name=/web", Some("web")),
            ("name=%2Fweb", Some("web")),
            ("platform=&name=w.e_b-1", Some("w.e_b-1")),
            ("name=web&name=other", Some("web")),
            ("", None),
            ("name=", None),
            ("name=w", None),
            ("name=.web", None),
            ("name=//web", None),
            ("name=a/b", None),
            ("name=a%20b", None),
            ("Name=web", None),
        ] {
            assert_eq!(given(query).as_deref(), name, "{query}");
        }
    }
}
