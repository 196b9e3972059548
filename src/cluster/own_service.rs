//! Finds the name under which Swarm's DNS lists the agents: `tasks.` and the
//! service that this agent's own container belongs to.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde::Deserialize;

use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::request;

/// Bounds an inspect of our own container.
const LIMIT: usize = 1 << 20;

const LABEL: &str = "com.docker.swarm.service.name";

/// Finds our own service, once.
pub(crate) struct OwnService {
    client: Arc<Client>,
    engine: Arc<Engine>,
    found: ArcSwapOption<String>,
}

#[derive(Deserialize)]
struct Inspect {
    #[serde(rename = "Id", default)]
    id: String,
    #[serde(rename = "Config")]
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Labels", default)]
    labels: Option<std::collections::HashMap<String, String>>,
}

impl OwnService {
    pub(crate) fn new(client: Arc<Client>, engine: Arc<Engine>) -> Self {
        Self {
            client,
            engine,
            found: ArcSwapOption::empty(),
        }
    }

    /// `tasks.<service>`, or none if this is not a container of a service.
    pub(crate) async fn tasks(&self) -> Option<String> {
        if let Some(found) = self.found.load_full() {
            return Some(found.as_str().to_owned());
        }
        for id in own_ids() {
            if let Some(service) = self.service_of(&id).await {
                let tasks = format!("tasks.{service}");
                tracing::info!("looking for other agents under {tasks}");
                self.found.store(Some(Arc::new(tasks.clone())));
                return Some(tasks);
            }
        }
        None
    }

    async fn service_of(&self, container: &str) -> Option<String> {
        let peer = self.engine.peer().await.ok()?;
        let head = request::get(&format!("/containers/{container}/json")).ok()?;
        let answer = self
            .client
            .fetch(&peer, head, &Budget::one(LIMIT))
            .await
            .ok()?;
        let inspect: Inspect = serde_json::from_slice(&answer.body).ok()?;
        if !has_id(&inspect.id, container) {
            return None;
        }
        inspect.config.labels?.remove(LABEL)
    }
}

/// Candidates for the id of our own container: Docker mounts files into it whose
/// paths contain the id, and its default hostname is the short id.
pub(super) fn own_ids() -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let mut ids: Vec<_> = container_id(&mounts).into_iter().collect();
    let hostname = hostname.trim();
    if !hostname.is_empty() && hostname.bytes().all(|b| b.is_ascii_alphanumeric()) {
        ids.push(hostname.to_owned());
    }
    ids
}

/// Whether a container was found by its id. An engine prefers a name: a container
/// with the hostname of the agent's as its name is not the agent's.
pub(super) fn has_id(id: &str, candidate: &str) -> bool {
    candidate.len() >= 12 && id.starts_with(candidate)
}

fn container_id(mounts: &str) -> Option<String> {
    let line = mounts
        .lines()
        .find(|line| line.contains(" /etc/hostname ") || line.contains(" /etc/resolv.conf "))?;
    let mut parts = line.split('/');
    parts
        .find(|p| p.len() == 64 && p.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_is_named_like_the_agents_id_is_not_the_agents() {
        let id = "0123456789abcdef".repeat(4);
        for (candidate, expected) in [
            (id.as_str(), true),
            (&id[..12], true),
            // Found by its name.
            ("fedcba987654", false),
            ("agent", false),
            ("0123", false),
            ("", false),
        ] {
            assert_eq!(has_id(&id, candidate), expected, "{candidate:?}");
        }
        assert!(!has_id("", &id));
    }

    #[test]
    fn the_container_id_is_read_from_the_files_that_docker_mounts() {
        let id = "0123456789abcdef".repeat(4);
        let mounts = format!(
            "1 0 0:1 / / rw - overlay overlay rw\n\
             2 1 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/sda rw\n"
        );
        assert_eq!(container_id(&mounts), Some(id));
        assert_eq!(container_id("1 0 0:1 / / rw - ext4 /dev/sda rw\n"), None);
    }
}
