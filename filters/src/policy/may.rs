//! What a body may ask for beyond a plain container.
//!
//! Nothing, unless it is granted: a caller that may create containers without
//! these can do harm inside of them, but has no way out to the host.

use serde::Deserialize;

use super::body::{capability, host_path};
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
        /// Other containers' namespaces, volumes and links: `container:x`, `VolumesFrom`, `Links`.
        share: bool,
        /// Mounts that show on the host: `shared` propagation.
        propagation: bool,
        /// `DeviceCgroupRules`.
        device_rules: bool,
        /// `MaskedPaths` and `ReadonlyPaths` that leave parts of /proc and /sys open.
        system_paths: bool,
        /// Living on when the host runs out of memory: `OomKillDisable`, a negative `OomScoreAdj`.
        oom: bool,
        /// Engine plugins: they run as root on the host.
        plugins: bool,
        /// BuildKit's own protocol (`/session`, `/grpc`, HTTP/2), which cannot be judged.
        buildkit: bool,
        /// Having the engine fetch from a URL: `remote` of a build, `fromSrc` of an import.
        remote: bool,
        /// Giving images a name (tag, commit, import, load, build) although `must.images` goes by names.
        name_images: bool,
        /// Fields that this program does not know, with a value in them.
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
        /// Devices of the host by path, and all below it: `/dev/dri`.
        devices: Vec<String>,
        /// Drivers of `DeviceRequests`, such as `nvidia`; the unnamed one is `default`.
        device_requests: Vec<String>,
        /// Entries of `SecurityOpt`, such as `seccomp=unconfined`, as they stand there with `=`.
        security_options: Vec<String>,
        /// Kernel parameters by name; `net.ipv4.*` is all that start so.
        sysctls: Vec<String>,
        /// Runtimes beside runc.
        runtimes: Vec<String>,
        /// `CgroupParent`, and all below it.
        cgroup_parents: Vec<String>,
        /// Groups of `GroupAdd`.
        groups: Vec<String>,
        /// Log drivers that send to elsewhere, such as `gelf`.
        log_drivers: Vec<String>,
        /// Network drivers beside `bridge` and `overlay`.
        network_drivers: Vec<String>,
        /// Network driver options with an effect on the host, such as `com.docker.network.bridge.name`.
        network_options: Vec<String>,
    }
}

/// The host's namespaces by the names they have here.
pub(super) const NAMESPACES: [&str; 6] = ["network", "pid", "ipc", "uts", "userns", "cgroup"];

impl May {
    /// All that there is.
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Finds what could never grant anything.
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
            return Some(format!("`{entry}` is no namespace; there is {known}"));
        }
        "binds" => host_path::is_grant(entry),
        "devices" => host_path::is_grant(entry) && !entry.ends_with(":ro"),
        "capabilities" => capability::is_name(entry),
        _ => true,
    };
    let what = match list {
        "capabilities" => "no name of a capability, such as NET_ADMIN",
        _ => "no absolute path without `.` and `..`",
    };
    (!ok).then(|| format!("`{entry}` is {what}"))
}
