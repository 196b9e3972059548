//! Answers with metrics of the machines below the engines: as JSON, for this node
//! or for all nodes, and in Prometheus' text form for this node.
//!
//! [`gather`] reads the files; one parser for each file of `/proc` interprets it.
//! A missing file is no error: values that cannot be read are omitted.

mod cpu;
pub(crate) mod disk;
pub(crate) mod gather;
mod memory;
mod model;
mod network;
mod prometheus;
pub(crate) mod sources;

use bytes::Bytes;
use futures::future::join_all;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::cluster::ask::{
    ApiVersionChoice, Ask, Missing, Node, Timeout, ask_node, missing_header, nodes,
};
use crate::cluster::hop::Hop;
use crate::exchange::Next;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::exchange::reject::internal;
use crate::upstream::client::Budget;

/// The endpoint that nodes ask each other.
const METRICS: &str = "/skep/v1/metrics";

/// Bounds one node's metrics, and those of all nodes together.
const EACH: usize = 1 << 20;
const ALL: usize = 64 << 20;

/// Answers with metrics as JSON: of this node if `alone`, else of all nodes.
///
/// # Errors
/// If the client has gone.
pub(crate) async fn metrics(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
    alone: bool,
) -> Result<Next, Reject> {
    let mine = async { json!(gather::read(context).await).to_string() };
    let (others, mut missing) = if alone {
        (Vec::new(), Vec::new())
    } else {
        nodes(&context.cluster, x.reachable())
    };
    let ask = Ask {
        head: session.req_header(),
        version: ApiVersionChoice::Default,
        patience: Timeout::Deadline,
        path: METRICS,
        query: "",
        on_behalf_of: x.on_behalf_of(),
        request_id: x.id().as_header(),
    };
    let budget = Budget::shared(EACH, ALL);
    let calls = others
        .iter()
        .filter(|node| matches!(node.hop, Hop::Agent(_)))
        .map(|node| of(context, node, &ask, &budget));
    let (mine, answers) = futures::join!(mine, join_all(calls));
    let me = context.cluster.me();
    let mut rows: Vec<_> = x
        .reachable()
        .has(&me.node_id)
        .then_some(mine)
        .into_iter()
        .collect();
    for answer in answers {
        match answer {
            Ok(found) => rows.extend(found),
            Err(one) => missing.push(one),
        }
    }
    let mut head = head("application/json").map_err(internal)?;
    if !missing.is_empty() {
        let words = missing_header(&missing);
        head.insert_header(crate::cluster::ask::MISSING_HEADER, words)
            .map_err(internal)?;
    }
    let body = format!("{{\"nodes\":[{}]}}\n", rows.join(","));
    context.answer(session, x, head, body.into()).await
}

/// Another node's metrics, as it wrote them.
async fn of(
    context: &Context,
    node: &Node,
    ask: &Ask<'_>,
    budget: &Budget,
) -> Result<Vec<String>, Missing> {
    #[derive(Deserialize)]
    struct AgentMetrics<'a> {
        #[serde(borrow)]
        nodes: Vec<&'a RawValue>,
    }
    let missing = |reason| Missing {
        node: node.tag.clone(),
        reason,
    };
    let answer = ask_node(&context.cluster, node, ask, "", budget)
        .await
        .map_err(missing)?;
    if answer.head.status != http::StatusCode::OK {
        return Err(missing(format!("answered {}", answer.head.status.as_u16())));
    }
    let reported: AgentMetrics<'_> =
        serde_json::from_slice(&answer.body).map_err(|e| missing(e.to_string()))?;
    Ok(reported
        .nodes
        .into_iter()
        .map(|row| row.get().to_owned())
        .collect())
}

/// Answers with this node's metrics in Prometheus' text form.
///
/// # Errors
/// If the client has gone.
pub(crate) async fn prometheus(
    context: &Context,
    session: &mut Session,
    x: &mut Judged<'_>,
) -> Result<Next, Reject> {
    let text = prometheus::render(&gather::read(context).await);
    let head = head(prometheus::TYPE).map_err(internal)?;
    context.answer(session, x, head, Bytes::from(text)).await
}

/// The head of an answer that must not be cached.
pub(crate) fn head(kind: &str) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build(200, Some(5))?;
    head.insert_header(CONTENT_TYPE, kind)?;
    head.insert_header(CACHE_CONTROL, "no-store")?;
    Ok(head)
}
