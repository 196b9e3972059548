//! Answers the agent's own endpoints: the identity of this node, the list of
//! nodes, and the health of the agent.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::cluster::Cluster;

/// The body of `/skep/v1/identity`.
pub(crate) fn identity(cluster: &Cluster) -> Bytes {
    document(&json!(*cluster.me()))
}

/// The nodes of the cluster, as this node sees them.
pub(crate) fn nodes(cluster: &Cluster) -> Bytes {
    let all: Vec<_> = cluster.all().iter().map(|m| (**m).clone()).collect();
    let me = cluster.me();
    document(&json!({ "node": me.node_id, "cluster": cluster.is_on(), "nodes": all }))
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
