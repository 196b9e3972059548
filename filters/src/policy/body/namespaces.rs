//! Namespaces of the host and of other containers.

use super::{Check, listed};
use crate::json::{Fields, quoted};
use crate::policy::verdict::Judged;

/// Field, namespace, and the values that stay within the container.
const MODES: [(&str, &str, &[&str]); 5] = [
    ("PidMode", "pid", &["", "private"]),
    ("IpcMode", "ipc", &["", "none", "private", "shareable"]),
    ("UTSMode", "uts", &["", "private"]),
    ("UsernsMode", "userns", &["", "private"]),
    ("CgroupnsMode", "cgroup", &["", "private"]),
];

pub(super) fn judge(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    for (field, namespace, own) in MODES {
        let mode = host.text(field)?;
        if own.contains(&mode) {
            continue;
        }
        joined(check, field, mode)?;
        if !mode.starts_with("container:") {
            of_host(check, namespace, || host_mode(field, mode))?;
        }
    }
    let network = host.text("NetworkMode")?;
    joined(check, "NetworkMode", network)?;
    named_network(check, "NetworkMode", network)?;
    let cgroup = host.text("Cgroup")?;
    check.grant(cgroup.is_empty() || check.may.share, "may.share", || {
        format!("Cgroup asks for {}", quoted(cgroup))
    })?;
    for field in ["VolumesFrom", "Links"] {
        let shared = host.texts(field)?;
        check.grant(shared.is_empty() || check.may.share, "may.share", || {
            format!("{field} shares another container")
        })?;
    }
    Ok(())
}

/// Denies the host's network by its name. Podman also accepts a network by its path,
/// and modes with options, such as `slirp4netns:allow_host_loopback=true`.
pub(super) fn named_network(check: &Check<'_>, field: &str, name: &str) -> Judged {
    let has_options = name.contains(':') && !name.starts_with("container:");
    if name == "host" || has_options || name.starts_with('/') {
        return of_host(check, "network", || host_mode(field, name));
    }
    Ok(())
}

/// Denies `container:x`.
pub(super) fn joined(check: &Check<'_>, field: &str, mode: &str) -> Judged {
    let joins = mode.starts_with("container:");
    check.grant(!joins || check.may.share, "may.share", || {
        format!("{field} asks for {}", quoted(mode))
    })
}

fn of_host(check: &Check<'_>, namespace: &str, what: impl FnOnce() -> String) -> Judged {
    check.grant(
        listed(&check.may.namespaces, namespace),
        "may.namespaces",
        what,
    )
}

fn host_mode(field: &str, mode: &str) -> String {
    format!("{field} asks for {}", quoted(mode))
}
