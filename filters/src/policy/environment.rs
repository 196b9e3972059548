//! Turns the environment variables of Tecnativa's docker-socket-proxy, and of
//! LinuxServer's, into a policy.
//!
//! The policy allows less than those programs do. With them, `CONTAINERS=1`
//! also allows to download the files of every container (`archive`, `export`)
//! and to type into it (`attach`). Here these have switches of their own:
//! `ALLOW_ARCHIVE`, `ALLOW_EXPORT`, `ALLOW_ATTACH`. And no variable grants
//! anything of [`May`] to new containers.

use std::collections::BTreeMap;

use super::may::May;
use super::spec::Spec;

/// A policy, and the variables that it does not reflect.
#[derive(Clone, Debug, PartialEq)]
pub struct FromEnvironment {
    /// The policy.
    pub policy: Spec,
    /// The variables without effect.
    pub ignored: Vec<Ignored>,
}

/// A variable without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: &'static str,
}

/// A section of the API: its variable, the entries it allows, and those it allows with `POST=1`.
type Section = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const SECTIONS: &[Section] = &[
    ("AUTH", &[], &["POST /auth"]),
    (
        "BUILD",
        &[],
        &["POST /build", "POST /build/prune", "POST /build/cancel"],
    ),
    ("COMMIT", &[], &["POST /commit"]),
    ("CONFIGS", &["configs.read"], &["configs.write"]),
    (
        "CONTAINERS",
        &["containers.read"],
        &["containers.lifecycle", "containers.write"],
    ),
    ("DISTRIBUTION", &["GET /distribution/*/json"], &[]),
    ("EVENTS", &["events"], &[]),
    ("EXEC", &["GET /exec/*/json"], &["exec"]),
    ("GRPC", &[], &["POST /grpc"]),
    (
        "IMAGES",
        &["images.read", "GET /images/search"],
        &["images.pull", "images.push", "images.write"],
    ),
    ("INFO", &["GET /info"], &[]),
    ("NETWORKS", &["networks.read"], &["networks.write"]),
    ("NODES", &["nodes.read"], &["nodes.write"]),
    ("PING", &["GET /_ping", "HEAD /_ping"], &[]),
    ("PLUGINS", &["plugins.read"], &["plugins.write"]),
    ("SECRETS", &["secrets.read"], &["secrets.write"]),
    (
        "SERVICES",
        &["services.read", "services.logs"],
        &["services.write"],
    ),
    ("SESSION", &[], &["POST /session"]),
    ("SWARM", &[], &["swarm.write"]),
    ("SYSTEM", &["GET /system/df"], &[]),
    ("TASKS", &["tasks.read", "tasks.logs"], &[]),
    ("VERSION", &["GET /version"], &[]),
    ("VOLUMES", &["volumes.read"], &["volumes.write"]),
];

/// Single permissions, which do not need `POST=1`.
const SINGLE: &[(&str, &[&str])] = &[
    ("ALLOW_START", &["POST /containers/*/start"]),
    ("ALLOW_STOP", &["POST /containers/*/stop"]),
    (
        "ALLOW_RESTARTS",
        &[
            "POST /containers/*/restart",
            "POST /containers/*/stop",
            "POST /containers/*/kill",
        ],
    ),
    ("ALLOW_PAUSE", &["POST /containers/*/pause"]),
    ("ALLOW_UNPAUSE", &["POST /containers/*/unpause"]),
    (
        "ALLOW_ARCHIVE",
        &["GET /containers/*/archive", "HEAD /containers/*/archive"],
    ),
    (
        "ALLOW_EXPORT",
        &["GET /containers/*/export", "images.archive"],
    ),
    ("ALLOW_ATTACH", &["attach"]),
];

/// On by default, as with Tecnativa's. Logs need CONTAINERS too.
const ON: [&str; 4] = ["EVENTS", "PING", "VERSION", "ALLOW_LOGS"];

/// The reason why a variable with another value than on or off has no effect.
pub const WRONG: &str = "the value is neither on (1) nor off (0)";

/// Settings of the other programs that have no meaning in a policy. The agent reads
/// SOCKET_PATH, DISABLE_IPV6, BIND_CONFIG and BIND_IP.
const SETTINGS: [&str; 3] = ["LOG_LEVEL", "PROXY_READ_TIMEOUT", "TZ"];

/// Whether a variable that allows or denies something is set.
pub fn is_configured<'e>(variables: impl IntoIterator<Item = (&'e str, &'e str)>) -> bool {
    let mut variables = variables.into_iter();
    variables.any(|(name, value)| is_switch(name) && switch(value).is_some())
}

