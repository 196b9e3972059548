//! Names the grants with which a caller becomes root on a node, whatever else its
//! policy demands.

use super::{Effect, RuleSet};
use crate::endpoint::{RequestPath, classify};
use crate::policy::body::host_path::is_below;
use crate::policy::node::On;
use crate::policy::redact::Redact;
use crate::policy::request::Request;

/// Capabilities that reach the host's kernel, processes or files.
const CAPABILITIES: &[&str] = &[
    "*",
    "ALL",
    "BPF",
    "DAC_READ_SEARCH",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
];

/// Whoever writes to one of these, or below it, is root soon after.
const WRITABLE: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/opt/containerd",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/run",
    "/var/spool/cron",
];

/// The sockets of engines take commands through a read-only mount too.
const SOCKETS: &[&str] = &[
    "/run/containerd",
    "/run/docker.sock",
    "/run/podman",
    "/var/run/docker.sock",
];

/// Devices with the host's memory or disks.
const DEVICES: &[&str] = &[
    "/dev/dm-",
    "/dev/kmem",
    "/dev/mapper",
    "/dev/mem",
    "/dev/mmcblk",
    "/dev/nvme",
    "/dev/port",
    "/dev/sd",
    "/dev/vd",
    "/dev/xvd",
];

impl RuleSet {
    /// The settings of this policy by which its callers can become root on a node.
    ///
    /// An empty list is no proof: links on the host, drivers and runtimes are not seen.
    pub fn root_grants(&self) -> Vec<String> {
        if self.unrestricted {
            return vec!["admin".to_owned()];
        }
        if self.audit_only {
            return vec!["audit_only".to_owned()];
        }
        let creates = self.calls("POST", "/containers/create")
            || self.calls("POST", "/services/create")
            || self.calls("POST", "/services/a/update");
        let executes = self.calls("POST", "/containers/a/exec");
        let may = &self.may;
        let mut found = Vec::new();
        let mut note = |holds: bool, name: &str| {
            if holds {
                found.push(name.to_owned());
            }
        };
        if may.everything {
            note(creates || executes, "may.everything");
        } else {
            note(may.privileged && (creates || executes), "may.privileged");
            note(may.device_rules && creates, "may.device_rules");
            note(may.system_paths && creates, "may.system_paths");
            note(
                may.plugins && self.calls("POST", "/plugins/a/enable"),
                "may.plugins",
            );
        }
        if creates && !may.everything {
            let mut note = |name: &str, list: &[String], is_root: fn(&str) -> bool| {
                let roots = list.iter().filter(|entry| is_root(entry));
                found.extend(roots.map(|entry| format!("{name}: {entry}")));
            };
            note("may.capabilities", &may.capabilities, is_root_capability);
            note("may.binds", &may.binds, is_root_bind);
            note("may.devices", &may.devices, is_root_device);
        }
        // Another Swarm's managers command an engine that joins it.
        if self.calls("POST", "/swarm/join") {
            found.push("POST /swarm/join".to_owned());
        }
        // The token of managers lets any machine become one.
        if self.calls("GET", "/swarm") && !self.redact.contains(&Redact::Secrets) {
            found.push("GET /swarm without redact: [secrets]".to_owned());
        }
        found
    }

    /// Whether the rules allow this on some node.
    fn calls(&self, method: &str, path: &str) -> bool {
        let Ok(path) = RequestPath::parse(path) else {
            return false;
        };
        let Some(found) = classify(method, &path) else {
            return false;
        };
        let request = Request {
            found: Some(&found),
            method,
            path: &path,
            query: "",
            upgrade: None,
            on: On::Any,
        };
        self.first(&request, &found)
            .is_some_and(|(effect, _)| effect == Effect::Allow)
    }
}

fn is_root_capability(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    CAPABILITIES.contains(&name.strip_prefix("CAP_").unwrap_or(&name))
}

fn is_root_bind(grant: &str) -> bool {
    let (path, read_only) = match grant.strip_suffix(":ro") {
        Some(path) => (path, true),
        None => (grant, false),
    };
    let touches = |root: &&str| is_below(path, root) || is_below(root, path);
    path == "*" || SOCKETS.iter().any(touches) || !read_only && WRITABLE.iter().any(touches)
}

