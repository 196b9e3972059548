//! Reads a node's identity from its engine, which its agent reports to the
//! others. Every round reads it again, because roles and versions change.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use skep_filters::endpoint::ApiVersion;
use skep_filters::policy::Guarded;

use crate::cluster::expected::host;
use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::request;

/// Bounds `/info` and `/version`; real ones are a few kilobytes.
const LIMIT: usize = 4 << 20;

/// A node as its own agent describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `Swarm.NodeID`; empty outside a Swarm. The engine's own `ID` does not
    /// identify a node: cloned machines share it.
    pub(crate) node_id: String,
    /// For people; two nodes may have the same.
    pub(crate) hostname: String,
    /// The address the node advertises to the Swarm.
    pub(crate) address: String,
    /// The node is part of a Swarm.
    pub(crate) swarm: bool,
    /// The node is an active manager.
    pub manager: bool,
    /// Absent while the engine does not answer.
    pub engine: Option<EngineFacts>,
    /// The version of the agent.
    pub(crate) agent: String,
    /// The objects that belong to the agent; absent while it does not know them.
    #[serde(default)]
    pub(crate) guarded: Option<Guarded>,
    /// When any of this last changed, in milliseconds by the node's own clock; 0 from an
    /// agent that does not tell.
    #[serde(default)]
    pub(crate) changed: u64,
    /// The managers that the engine itself talks to, by node id. It knows them
    /// even before any other agent is found. Not sent to other agents.
    #[serde(skip)]
    pub(crate) managers: Vec<RemoteManager>,
}

/// A manager as an engine knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RemoteManager {
    pub(crate) id: String,
    /// The address under which the engine calls it.
    pub(crate) address: Option<IpAddr>,
}

/// Versions of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// The engine's version, e.g. `20.10.24`.
    pub version: String,
    /// The oldest API version it serves.
    pub(crate) api_min: String,
    /// The newest API version it serves.
    pub(crate) api_max: String,
}

impl EngineFacts {
    /// `None` if the engine reports no valid range.
    pub(crate) fn range(&self) -> Option<ApiRange> {
        let (min, max) = (self.api_min.parse().ok()?, self.api_max.parse().ok()?);
        (min <= max).then_some(ApiRange { min, max })
    }

    /// The served version nearest to the one asked for.
    pub(crate) fn nearest(&self, asked: ApiVersion) -> Option<ApiVersion> {
        self.range().map(|range| range.nearest(asked))
    }
}

/// API versions from `min` to `max`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApiRange {
    pub(crate) min: ApiVersion,
    pub(crate) max: ApiVersion,
}

impl ApiRange {
    pub(crate) fn has(&self, version: ApiVersion) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// The version nearest to the one asked for.
    pub(crate) fn nearest(&self, asked: ApiVersion) -> ApiVersion {
        asked.clamp(self.min, self.max)
    }

    /// The versions that all of them include. Engines that are far apart have
    /// none in common (20.10 ends at 1.41, 29.0 begins at 1.44).
    pub(crate) fn common(ranges: impl IntoIterator<Item = Self>) -> Option<Self> {
        let narrower = |a: Self, b: Self| Self {
            min: a.min.max(b.min),
            max: a.max.min(b.max),
        };
        let range = ranges.into_iter().reduce(narrower)?;
        (range.min <= range.max).then_some(range)
    }
}

impl Identity {
    /// Whether this node's engine can answer calls for managers.
    pub(crate) fn can_manage(&self) -> bool {
        self.manager && self.engine.is_some()
    }

    /// The name for messages: the hostname, else the id.
    pub(crate) fn name(&self) -> &str {
        if self.hostname.is_empty() {
            &self.node_id
        } else {
            &self.hostname
        }
    }

    /// Id and hostname, as in `Skep-Node`.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.node_id, self.hostname)
            .trim()
            .to_owned()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default)]
    name: String,
    #[serde(default)]
    server_version: String,
    #[serde(default)]
    swarm: Swarm,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Swarm {
    #[serde(rename = "NodeID")]
    node_id: String,
    #[serde(rename = "NodeAddr")]
    node_addr: String,
    #[serde(rename = "LocalNodeState")]
    state: String,
    #[serde(rename = "ControlAvailable")]
    control: bool,
    #[serde(rename = "RemoteManagers")]
    managers: Option<Vec<ListedManager>>,
}

