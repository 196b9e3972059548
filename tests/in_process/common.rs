//! Real agents between fake engines and a raw client, all in one process.
//!
//! `with_cluster` runs a test against as many agents as it names nodes, each
//! on a loopback address of its own, and asserts in the end that every agent
//! drains at once: what a test leaves hanging fails it.

mod bed;
mod caller;
mod logged;
pub(crate) mod node;

pub(crate) use bed::{Bed, Cluster, generation, secret_file, with_cluster};
pub(crate) use caller::{Caller, Signed};
pub(crate) use logged::{requests_of, warnings_of};
pub(crate) use node::{Node, manager, worker};

/// Which request headers an engine must never see.
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

/// What the agents ask an engine of their own accord.
pub(crate) fn is_routine(path: &str) -> bool {
    matches!(path, "/info" | "/version" | "/nodes")
}
