//! Real agents between fake engines and a raw client, all in one process.
//!
//! `with_cluster` starts one agent for each node that a test names, each on its
//! own loopback address, and runs the test. At the end every agent must drain at
//! once: a test that leaves a request open fails. Tests call the cluster `bed`,
//! for test bed.

mod caller;
mod cluster;
#[cfg(unix)]
mod connect;
mod logged;
pub(crate) mod node;

pub(crate) use caller::{Caller, Signed};
pub(crate) use cluster::{ClusterBuilder, TestCluster, generation, secret_file, with_cluster};
#[cfg(unix)]
pub(crate) use connect::Connect;
pub(crate) use logged::{requests_of, warnings_of};
pub(crate) use node::{Node, manager, worker};

/// Whether an engine must never see this request header.
pub(crate) fn is_private(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let exact = [
        "signature",
        "signature-input",
        "content-digest",
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "x-csrf-token",
        "private-token",
    ];
    exact.contains(&name.as_str())
        || name.starts_with("skep-")
        || name.starts_with("x-portaineragent-")
}

/// Whether agents request this path of an engine for themselves.
pub(crate) fn is_routine(path: &str) -> bool {
    matches!(path, "/info" | "/version" | "/nodes" | "/configs")
}
