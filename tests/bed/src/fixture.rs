//! Docker objects as an engine lists them, with the fields that a merge reads.

use serde_json::{Value, json};

/// The field in which a container row keeps the nanoseconds of its `Created`;
/// only its inspect shows them.
pub(crate) const NANOS: &str = "_nanos";

/// The field in which a container row keeps the `HostConfig` of its create; only its
/// inspect shows it.
pub(crate) const HOST: &str = "_host";

/// The field of a container row that was created at the engine.
pub(crate) const MADE: &str = "_made";

/// A running container, created at `seconds` since 1970 and `nanos`.
pub fn container(id: &str, name: &str, seconds: i64, nanos: u32) -> Value {
    json!({
        "Id": id,
        "Names": [format!("/{name}")],
        "Image": "busybox:latest",
        "ImageID": "sha256:b0",
        "Command": "sleep 1d",
        "Created": seconds,
        NANOS: nanos,
        "Ports": [],
        "Labels": {},
        "State": "running",
        "Status": "Up 2 minutes",
        "HostConfig": { "NetworkMode": "bridge" },
        "Mounts": [],
    })
}

/// The same container, but exited.
pub fn exited(mut container: Value) -> Value {
    container["State"] = json!("exited");
    container["Status"] = json!("Exited (0) 1 minute ago");
    container
}

/// An image with these tags, created at `seconds` since 1970.
pub fn image(id: &str, tags: &[&str], seconds: i64) -> Value {
    json!({
        "Id": id,
        "ParentId": "",
        "RepoTags": tags,
        "RepoDigests": [],
        "Created": seconds,
        "Size": 2_097_152,
        "SharedSize": -1,
        "Labels": null,
        "Containers": -1,
    })
}

/// A volume of the `local` driver.
pub fn volume(name: &str) -> Value {
    json!({
        "Name": name,
        "Driver": "local",
        "Mountpoint": format!("/var/lib/docker/volumes/{name}/_data"),
        "CreatedAt": "2023-11-14T22:13:20Z",
        "Labels": null,
        "Options": null,
        "Scope": "local",
    })
}

/// A network; `scope` is `local` (a bridge) or `swarm` (an overlay).
pub fn network(id: &str, name: &str, scope: &str) -> Value {
    json!({
        "Id": id,
        "Name": name,
        "Scope": scope,
        "Driver": if scope == "swarm" { "overlay" } else { "bridge" },
        "Created": "2023-11-14T22:13:20Z",
        "Labels": {},
    })
}

/// An event of `GET /events`: `scope` is `local` or `swarm`, `nanos` since 1970.
pub fn event(scope: &str, kind: &str, action: &str, id: &str, nanos: i64) -> Value {
    json!({
        "Type": kind,
        "Action": action,
        "Actor": { "ID": id, "Attributes": { "name": id } },
        "scope": scope,
        "time": nanos / 1_000_000_000,
        "timeNano": nanos,
    })
}

/// A row of `GET /nodes`; `role` is `manager` or `worker`.
pub fn node(id: &str, hostname: &str, role: &str) -> Value {
    json!({
        "ID": id,
        "Version": { "Index": 10 },
        "Spec": { "Role": role, "Availability": "active", "Labels": {} },
        "Description": { "Hostname": hostname, "Engine": { "EngineVersion": "26.1.5" } },
        "Status": { "State": "ready", "Addr": "127.0.0.1" },
    })
}
