//! Reads the current metrics of this node.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::model::{Agent, Cluster, Engine, FileSystem, Metrics, Node};
use super::sources::Sources;
use super::{cpu, disk, memory, network};
use crate::exchange::context::Context;
use crate::platform;
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds `/info`.
const INFO: usize = 4 << 20;

/// Values that take longer are omitted: a scrape must be answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Limits concurrent readings: when one hangs on a file system, later scrapes
/// must not add more.
static READINGS: Semaphore = Semaphore::const_new(4);

/// The current metrics of this node.
pub(super) async fn read(context: &Context) -> Metrics {
    let (engine, root) = engine(context).await;
    let mut metrics = machine(root).await;
    let me = context.cluster.me();
    let all = context.cluster.all();
    // This node does not probe itself, so `is_ready` may be false for it.
    let there = all.iter().filter(|m| m.is_ready() || m.id == me.node_id);
    let ready = there.count();
    metrics.engine = engine;
    metrics.node = Node {
        id: me.node_id.clone(),
        hostname: me.hostname.clone(),
        manager: me.manager,
    };
    metrics.cluster = Cluster {
        ready: ready as u64,
        missing: (all.len() - ready) as u64,
    };
    metrics.agent.version = env!("CARGO_PKG_VERSION").to_owned();
    metrics
}

/// The fields of `/info` that become metrics.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Info {
    server_version: String,
    docker_root_dir: String,
    containers_running: u64,
    containers_paused: u64,
    containers_stopped: u64,
    images: u64,
}

/// The engine's metrics, and its data directory.
async fn engine(context: &Context) -> (Engine, String) {
    let call = async {
        let peer = context.engine.peer().await?;
        let head = request::get("/info")?;
        let budget = Budget::one(INFO);
        context.client.fetch(&peer, head, &budget).await
    };
    let answer = match timeout(PATIENCE, call).await {
        Ok(Ok(answer)) if answer.head.status == http::StatusCode::OK => answer,
        _ => return Default::default(),
    };
    let Ok(info) = serde_json::from_slice::<Info>(&answer.body) else {
        return Default::default();
    };
    let engine = Engine {
        up: true,
        version: info.server_version,
        running: info.containers_running,
        paused: info.containers_paused,
        stopped: info.containers_stopped,
        images: info.images,
    };
    (engine, info.docker_root_dir)
}

async fn machine(docker_root: String) -> Metrics {
    let read = reading(move |sources| of(sources, &docker_root));
    read.await.unwrap_or_default()
}

/// Runs `read` on a thread that may block; `None` if it takes too long.
pub(crate) async fn reading<T: Send + 'static>(
    read: impl FnOnce(&Sources) -> T + Send + 'static,
) -> Option<T> {
    let read = async {
        let permit = READINGS.acquire().await.ok()?;
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&Sources::here())
        });
        reading.await.ok()
    };
    timeout(PATIENCE, read).await.ok()?
}

/// The metrics in these files.
fn of(sources: &Sources, docker_root: &str) -> Metrics {
    let disks = sources.names("/sys/block");
    let whole = |device: &str| disks.iter().any(|disk| disk == device);
    let diskstats = sources.text("/proc/diskstats").unwrap_or_default();
    let roots = ["/", docker_root];
    let filesystems = roots.iter().filter(|path| path.starts_with('/'));
    // This process's own, even if the other files are the host's.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Metrics {
        agent: Agent {
            memory_bytes: memory::resident(&status),
            ..Agent::default()
        },
        uptime_seconds: sources.text("/proc/uptime").and_then(|t| cpu::uptime(&t)),
        load: sources.text("/proc/loadavg").and_then(|t| cpu::load(&t)),
        cpu: sources.text("/proc/stat").and_then(|t| cpu::parse(&t)),
        memory: sources
            .text("/proc/meminfo")
            .and_then(|t| memory::parse(&t)),
        filesystems: filesystems
            .filter_map(|path| filesystem(sources, path))
            .collect(),
        disks: disk::parse(&diskstats, whole),
        networks: network::parse(&sources.interfaces().unwrap_or_default()),
        ..Metrics::default()
    }
}

fn filesystem(sources: &Sources, path: &str) -> Option<FileSystem> {
    let (size_bytes, available_bytes) = platform::space(&sources.path(path)).ok()?;
    Some(FileSystem {
        path: path.to_owned(),
        size_bytes,
        available_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_can_be_read() {
        let found = of(&Sources::here(), "/");
        assert!(found.cpu.unwrap().count > 0);
        assert!(found.memory.unwrap().total > 0);
        assert!(found.uptime_seconds.unwrap() > 0.0);
        assert!(found.filesystems[0].size_bytes > 0);
        assert!(found.agent.memory_bytes.unwrap() > 0);
    }

    #[test]
    fn a_machine_without_the_files_has_no_metrics_and_no_error() {
        let empty = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(empty.path().join("sys/block")).unwrap();
        for file in ["proc/stat", "proc/meminfo", "proc/uptime", "proc/loadavg"] {
            let path = empty.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "nonsense").unwrap();
        }
        let found = of(&Sources::beneath(empty.path()), "");
        assert_eq!((found.cpu, found.memory), (None, None));
        assert_eq!((found.uptime_seconds, found.load), (None, None));
    }
}
