//! Finds the nodes that have containers of an image: what is pulled takes effect
//! where they are.

use futures::future::join_all;
use http::StatusCode;
use serde::Deserialize;
use skep_filters::endpoint::ApiVersion;

use crate::cluster::ask::{ApiVersionChoice, Ask, Node, Timeout, ask_node, nodes};
use crate::cluster::known::image_name;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::forward::names;
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds one list, in bytes.
const LIST: usize = 8 << 20;

/// The most containers of a node that are inspected for the name of their image.
const INSPECTS: usize = 16;

/// The nodes with a container of the image with this name, whether it runs or not.
/// Only containers that the caller may list count.
pub(super) async fn nodes_of(
    context: &Context,
    x: &Judged<'_>,
    image: &str,
    version: Option<ApiVersion>,
) -> Vec<Node> {
    let (nodes, _) = nodes(&context.cluster, x.reachable());
    let image = image_name(image);
    let looked_up = nodes.into_iter().map(|node| {
        let image = &image;
        async move {
            let has = has_container(context, x, &node, image, version).await;
            has.then_some(node)
        }
    });
    join_all(looked_up).await.into_iter().flatten().collect()
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "Id")]
    id: String,
    /// The image's id, once its name belongs to another image.
    #[serde(rename = "Image", default)]
    image: String,
}

async fn has_container(
    context: &Context,
    x: &Judged<'_>,
    node: &Node,
    image: &str,
    version: Option<ApiVersion>,
) -> bool {
    let query = match x.scope().map(|scope| scope.narrow("all=1")) {
        None => "all=1".to_owned(),
        Some(Ok(narrowed)) => narrowed,
        Some(Err(_)) => return false,
    };
    let Ok(head) = request::get("/") else {
        return false;
    };
    let ask = Ask {
        head: &head,
        version: ApiVersionChoice::of(&context.cluster, version),
        patience: Timeout::Deadline,
        path: "/containers/json",
        query: &query,
        on_behalf_of: x.on_behalf_of(),
        request_id: x.id().as_header(),
    };
    let answer = ask_node(&context.cluster, node, &ask, &query, &Budget::one(LIST)).await;
    let Some(list) = answer.ok().filter(|a| a.head.status == StatusCode::OK) else {
        return false;
    };
    let rows: Vec<Row> = serde_json::from_slice(&list.body).unwrap_or_default();
    if rows.iter().any(|row| image_name(&row.image) == image) {
        return true;
    }
    let renamed = rows.iter().filter(|row| row.image.starts_with("sha256:"));
    let inspected = renamed.take(INSPECTS).map(|row| async move {
        let inspect = names::inspect_container(context, x, node, &row.id, version).await;
        let inspect = inspect.ok().flatten()?;
        let inspect: Inspect = serde_json::from_slice(&inspect).ok()?;
        Some(image_name(&inspect.config.image) == image)
    });
    join_all(inspected).await.contains(&Some(true))
}

/// A container, which keeps the name of the image that it was created from.
#[derive(Deserialize)]
struct Inspect {
    #[serde(rename = "Config")]
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Image")]
    image: String,
}
