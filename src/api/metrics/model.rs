//! Defines the metrics of one node: counters since it started, and current
//! values. Sizes are in bytes, times in seconds.

use serde::Serialize;

use super::cpu::Cpu;
use super::disk::Disk;
use super::memory::Memory;
use super::network::Network;

/// One node. Values that cannot be read there are null or empty.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Metrics {
    pub(super) node: Node,
    pub(super) agent: Agent,
    pub(super) cluster: Cluster,
    pub(super) engine: Engine,
    pub(super) uptime_seconds: Option<f64>,
    pub(super) load: Option<[f64; 3]>,
    pub(super) cpu: Option<Cpu>,
    pub(super) memory: Option<Memory>,
    pub(super) filesystems: Vec<FileSystem>,
    pub(super) disks: Vec<Disk>,
    pub(super) networks: Vec<Network>,
}

/// Identifies the node.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) hostname: String,
    pub(super) manager: bool,
}

/// The agent itself.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Agent {
    pub(super) version: String,
    pub(super) memory_bytes: Option<u64>,
}

/// The cluster as this node sees it: the numbers of nodes that answer, and of
/// those that do not.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cluster {
    pub(super) ready: u64,
    pub(super) missing: u64,
}

/// The engine.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Engine {
    pub(super) up: bool,
    pub(super) version: String,
    pub(super) running: u64,
    pub(super) paused: u64,
    pub(super) stopped: u64,
    pub(super) images: u64,
}

/// A file system, named by a path on it as the host writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct FileSystem {
    pub(super) path: String,
    pub(super) size_bytes: u64,
    pub(super) available_bytes: u64,
}
