//! The agent's own endpoints: who this node is, which nodes there are, and
//! whether the agent lives.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Who this node is.
pub(crate) fn identity(cluster: &Cluster) -> Bytes {
    document(&json!(*cluster.me()))
}

/// The nodes that this one knows.
pub(crate) fn nodes(cluster: &Cluster) -> Bytes {
    let all: Vec<_> = cluster.all().iter().map(|m| (**m).clone()).collect();
    let me = cluster.me();
    document(&json!({ "node": me.node_id, "cluster": cluster.is_on(), "nodes": all }))
}

/// That the agent lives, and its engine, if that answers.
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
