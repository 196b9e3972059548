//! Reads how agents find and trust each other: `cluster`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::discover::Discover;
use super::error::ValueError;
use super::faults::Faults;
use super::portainer::SecretSource;
use super::raw::{self, Text};
use super::scalar::{self, DAY, MINUTE};

/// Where Docker mounts a secret that the stack calls `skep_secret`.
///
/// An agent without [`Cluster::secret_files`] uses this file if it exists.
pub const DEFAULT_SECRET_FILE: &str = "/run/secrets/skep_secret";

const MAX_SECRETS: usize = 4;

const MODES: &[(&str, ClusterMode)] = &[
    ("auto", ClusterMode::Auto),
    ("on", ClusterMode::On),
    ("off", ClusterMode::Off),
];

/// How agents find and trust each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Whether this agent works with others.
    pub mode: ClusterMode,
    /// Where to look for other agents; empty for the tasks of the agent's own
    /// Swarm service.
    pub discover: Vec<Discover>,
    /// The agent's own container, if the agent is not to find it by itself.
    pub container: Option<String>,
    /// The keys that have the operator's rights.
    pub operator: Operator,
    /// The cluster's secrets, at most four: the first signs, all are trusted.
    /// May be empty, see [`DEFAULT_SECRET_FILE`].
    pub secret_files: Vec<PathBuf>,
    /// Portainer's secret, if it came from the environment. Without
    /// `secret_files` it is the cluster's secret too, if it is strong enough.
    pub portainer_secret: Option<SecretSource>,
    /// The time between two rounds of discovery.
    pub interval: Duration,
    /// How long one agent may take to answer a probe.
    pub probe_timeout: Duration,
    /// How long the agent's own certificates are valid.
    pub certificate_lifetime: Duration,
}

/// The key that has the operator's rights.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Operator {
    /// The one that derives from the cluster's secret.
    #[default]
    Derived,
    /// None.
    Off,
    /// The Ed25519 key with the public half in this file, and not the derived one.
    Key(PathBuf),
}

/// Whether an agent works with others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClusterMode {
    /// If its engine is part of a Swarm.
    Auto,
    /// Never.
    Off,
    /// Always.
    On,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            mode: ClusterMode::Auto,
            discover: Vec::new(),
            container: None,
            operator: Operator::default(),
            secret_files: Vec::new(),
            portainer_secret: None,
            interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(2),
            certificate_lifetime: DAY,
        }
    }
}

/// Reads `cluster`.
pub(super) fn read(faults: &mut Faults, raw: raw::Cluster) -> Cluster {
    let default = Cluster::default();
    let ms = Duration::from_millis;
    Cluster {
        mode: faults.or("cluster.mode", raw.mode, default.mode, |text| {
            scalar::choice(text, "a mode", MODES)
        }),
        discover: faults.each(
            "cluster.discover",
            raw.discover.unwrap_or_default(),
            str::parse,
        ),
        operator: operator(faults, raw.operator, raw.operator_key_file),
        container: faults.read("cluster.container", raw.container, container),
        secret_files: secret_files(faults, raw.secret_file, raw.secret_files),
        portainer_secret: None,
        interval: faults.or("cluster.interval", raw.interval, default.interval, |text| {
            scalar::duration(text, ms(100)..=60 * MINUTE)
        }),
        probe_timeout: faults.or(
            "cluster.probe_timeout",
            raw.probe_timeout,
            default.probe_timeout,
            |text| scalar::duration(text, ms(100)..=MINUTE),
        ),
        certificate_lifetime: faults.or(
            "cluster.certificate_lifetime",
            raw.certificate_lifetime,
            default.certificate_lifetime,
            |text| scalar::duration(text, MINUTE..=365 * DAY),
        ),
    }
}

fn operator(faults: &mut Faults, operator: Option<Text>, key: Option<Text>) -> Operator {
    let derived = faults.or("cluster.operator", operator, true, |text| {
        scalar::choice(text, "on or off", &[("on", true), ("off", false)])
    });
    match (faults.path("cluster", "operator_key_file", key), derived) {
        (Some(file), _) => Operator::Key(file),
        (None, true) => Operator::Derived,
        (None, false) => Operator::Off,
    }
}

/// A name or an id as engines take it.
fn container(text: &str) -> Result<String, ValueError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(ValueError::new(format!(
            "`{text}` is not the name or the id of a container"
        ))),
    }
}

fn secret_files(
    faults: &mut Faults,
    one: Option<Text>,
    many: Option<Spanned<Vec<Text>>>,
) -> Vec<PathBuf> {
    const KEY: &str = "cluster.secret_files";
    let Some(many) = many else {
        return faults
            .path("cluster", "secret_file", one)
            .into_iter()
            .collect();
    };
    if one.is_some() {
        let error = ValueError::new("`secret_file` is set too")
            .help("put both in `secret_files`; the first one signs");
        faults.report(KEY, many.referenced, error);
    }
    if many.value.len() > MAX_SECRETS {
        let error = ValueError::new(format!("there are more than {MAX_SECRETS} secrets"))
            .help("a rollover needs two: [new, old]");
        faults.report(KEY, many.referenced, error);
    }
    let mut seen = HashSet::new();
    for (i, text) in many.value.iter().enumerate() {
        if !seen.insert(&text.value) {
            let error = ValueError::new(format!("`{}` is listed already", text.value));
            faults.report(&format!("{KEY}[{i}]"), text.referenced, error);
        }
    }
    faults.each(KEY, many.value, scalar::path)
}