/// Reads the variables. If a name is given twice, the last value counts. Names
/// that those programs do not have are ignored silently.
pub fn from_environment<'e>(
    variables: impl IntoIterator<Item = (&'e str, &'e str)>,
) -> FromEnvironment {
    let mut switches: BTreeMap<&str, bool> = ON.into_iter().map(|name| (name, true)).collect();
    let mut ignored = Vec::new();
    let mut ignore = |name: &str, why| {
        let name = name.to_owned();
        ignored.push(Ignored { name, why });
    };
    for (name, value) in variables {
        if SETTINGS.contains(&name) {
            ignore(name, "a setting of the other program");
        } else if !is_switch(name) {
            let known_prefix = name.starts_with("ALLOW_") || name.starts_with("LIBPOD_");
            if known_prefix && switch(value) != Some(false) {
                ignore(name, "unknown variable");
            }
        } else if let Some(on) = switch(value) {
            switches.insert(name, on);
        } else {
            ignore(name, WRONG);
        }
    }

    let on = |name: &str| switches.get(name) == Some(&true);
    let post = on("POST");
    let mut policy = Spec::default();
    let mut allow = |entries: &[&str]| {
        for entry in entries {
            if !policy.allow.iter().any(|own| own == entry) {
                policy.allow.push((*entry).to_owned());
            }
        }
    };
    for (name, read, write) in SECTIONS.iter().filter(|(name, ..)| on(name)) {
        allow(read);
        if post {
            allow(write);
        } else if read.is_empty() && *name != "SWARM" {
            ignore(name, "it has no effect without POST=1");
        }
        if *name == "SWARM" {
            ignore(
                name,
                "GET /swarm returns join tokens: allow swarm.tokens in a policy",
            );
        }
    }
    if on("CONTAINERS") && on("ALLOW_LOGS") {
        allow(&["containers.logs"]);
    }
    for (_, entries) in SINGLE.iter().filter(|(name, _)| on(name)) {
        allow(entries);
    }
    if post && (on("GRPC") || on("SESSION")) {
        let buildkit = true;
        policy.may = Some(May {
            buildkit,
            ..May::default()
        });
    }
    FromEnvironment { policy, ignored }
}

fn is_switch(name: &str) -> bool {
    matches!(name, "POST" | "ALLOW_LOGS")
        || SECTIONS.iter().any(|(own, ..)| *own == name)
        || SINGLE.iter().any(|(own, _)| *own == name)
}

/// HAProxy's booleans.
pub fn switch(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "" | "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::RuleSet;
    use super::super::tests::is_allowed;
    use super::*;

    fn read(variables: &str) -> FromEnvironment {
        let pairs = variables.split_whitespace();
        from_environment(pairs.filter_map(|pair| pair.split_once('=')))
    }

    #[test]
    fn the_variables_decide_what_is_allowed() {
        for (variables, allowed, denied) in [
            (
                "",
                "GET /_ping,HEAD /_ping,GET /events,GET /version",
                "GET /containers/json,GET /info",
            ),
            (
                "CONTAINERS=1",
                "GET /containers/json,GET /v1.41/containers/a/json,GET /containers/a/logs",
                "GET /containers/a/archive,HEAD /containers/a/archive,GET /containers/a/export,GET /containers/a/attach/ws,POST /containers/a/start,POST /containers/create,PUT /containers/a/archive,POST /containers/a/exec",
            ),
            (
                "CONTAINERS=1 ALLOW_LOGS=0 ALLOW_EXPORT=1 ALLOW_START=1",
                "GET /containers/a/export,POST /containers/a/start",
                "GET /containers/a/logs,POST /containers/a/stop",
            ),
            (
                "CONTAINERS=1 POST=1",
                "POST /containers/create,POST /containers/a/start,DELETE /containers/a",
                "PUT /containers/a/archive,POST /containers/a/attach,POST /containers/a/exec,DELETE /images/a",
            ),
            (
                "ALLOW_RESTARTS=1",
                "POST /containers/a/kill",
                "POST /containers/a/start,GET /containers/json",
            ),
            ("EXEC=1", "GET /exec/a/json", "POST /exec/a/start"),
            (
                "EXEC=1 POST=1",
                "POST /exec/a/start,POST /containers/a/exec",
                "GET /containers/json",
            ),
            (
                "SWARM=1 POST=1",
                "POST /swarm/leave",
                "GET /swarm,GET /swarm/unlockkey",
            ),
            (
                "GRPC=1 SESSION=1 POST=1",
                "POST /grpc,POST /session",
                "POST /build",
            ),
            (
                "PING=0 VERSION=no EVENTS=off",
                "",
                "GET /_ping,GET /version,GET /events",
            ),
            (
                "POST=1",
                "",
                "POST /containers/create,POST /auth,POST /containers/a/start",
            ),
        ] {
            let rules = RuleSet::new(&read(variables).policy).unwrap();
            for request in allowed.split(',').filter(|r| !r.is_empty()) {
                assert!(is_allowed(&rules, request), "{variables}: {request}");
            }
            for request in denied.split(',') {
                assert!(!is_allowed(&rules, request), "{variables}: {request}");
            }
        }
    }

    #[test]
    fn every_variable_alone_makes_a_valid_policy() {
        let names = SECTIONS.iter().map(|(name, ..)| *name);
        for name in names.chain(SINGLE.iter().map(|(name, _)| *name)) {
            for post in ["0", "1"] {
                let read = from_environment([(name, "1"), ("POST", post)]);
                assert!(RuleSet::new(&read.policy).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn variables_without_effect_are_reported_with_the_reason() {
        let ignored: Vec<_> =
            read("LOG_LEVEL=info BUILD=1 IMAGES=maybe HOME=/ ALLOW_MAGIC=1 SWARM=1")
                .ignored
                .into_iter()
                .map(|one| (one.name, one.why.split(' ').next().unwrap_or_default()))
                .collect();
        let expected = [
            ("LOG_LEVEL", "a"),
            ("IMAGES", "the"),
            ("ALLOW_MAGIC", "unknown"),
            ("BUILD", "it"),
            ("SWARM", "GET"),
        ];
        assert_eq!(ignored, expected.map(|(name, why)| (name.to_owned(), why)));
    }

    #[test]
    fn the_equivalent_yaml_reads_back_as_the_same_policy() {
        let policy = read("CONTAINERS=1 POST=1 GRPC=1 IMAGES=1").policy;
        let again: Spec = serde_saphyr::from_str(&policy.to_yaml(0)).unwrap();
        assert_eq!(again, policy);
    }
}
