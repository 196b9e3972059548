//! Answers `GET /agents` with the nodes in the form of Portainer's agent, always
//! in the same order: Portainer's UI preselects the first one, and joins other
//! lists with this one.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::cluster::Cluster;
use crate::cluster::members::{Member, State};
use crate::exchange::reject::{Reason, Reject};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    #[serde(rename = "IPAddress")]
    ip_address: String,
    port: String,
    node_name: String,
    node_role: &'static str,
    edge_key_set: bool,
}

/// The agents of the cluster, by node id.
///
/// # Errors
/// If there is no cluster.
pub(crate) fn list(cluster: &Cluster) -> Result<Bytes, Reject> {
    if !cluster.is_on() {
        return Err(Reject::refused(
            StatusCode::SERVICE_UNAVAILABLE,
            Reason::AgentRoute,
            "Agent management is not available when running the agent on a standalone engine",
        ));
    }
    let all = cluster.all();
    let known = all.iter().filter(|m| is_listed(m));
    let agents: Vec<_> = known.map(|m| agent(m)).collect();
    let body = serde_json::to_vec(&agents).map_err(|e| Reject::Internal(e.to_string()))?;
    Ok(body.into())
}

/// An agent that does not answer at the moment stays in the list: Portainer's UI
/// fails if it shows a container of a node that is not listed.
fn is_listed(member: &Member) -> bool {
    member.agent.is_some() && !matches!(member.state, State::Down | State::NoAgent)
}

fn agent(member: &Member) -> Agent {
    let address = member.address;
    Agent {
        ip_address: address.map(|a| a.ip().to_string()).unwrap_or_default(),
        port: address.map(|a| a.port().to_string()).unwrap_or_default(),
        node_name: member.name().to_owned(),
        node_role: if member.manager { "manager" } else { "worker" },
        edge_key_set: false,
    }
}
