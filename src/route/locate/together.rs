//! Finds one node that has all images of an archive (`GET /images/get?names=…`):
//! an engine packs only its own images.

use futures::future::join_all;
use http::{HeaderValue, Method, StatusCode};
use skep_filters::auth::OnBehalfOf;
use skep_filters::endpoint::{ApiVersion, ObjectKind};

use super::{Found, INSPECT, Object, not_found_message, object_path};
use crate::cluster::ask::{
    ApiVersionChoice, Ask, Missing, Node, Timeout, ask_node, missing_header, nodes,
};
use crate::cluster::reachable::Reachable;
use crate::exchange::context::Context;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Finds a node that has all of these images, this one first.
///
/// # Errors
/// If no node that answered has them all, and some did not answer.
pub(crate) async fn locate_together(
    context: &Context,
    names: &[String],
    version: Option<ApiVersion>,
    reachable: &Reachable,
    request_id: &HeaderValue,
) -> Result<Found, Reject> {
    let image = |name| Object {
        class: ObjectKind::Image,
        name,
        method: &Method::GET,
        query: "",
        version,
        reachable,
        request_id,
    };
    let paths: Vec<_> = names.iter().map(|name| object_path(&image(name))).collect();
    let (nodes, mut missing) = nodes(&context.cluster, reachable);
    let head = request::get("/").map_err(internal)?;
    let ask = Ask {
        head: &head,
        version: ApiVersionChoice::of(&context.cluster, version),
        patience: Timeout::Deadline,
        path: "",
        query: "",
        on_behalf_of: &OnBehalfOf::Agent,
        request_id,
    };
    let (ask, paths) = (&ask, &paths);
    let checks = nodes.iter().map(|node| has_all(context, node, ask, paths));
    for (node, has) in nodes.iter().zip(join_all(checks).await) {
        match has {
            Ok(true) => return Ok(Found::At(node.hop.clone())),
            Ok(false) => {}
            Err(reason) => missing.push(Missing {
                node: node.tag.clone(),
                reason,
            }),
        }
    }
    if missing.is_empty() {
        return Ok(Found::Nowhere);
    }
    Err(Reject::NotFound {
        what: not_found_message(&image(&names.join(" "))),
        missing: missing_header(&missing),
    })
}

async fn has_all(
    context: &Context,
    node: &Node,
    ask: &Ask<'_>,
    paths: &[String],
) -> Result<bool, String> {
    for path in paths {
        let ask = Ask { path, ..*ask };
        let answer = ask_node(&context.cluster, node, &ask, "", &Budget::one(INSPECT)).await?;
        if answer.head.status != StatusCode::OK {
            return Ok(false);
        }
    }
    Ok(true)
}