fn is_root_device(path: &str) -> bool {
    let is_all = path == "*" || is_below("/dev/mem", path);
    is_all || DEVICES.iter().any(|root| path.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Spec;
    use crate::policy::may::May;
    use crate::policy::presets;

    fn grants(allow: &[&str], may: May) -> Vec<String> {
        let spec = Spec {
            allow: allow.iter().map(|entry| (*entry).to_owned()).collect(),
            may: Some(may),
            ..Spec::default()
        };
        RuleSet::new(&spec).unwrap().root_grants()
    }

    fn list(entry: &str) -> Vec<String> {
        vec![entry.to_owned()]
    }

    const CREATE: &[&str] = &["POST /containers/create"];

    #[test]
    fn an_admin_and_a_policy_that_only_logs_are_root() {
        assert_eq!(RuleSet::admin().root_grants(), ["admin"]);
        let spec = Spec {
            audit_only: true,
            ..Spec::default()
        };
        assert_eq!(RuleSet::new(&spec).unwrap().root_grants(), ["audit_only"]);
    }

    #[test]
    fn a_grant_counts_only_with_an_endpoint_that_uses_it() {
        let privileged = || May {
            privileged: true,
            ..May::default()
        };
        assert_eq!(grants(CREATE, privileged()), ["may.privileged"]);
        assert_eq!(grants(&["exec"], privileged()), ["may.privileged"]);
        assert_eq!(
            grants(&["services.write"], privileged()),
            ["may.privileged"]
        );
        assert!(grants(&["containers.read"], privileged()).is_empty());
        assert_eq!(grants(CREATE, May::everything()), ["may.everything"]);
        let plugins = || May {
            plugins: true,
            ..May::default()
        };
        assert_eq!(grants(&["*"], plugins()).first().unwrap(), "may.plugins");
        assert!(grants(CREATE, plugins()).is_empty());
    }

    #[test]
    fn lists_count_by_their_entries() {
        for (path, is_root) in [
            ("*", true),
            ("/", true),
            ("/etc", true),
            ("/etc/cron.d", true),
            ("/etc:ro", false),
            ("/:ro", true),
            ("/var:ro", true),
            ("/run/docker.sock:ro", true),
            ("/srv/data", false),
            ("/var/lib", true),
            ("/var/lib/app", false),
            ("/usr/share/x", true),
            ("/home/ci/cache", false),
        ] {
            assert_eq!(is_root_bind(path), is_root, "{path}");
        }
        for (name, is_root) in [
            ("SYS_ADMIN", true),
            ("cap_sys_ptrace", true),
            ("ALL", true),
            ("NET_ADMIN", false),
        ] {
            assert_eq!(is_root_capability(name), is_root, "{name}");
        }
        for (path, is_root) in [
            ("*", true),
            ("/dev", true),
            ("/dev/sda1", true),
            ("/dev/dri", false),
            ("/dev/ttyUSB0", false),
        ] {
            assert_eq!(is_root_device(path), is_root, "{path}");
        }
        let binds = May {
            binds: list("/etc"),
            ..May::default()
        };
        assert_eq!(grants(CREATE, binds), ["may.binds: /etc"]);
    }

    #[test]
    fn the_swarms_join_and_its_tokens_are_root() {
        let join = grants(&["swarm.write"], May::default());
        assert!(join.contains(&"POST /swarm/join".to_owned()), "{join:?}");
        let mut spec = Spec {
            allow: list("GET /swarm"),
            ..Spec::default()
        };
        assert_eq!(RuleSet::new(&spec).unwrap().root_grants().len(), 1);
        spec.redact = vec![Redact::Secrets];
        assert!(RuleSet::new(&spec).unwrap().root_grants().is_empty());
    }

    #[test]
    fn of_the_presets_only_portainers_is_root() {
        for name in presets::names() {
            let preset = presets::preset(name).unwrap();
            let grants = RuleSet::new(&preset).unwrap().root_grants();
            assert_eq!(grants.is_empty(), name != "portainer", "{name}: {grants:?}");
        }
    }
}
