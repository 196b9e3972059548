//! Removes the helpers of an agent that is gone, when another one starts.
//!
//! A helper ends by itself when its agent does. One is left only if the engine itself
//! was killed in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use skep_filters::endpoint::query;
use skep_filters::policy::helper::is_name;
use tokio::sync::watch;
use tokio::time::sleep;

use super::engine::Engine;
use super::helper::{AGENT, LABEL};
use crate::cluster::Cluster;
use crate::upstream::request;

/// The pause before the engine is asked again, if it does not answer.
const AGAIN: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    id: String,
    names: Option<Vec<String>>,
    labels: Option<HashMap<String, String>>,
}

impl Row {
    /// The agent's container, if this is a helper.
    fn agent(&self) -> Option<&str> {
        let labels = self.labels.as_ref()?;
        let mut names = self.names.iter().flatten();
        // Not all engines know the filter.
        let is_helper = labels.contains_key(LABEL) && names.any(|name| is_name(name));
        labels.get(AGENT).map(String::as_str).filter(|_| is_helper)
    }
}

/// Removes them once, and then waits for `stop`.
pub(crate) async fn sweep(cluster: &Arc<Cluster>, mut stop: watch::Receiver<bool>) {
    let engine = Engine::new(cluster.clone());
    let swept = async {
        while let Err(reason) = swept(&engine).await {
            tracing::debug!("helpers of an earlier agent were not looked for: {reason}");
            sleep(AGAIN).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = swept => {}
        _ = stop.changed() => {}
    }
}

async fn swept(engine: &Engine) -> Result<(), String> {
    let Some(own) = engine.cluster.own_container().await? else {
        return Ok(());
    };
    let filters = json!({ "label": { LABEL: true } }).to_string();
    let target = format!(
        "/containers/json?{}",
        query::with("all=1", "filters", &filters)
    );
    let list = engine.ask(Method::GET, &target, None).await?.success()?;
    let rows: Option<Vec<Row>> = serde_json::from_slice(&list).map_err(|e| e.to_string())?;
    let known = engine.cluster.helpers();
    for row in rows.into_iter().flatten() {
        let Some(agent) = row.agent() else {
            continue;
        };
        let is_known = known.iter().any(|helper| helper.id == row.id);
        if !is_known && (agent == own.id || !runs(engine, agent).await?) {
            tracing::info!("removes {}, the helper of an earlier agent", row.id);
            engine.remove(&row.id).await;
        }
    }
    Ok(())
}

/// Whether another agent that may use a helper runs.
async fn runs(engine: &Engine, agent: &str) -> Result<bool, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Container {
        state: State,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct State {
        running: bool,
    }
    let path = request::escape(&format!("/containers/{agent}/json"));
    let answer = engine.ask(Method::GET, &path, None).await?;
    if answer.status == http::StatusCode::NOT_FOUND {
        return Ok(false);
    }
    let container: Container =
        serde_json::from_slice(&answer.success()?).map_err(|e| e.to_string())?;
    Ok(container.state.running)
}
