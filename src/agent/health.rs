//! Answers local health checks, without a key: for `skep health`.
//!
//! The task runs beside those that answer requests, so it is as stuck as they are.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::cluster::identity::EngineFacts;
use crate::platform::health_socket::HealthListener;

/// How long a check may take to read its answer, and the pause after a failure such
/// as too many open files.
const PATIENCE: Duration = Duration::from_secs(1);

/// The answer to a check.
#[derive(Deserialize, Serialize)]
pub(crate) struct Health {
    agent: String,
    node: String,
    engine: Option<EngineFacts>,
    /// How many checks the agent has answered before.
    pub(crate) checks: u64,
}

/// Listens for the checks of the agent with this address. Without such a socket, they
/// call the listener at that address.
pub(super) fn listen(agent: SocketAddr) -> Option<HealthListener> {
    let bound = HealthListener::bind(agent);
    bound
        .inspect_err(|e| tracing::debug!("no socket for health checks: {e}"))
        .ok()
}

/// Answers every check.
pub(super) async fn answer(listener: &HealthListener, cluster: &Arc<Cluster>) -> Infallible {
    let mut checks = 0;
    loop {
        let Ok(mut stream) = listener.accept().await else {
            sleep(PATIENCE).await;
            continue;
        };
        let me = cluster.me();
        let health = Health {
            agent: me.agent.clone(),
            node: me.label(),
            engine: me.engine.clone(),
            checks,
        };
        checks += 1;
        let answer = serde_json::to_vec(&health).unwrap_or_default();
        let _ = timeout(PATIENCE, stream.write_all(&answer)).await;
    }
}
