//! Defines the grants of a policy to bodies, beyond a plain container.
//!
//! A policy grants nothing by default. A caller that creates containers without
//! these grants can do harm inside of them, but cannot reach the host.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::body::{address, capability, host_path, port};
use super::error::PolicyError;

/// Declares [`May`] with its fields listed for the writer of YAML.
macro_rules! may {
    ($(#[$outer:meta])* { $($(#[$doc:meta])* $flag:ident: bool,)* } { $($(#[$more:meta])* $list:ident: Vec<String>,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct May {
            $($(#[$doc])* pub $flag: bool,)*
            $($(#[$more])* pub $list: Vec<String>,)*
        }

        impl May {
            pub(super) fn flags(&self) -> impl Iterator<Item = (&'static str, bool)> {
                [$((stringify!($flag), self.$flag)),*].into_iter()
            }

            pub(super) fn lists(&self) -> impl Iterator<Item = (&'static str, &[String])> {
                [$((stringify!($list), self.$list.as_slice())),*].into_iter()
            }
        }
    };
}

may! {
    /// Grants to bodies. In a list `*` grants all.
    {
        /// All of what follows.
        everything: bool,
        /// `Privileged`, of containers and of execs.
        privileged: bool,
        /// Sharing with other containers: `container:x`, `VolumesFrom`, `Links`.
        share: bool,
        /// Mounts that propagate to the host: `shared`.
        propagation: bool,
        /// `DeviceCgroupRules`.
        device_rules: bool,
        /// `MaskedPaths` and `ReadonlyPaths` that leave parts of /proc and /sys open.
        system_paths: bool,
        /// `OomKillDisable`, or a negative `OomScoreAdj`.
        oom: bool,
        /// Engine plugins: they run as root on the host.
        plugins: bool,
        /// BuildKit's own protocol (`/session`, `/grpc`, HTTP/2), which cannot be judged.
        buildkit: bool,
        /// Making the engine fetch from a URL: `remote` of a build, `fromSrc` of an import, and
        /// look-ups in registries other than Docker Hub.
        remote: bool,
        /// The Swarm's ingress network, and networks that take their settings from another.
        ingress: bool,
        /// Giving images a name (tag, commit, import, load, build) although `must.images` allows images by name.
        name_images: bool,
        /// Fields that this program does not know, if they have a value.
        unknown_fields: bool,
    }
    {
        /// Capabilities beyond Docker's default ones, such as `NET_ADMIN`.
        capabilities: Vec<String>,
        /// The host's namespaces: `network`, `pid`, `ipc`, `uts`, `userns`, `cgroup`.
        namespaces: Vec<String>,
        /// Paths of the host, and all below them: `/srv/data`, or `/srv/data:ro`.
        binds: Vec<String>,
        /// File systems that a volume's options may mount, such as `nfs`.
        filesystems: Vec<String>,
        /// Volume drivers beside `local`.
        volume_drivers: Vec<String>,
        /// Swarm secrets by name that a service or a cluster volume may use.
        secrets: Vec<String>,
        /// Swarm configs by name that a service may use.
        configs: Vec<String>,
        /// Devices of the host by path, and all below it: `/dev/dri`.
        devices: Vec<String>,
        /// Drivers of `DeviceRequests`, such as `nvidia`, the unnamed one is `default`; and kinds
        /// of generic resources that a service reserves.
        device_requests: Vec<String>,
        /// Entries of `SecurityOpt` in the form with `=`, such as `seccomp=unconfined`.
        security_options: Vec<String>,
        /// Kernel parameters by name; `net.ipv4.*` is all that begin with it.
        sysctls: Vec<String>,
        /// Runtimes beside runc.
        runtimes: Vec<String>,
        /// `CgroupParent`, and all below it.
        cgroup_parents: Vec<String>,
        /// Groups of `GroupAdd`.
        groups: Vec<String>,
        /// Annotations by name, which runtimes may obey; `run.oci.*` is all that begin with it.
        annotations: Vec<String>,
        /// Log drivers that send logs off the node, such as `gelf`; `default` is the engine's
        /// default one, with any options.
        log_drivers: Vec<String>,
        /// Network drivers beside `bridge` and `overlay`.
        network_drivers: Vec<String>,
        /// Networks in which addresses may be chosen: pools, gateways and addresses of containers,
        /// such as `10.20.0.0/16`; also MAC addresses.
        subnets: Vec<String>,
        /// Ports of containers to connect to: `80`, `8000-8999`.
        #[serde(deserialize_with = "ports")]
        forward: Vec<String>,
        /// Network driver options with an effect on the host, such as `com.docker.network.bridge.name`.
        network_options: Vec<String>,
    }
}

/// Ports are numbers or texts.
fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let ports = Vec::<Port>::deserialize(deserializer)?;
    Ok(ports.into_iter().map(|Port(port)| port).collect())
}

struct Port(String);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;

        impl Visitor<'_> for NumberOrText {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as 80, or a text such as '8000-8999' or '*'")
            }

            fn visit_u64<E: Error>(self, port: u64) -> Result<Port, E> {
                Ok(Port(port.to_string()))
            }

            fn visit_i64<E: Error>(self, port: i64) -> Result<Port, E> {
                Ok(Port(port.to_string()))
            }

            fn visit_str<E: Error>(self, port: &str) -> Result<Port, E> {
                Ok(Port(port.to_owned()))
            }
        }

        deserializer.deserialize_any(NumberOrText)
    }
}

/// The host's namespaces by the names they have here.
pub(super) const NAMESPACES: [&str; 6] = ["network", "pid", "ipc", "uts", "userns", "cgroup"];

impl May {
    /// Every grant.
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Finds entries that could never grant anything.
    pub(super) fn check(&self, faults: &mut Vec<PolicyError>) {
        for (name, list) in self.lists() {
            for (i, entry) in list.iter().enumerate().filter(|(_, entry)| *entry != "*") {
                if let Some(what) = fault(name, entry) {
                    faults.push(PolicyError::new(format!("may.{name}[{i}]"), what));
                }
            }
        }
    }
}

fn fault(list: &str, entry: &str) -> Option<String> {
    let ok = match list {
        _ if entry.is_empty() => return Some("is empty".into()),
        "namespaces" if !NAMESPACES.contains(&entry) => {
            let known = NAMESPACES.join(", ");
            return Some(format!("unknown namespace `{entry}`: use one of {known}"));
        }
        "binds" => host_path::is_grant(entry),
        "devices" => host_path::is_grant(entry) && !entry.ends_with(":ro"),
        "capabilities" => capability::is_name(entry),
        "subnets" => address::is_grant(entry),
        "forward" => port::is_grant(entry),
        _ => true,
    };
    let what = match list {
        "capabilities" => "not the name of a capability, such as NET_ADMIN",
        "forward" => "not a port from 1 to 65535, nor a range such as 8000-8999",
        "subnets" => "not a network such as 10.20.0.0/16, nor a MAC address",
        _ => "not an absolute path without `.` and `..`",
    };
    (!ok).then(|| format!("`{entry}` is {what}"))
}