#[derive(Deserialize)]
struct ListedManager {
    #[serde(rename = "NodeID", default)]
    node_id: String,
    #[serde(rename = "Addr", default)]
    addr: String,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "ApiVersion", default)]
    api: String,
    #[serde(rename = "MinAPIVersion", default)]
    min: String,
}

/// Asks the local engine who this node is.
///
/// # Errors
/// A sentence for the log, if the engine does not answer, or not as expected.
pub(crate) async fn read(client: &Client, engine: &Engine) -> Result<Identity, String> {
    let info: Info = ask(client, engine, "/info").await?;
    let version: Version = ask(client, engine, "/version").await?;
    let (state, node_id) = (info.swarm.state.as_str(), &info.swarm.node_id);
    // A starting or locked engine does not know its node id yet. Treated as
    // outside the Swarm, this agent would answer for its own node alone.
    if !matches!(state, "" | "inactive") && node_id.is_empty() {
        return Err(format!(
            "its Swarm state is {state}, and it has no node id yet"
        ));
    }
    Ok(Identity {
        changed: 0,
        managers: {
            let known = info.swarm.managers.unwrap_or_default();
            let manager = |m: ListedManager| RemoteManager {
                address: host(&m.addr),
                id: m.node_id,
            };
            let mut managers: Vec<_> = known.into_iter().map(manager).collect();
            managers.sort();
            managers
        },
        swarm: info.swarm.state != "inactive" && !info.swarm.node_id.is_empty(),
        node_id: info.swarm.node_id,
        hostname: info.name,
        address: info.swarm.node_addr,
        manager: info.swarm.control,
        engine: Some(EngineFacts {
            version: info.server_version,
            // Engines before 1.25 do not report it; 1.12 is the oldest version.
            api_min: if version.min.is_empty() {
                "1.12".to_owned()
            } else {
                version.min
            },
            api_max: version.api,
        }),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        guarded: None,
    })
}

/// Whether the engine answers a ping over a new connection.
pub(crate) async fn answers(client: &Client, engine: &Engine) -> bool {
    let asked = async {
        let head = request::get("/_ping")?;
        let mut connection = client.dedicated(&engine.peer().await?).await?;
        connection.write_request_header(Box::new(head)).await?;
        connection.read_response().await
    };
    asked.await.is_ok()
}

async fn ask<T: for<'a> Deserialize<'a>>(
    client: &Client,
    engine: &Engine,
    path: &str,
) -> Result<T, String> {
    let peer = engine.peer().await.map_err(|e| error::explain(&e))?;
    let head = request::get(path).map_err(|e| e.to_string())?;
    let answer = client
        .fetch(&peer, head, &Budget::one(LIMIT))
        .await
        .map_err(|e| {
            engine.lost();
            error::explain(&e)
        })?;
    if answer.head.status != 200 {
        return Err(format!("GET {path} was answered {}", answer.head.status));
    }
    serde_json::from_slice(&answer.body).map_err(|e| format!("GET {path}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u16, max: u16) -> ApiRange {
        let (min, max) = (ApiVersion::new(1, min), ApiVersion::new(1, max));
        ApiRange { min, max }
    }

    #[test]
    fn a_cluster_serves_what_all_of_its_engines_serve() {
        let (old, newer) = (range(12, 41), range(24, 51));
        assert_eq!(ApiRange::common([old, newer]), Some(range(24, 41)));
        assert_eq!(ApiRange::common([newer]), Some(newer));
        assert_eq!(ApiRange::common([old, range(44, 52)]), None);
        assert_eq!(ApiRange::common([]), None);
    }

    #[test]
    fn an_engine_is_asked_in_the_nearest_version_that_it_serves() {
        let engine = EngineFacts {
            version: "26.1.5".to_owned(),
            api_min: "1.24".to_owned(),
            api_max: "1.45".to_owned(),
        };
        for (asked, served) in [(12, 24), (41, 41), (51, 45)] {
            let nearest = engine.nearest(ApiVersion::new(1, asked));
            assert_eq!(nearest, Some(ApiVersion::new(1, served)));
        }
    }
}
