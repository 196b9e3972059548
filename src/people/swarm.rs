//! Keeps versions of the list, and the invitations that were used, in the managers'
//! raft store: as Swarm configs, whose names are unique. Of two writers of one name
//! the second one is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use skep_filters::endpoint::query;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::upstream::client::{Answer, Budget};
use crate::upstream::error;
use crate::upstream::request;

/// The label of versions, whose value is the version.
pub(super) const VERSION: &str = "skep.people";

/// The label of used invitations, whose value is the time after which they are forgotten.
pub(super) const JOINED: &str = "skep.joined";

/// How long the engine may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bounds a list of configs: some versions, or thousands of used invitations.
const LIMIT: usize = 16 << 20;

/// A config of the agents.
pub(super) struct Config {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) data: Vec<u8>,
}

/// Why a config was not created.
#[derive(Debug, thiserror::Error)]
pub(super) enum CreateError {
    /// There is one of this name.
    #[error("it exists")]
    Exists,
    #[error("{0}")]
    Failed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "ID")]
    id: String,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    data: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// The name of the config with a version.
pub(super) fn version_name(version: u64) -> String {
    format!("skep-people-{version}")
}

/// The name of the config of a used invitation.
pub(super) fn joined_name(id: &str) -> String {
    format!("skep-joined-{id}")
}

/// Creates a config at this node's engine, which is a manager's.
///
/// # Errors
/// There is one of this name, or the engine refuses.
pub(super) async fn create(
    cluster: &Cluster,
    name: &str,
    label: (&str, &str),
    data: &[u8],
) -> Result<(), CreateError> {
    let (label, value) = label;
    let body = json!({
        "Name": name,
        "Labels": { label: value },
        "Data": STANDARD.encode(data),
    });
    let answer = ask(
        cluster,
        &Method::POST,
        "/configs/create",
        body.to_string().into(),
    )
    .await;
    let answer = answer.map_err(CreateError::Failed)?;
    match answer.head.status {
        StatusCode::OK | StatusCode::CREATED => Ok(()),
        StatusCode::CONFLICT => Err(CreateError::Exists),
        _ => Err(CreateError::Failed(said(&answer))),
    }
}

/// The configs with this filter, such as `label` and the name of a label.
///
/// # Errors
/// What the engine says.
pub(super) async fn list(
    cluster: &Cluster,
    filter: &str,
    value: &str,
) -> Result<Vec<Config>, String> {
    let filters = json!({ filter: [value] }).to_string();
    let target = format!("/configs?{}", query::with("", "filters", &filters));
    let answer = ask(cluster, &Method::GET, &target, Bytes::new()).await?;
    if answer.head.status != StatusCode::OK {
        return Err(said(&answer));
    }
    let rows: Option<Vec<Row>> = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    let configs = rows.unwrap_or_default().into_iter().map(|row| Config {
        id: row.id,
        name: row.spec.name,
        labels: row.spec.labels.unwrap_or_default(),
        data: STANDARD
            .decode(row.spec.data.unwrap_or_default())
            .unwrap_or_default(),
    });
    Ok(configs.collect())
}

/// Removes a config.
///
/// # Errors
/// What the engine says.
pub(super) async fn remove(cluster: &Cluster, id: &str) -> Result<(), String> {
    let target = format!("/configs/{}", request::escape(id));
    let answer = ask(cluster, &Method::DELETE, &target, Bytes::new()).await?;
    match answer.head.status {
        StatusCode::NO_CONTENT | StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
        _ => Err(said(&answer)),
    }
}

async fn ask(
    cluster: &Cluster,
    method: &Method,
    target: &str,
    body: Bytes,
) -> Result<Answer, String> {
    let asked = async {
        let mut head = request::build(method, target)?;
        if !body.is_empty() {
            head.insert_header(CONTENT_TYPE, "application/json")?;
            head.insert_header(CONTENT_LENGTH, body.len())?;
        }
        let peer = cluster.engine.peer().await?;
        cluster
            .client
            .exchange(&peer, head, body, &Budget::one(LIMIT))
            .await
    };
    match timeout(DEADLINE, asked).await {
        Ok(answer) => answer.map_err(|e: Box<pingora::Error>| error::explain(&e)),
        Err(_) => Err(format!("the engine did not answer within {DEADLINE:?}")),
    }
}

/// The engine's message.
fn said(answer: &Answer) -> String {
    match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(refusal) => refusal.message,
        Err(_) => format!("the engine answered {}", answer.head.status.as_u16()),
    }
}
