//! The agent's own endpoints: who this node is, which nodes there are, and
//! whether the agent lives.

use bytes::Bytes;
use serde_json::json;
use skep_filters::endpoint::EndpointId;

use crate::cluster::Cluster;
use crate::exchange::reject::Reject;

/// The JSON answer of one of the agent's own endpoints.
///
/// # Errors
/// If the endpoint is not one of them.
pub fn answer(cluster: &Cluster, endpoint: EndpointId) -> Result<Bytes, Reject> {
    let me = cluster.me();
    let value = match endpoint {
        EndpointId::AgentIdentity => json!(*me),
        EndpointId::AgentNodes => {
            let all: Vec<_> = cluster.all().iter().map(|m| (**m).clone()).collect();
            json!({ "node": me.node_id, "cluster": cluster.is_on(), "nodes": all })
        }
        EndpointId::AgentHealth => json!({
            "agent": me.agent,
            "node": me.label(),
            "engine": me.engine,
        }),
        other => return Err(Reject::Internal(format!("{other:?} is not the agent's"))),
    };
    Ok(Bytes::from(format!("{value}\n")))
}
