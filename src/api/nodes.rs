//! Answers the agent's own endpoints: the identity of this node, the list of
//! nodes, and the health of the agent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use skep_filters::endpoint::query::get;

use crate::cluster::Cluster;
use crate::cluster::members::Member;
use crate::cluster::shared::{AskedPeople, AskedTable};
use crate::platform::clock;
use crate::upstream::clocks::Skew;

/// The body of `/skep/v1/identity`.
pub(crate) fn identity(cluster: &Cluster) -> Bytes {
    let mut identity = json!(*cluster.me());
    identity["clock_ms"] = json!(clock::now().as_millis() as u64);
    document(&identity)
}

/// The nodes of the cluster, as this node sees them.
pub(crate) fn nodes(cluster: &Cluster) -> Bytes {
    let clocks = cluster.peers.clocks();
    let shown = |m: &Arc<Member>| Member {
        clock_skew_ms: clocks.shown(&m.id).map(Skew::millis),
        ..(**m).clone()
    };
    let all: Vec<_> = cluster.all().iter().map(shown).collect();
    let me = cluster.me();
    document(&json!({ "node": me.node_id, "cluster": cluster.is_on(), "nodes": all }))
}

/// What another agent asks for by this query. What cannot be read counts as not asked.
pub(crate) fn asked_table(query: &str) -> AskedTable {
    let number = |name| get(query, name).and_then(|text| text.parse().ok());
    AskedTable {
        since: get(query, "since").and_then(|text| text.parse().ok()),
        wait: Duration::from_secs(number("wait").unwrap_or_default()),
        changed: number("changed"),
        people: number("people").map(|own| AskedPeople {
            own,
            heard: number("heard").unwrap_or_default(),
            is_current: number("current") == Some(1),
        }),
    }
}

/// The table of nodes for the agent of this node, or what differs from an earlier one.
///
/// # Errors
/// Never: a table can be written as JSON.
pub(crate) async fn members(
    cluster: &Cluster,
    by: &str,
    asked: AskedTable,
) -> serde_json::Result<Bytes> {
    let shared = cluster.shared(by, asked).await;
    Ok(serde_json::to_vec(&shared)?.into())
}

/// The health of the agent, with its engine, if that answers.
pub(crate) fn health(cluster: &Cluster) -> Bytes {
    let me = cluster.me();
    document(&json!({
        "agent": me.agent,
        "node": me.label(),
        "engine": me.engine,
    }))
}

fn document(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
