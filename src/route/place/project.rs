//! Finds the node that has a part of a compose project: its volumes, containers or
//! networks. What is created for the project goes there.

use futures::future::join_all;
use http::StatusCode;
use serde_json::json;
use skep_filters::endpoint::{ApiVersion, query};
use skep_filters::placement::{PROJECT_LABEL, rows_of_project};

use crate::cluster::ask::{ApiVersionChoice, Ask, Node, Timeout, ask_node, nodes};
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds one list, in bytes.
const LIST: usize = 8 << 20;

/// The lists that are asked for, the most important first: volumes have data that
/// cannot move.
const LISTS: [&str; 3] = ["/volumes", "/containers/json", "/networks"];

/// The node with the most of the project; the same through every agent.
pub(super) async fn node_of(
    context: &Context,
    x: &Judged<'_>,
    project: &str,
    version: Option<ApiVersion>,
) -> Option<Hop> {
    let (nodes, _) = nodes(&context.cluster, x.reachable());
    let counted = nodes.iter().map(|node| async move {
        let lists = LISTS.map(|path| count(context, x, node, path, project, version));
        (node, join_all(lists).await)
    });
    let mut counted = join_all(counted).await;
    counted.retain(|(_, counts)| counts.iter().any(|count| *count > 0));
    counted.sort_by(|(a, one), (b, other)| other.cmp(one).then_with(|| a.tag.id.cmp(&b.tag.id)));
    Some(counted.first()?.0.hop.clone())
}

/// The number of the project's rows in a list of one node; 0 if the caller may not
/// list them, or the node does not answer.
async fn count(
    context: &Context,
    x: &Judged<'_>,
    node: &Node,
    path: &str,
    project: &str,
    version: Option<ApiVersion>,
) -> usize {
    let label = format!("{PROJECT_LABEL}={project}");
    let filters = json!({ "label": { label: true } }).to_string();
    let all = if path == "/containers/json" {
        "all=1"
    } else {
        ""
    };
    let query = query::with(all, "filters", &filters);
    let Ok(head) = request::get("/") else {
        return 0;
    };
    let ask = Ask {
        head: &head,
        version: ApiVersionChoice::of(&context.cluster, version),
        patience: Timeout::Deadline,
        path,
        query: &query,
        on_behalf_of: x.on_behalf_of(),
        request_id: x.id().as_header(),
    };
    let answer = ask_node(&context.cluster, node, &ask, &query, &Budget::one(LIST)).await;
    match answer {
        Ok(answer) if answer.head.status == StatusCode::OK => {
            rows_of_project(&answer.body, project)
        }
        _ => 0,
    }
}
