//! Reads a create body a second time, in little code, with Go's rules.
//!
//! It knows only the most dangerous settings of a body. A fuzz target compares the
//! verdict of a policy with it; the two share no code.

use serde_json::Value;

use crate::placement::Placement;
use crate::policy::BodyOf;
use crate::policy::scope::{Kind, Scope};

/// Modes with which a container joins a namespace of the host or of another.
const MODES: [&str; 7] = [
    "NetworkMode",
    "PidMode",
    "IpcMode",
    "UTSMode",
    "UsernsMode",
    "CgroupnsMode",
    "Cgroup",
];

/// Fields that must be empty.
const EMPTY: [&str; 8] = [
    "Privileged",
    "VolumesFrom",
    "Links",
    "Devices",
    "DeviceRequests",
    "DeviceCgroupRules",
    "CgroupParent",
    "GroupAdd",
];

/// Asserts that an allowed body that needs no grant asks for nothing of the host
/// or of other containers, and that all readers find the same names.
pub(super) fn harmless(body: &[u8]) {
    // This reader refuses more, such as numbers that no double holds.
    let Ok(create) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    // Older engines take a `HostConfig`'s fields out of the body itself.
    let mut hosts = vec![&create];
    hosts.extend(fields(&create, "HostConfig"));
    for host in hosts {
        for name in EMPTY {
            let mut values = fields(host, name);
            assert!(values.all(is_empty), "{name} is allowed");
        }
        for name in MODES {
            for mode in fields(host, name).filter_map(Value::as_str) {
                let is_own = mode != "host" && !mode.starts_with("container:");
                assert!(is_own, "{name}: {mode} is allowed");
            }
        }
        for bind in texts(host, "Binds") {
            let source = bind.split_once(':').map(|(source, _)| source);
            let is_path = source.is_some_and(|source| source.starts_with(['/', '.', '~', '\\']));
            assert!(!is_path, "{bind} is allowed");
        }
        for capability in texts(host, "CapAdd") {
            let name = capability.to_ascii_uppercase();
            let name = name.strip_prefix("CAP_").unwrap_or(&name);
            let is_harmful = ["ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE"].contains(&name);
            assert!(!is_harmful, "{capability} is allowed");
        }
        for option in texts(host, "SecurityOpt") {
            assert!(!option.contains("unconfined"), "{option} is allowed");
        }
        for mount in fields(host, "Mounts").filter_map(Value::as_array).flatten() {
            let mut kinds = fields(mount, "Type").filter_map(Value::as_str);
            assert!(kinds.all(|kind| kind != "bind"), "a bind is allowed");
        }
    }
    agreed(body);
}

/// Placement and scope must find the same names.
fn agreed(body: &[u8]) {
    let placed = Placement::of_create(body);
    assert_eq!(placed.containers, [""; 0], "a container is joined");
    // A scope refuses a body with too many names.
    let Ok(named) = Scope::references(Kind::Container, &BodyOf::json(body)) else {
        return;
    };
    for (kind, names) in [
        (Kind::Network, placed.networks),
        (Kind::Volume, placed.volumes),
    ] {
        for name in names {
            let mut own = named.iter().filter(|reference| reference.kind == kind);
            let is_named = own.any(|reference| reference.name == name);
            assert!(
                is_named,
                "{kind:?} {name:?} is known to placement, but not to the scope"
            );
        }
    }
}

/// The values that Go reads into this field.
fn fields<'v>(object: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    let members = object.as_object().into_iter().flatten();
    members.filter_map(move |(key, value)| {
        let folded = key.replace('\u{17f}', "s").replace('\u{212a}', "k");
        folded.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn texts<'v>(object: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    fields(object, name).flat_map(|value| match value {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        single => Vec::from_iter(single.as_str()),
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(is_empty),
        Value::Object(members) => members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "Privileged is allowed")]
    fn a_privileged_container_is_found() {
        harmless("{\"hostconfig\":{\"pr\u{131}vileged\":1,\"PRIVILEGED\":true}}".as_bytes());
    }

    #[test]
    fn a_plain_container_passes() {
        harmless(br#"{"Image":"a","HostConfig":{"Binds":["vol:/x","/y"],"NetworkMode":"app"}}"#);
    }
}
