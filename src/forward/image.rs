//! Asks nodes for the image that they have by a name. Nodes may have different
//! images of one name.

use futures::future::join_all;
use http::{Method, StatusCode};
use serde::Deserialize;
use skep_filters::auth::OnBehalfOf;

use crate::cluster::ask::{Ask, Node, Timeout, ask_node};
use crate::exchange::context::Context;
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds one inspect, in bytes.
const INSPECT: usize = 8 << 20;

/// The fields of an inspect that tell images apart.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Image {
    #[serde(rename = "Id")]
    pub(crate) id: String,
    /// In RFC 3339; engines leave it out if they do not know it.
    #[serde(rename = "Created", default)]
    pub(crate) created: String,
    /// In bytes.
    #[serde(rename = "Size", default)]
    pub(crate) size: u64,
}

/// The nodes that have an image of this name or id, and the image; `ask` is the
/// client's question.
pub(crate) async fn of_name<'n>(
    context: &Context,
    nodes: &'n [Node],
    name: &str,
    ask: &Ask<'_>,
) -> Vec<(&'n Node, Image)> {
    let path = format!("/images/{name}/json");
    let Ok(head) = request::build(&Method::GET, "/") else {
        return Vec::new();
    };
    let ask = &Ask {
        head: &head,
        path: &path,
        query: "",
        patience: Timeout::Deadline,
        // The caller's policy may not allow this inspect.
        on_behalf_of: &OnBehalfOf::Agent,
        ..*ask
    };
    let asked = nodes.iter().map(|node| async move {
        let answer = ask_node(&context.cluster, node, ask, "", &Budget::one(INSPECT)).await;
        let answer = answer.ok().filter(|a| a.head.status == StatusCode::OK)?;
        Some((node, serde_json::from_slice(&answer.body).ok()?))
    });
    join_all(asked).await.into_iter().flatten().collect()
}
