//! Turns the raw settings into a [`Config`], or into the list of all faults.
//!
//! A wrong value is replaced by its default, so that the rest can be checked
//! too; the result is dropped if there was a fault.

use std::num::NonZeroUsize;
use std::time::Duration;

use log::LevelFilter;
use serde_saphyr::Location;

use super::cluster::{self, ClusterMode};
use super::error::{Fault, ValueError};
use super::faults::Faults;
use super::listen::Listeners;
use super::policies::Policies;
use super::raw::{self, Raw};
use super::scalar::{self, MINUTE};
use super::settings::{
    Aggregate, ApiVersions, Audit, Auth, Browse, Config, Images, InfoOf, Log, LogFormat, Partial,
};
use super::{certificates, engine, keys, listen, portainer};

const MAX_THREADS: usize = 1024;

const INFO: &[(&str, InfoOf)] = &[("manager", InfoOf::Manager), ("cluster", InfoOf::Cluster)];
const API_VERSIONS: &[(&str, ApiVersions)] = &[
    ("translate", ApiVersions::Translate),
    ("strict", ApiVersions::Strict),
];
const PARTIAL: &[(&str, Partial)] = &[("allow", Partial::Allow), ("refuse", Partial::Refuse)];
const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const LEVELS: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// The configuration, or all its faults.
pub(super) fn validate(raw: Raw) -> Result<Config, Vec<Fault>> {
    let mut faults = Faults::default();
    let default = Config::default();
    let policies = Policies::read(&mut faults, raw.policies.unwrap_or_default());
    let location = raw.listen.as_ref().map(|list| list.referenced);
    let listeners = match raw.listen {
        Some(list) => listen::read(&mut faults, &policies, list),
        None => Listeners::default(),
    };
    let config = Config {
        file: None,
        listen: listeners.addresses,
        sockets: listeners.sockets,
        plain: listeners.plain,
        engine: raw
            .engine
            .and_then(|raw| engine::read(&mut faults, raw))
            .unwrap_or(default.engine),
        cluster: cluster::read(&mut faults, raw.cluster.unwrap_or_default()),
        auth: auth(&mut faults, &policies, raw.auth.unwrap_or_default()),
        policies: policies.all().cloned().collect(),
        audit: audit(&mut faults, raw.audit.unwrap_or_default()),
        browse: browse(&mut faults, raw.browse.unwrap_or_default()),
        aggregate: aggregate(&mut faults, raw.aggregate.unwrap_or_default()),
        api_versions: faults.or(
            "api_versions",
            raw.api_versions,
            default.api_versions,
            |text| scalar::choice(text, "a way to treat API versions", API_VERSIONS),
        ),
        images: images(&mut faults, raw.images.unwrap_or_default()),
        log: log(&mut faults, raw.log.unwrap_or_default()),
        state_dir: faults.or("state_dir", raw.state_dir, default.state_dir, scalar::path),
        drain: faults.or("drain", raw.drain, default.drain, |text| {
            scalar::duration(text, Duration::ZERO..=60 * MINUTE)
        }),
        threads: faults
            .read("threads", raw.threads, |text| {
                scalar::whole(text, 1..=MAX_THREADS)
            })
            .and_then(NonZeroUsize::new),
    };
    if let Some(location) = location {
        other_agents_reach(&mut faults, &config, location);
    }
    if faults.0.is_empty() {
        Ok(config)
    } else {
        Err(faults.0)
    }
}

/// An agent of a cluster needs an address.
fn other_agents_reach(faults: &mut Faults, config: &Config, location: Location) {
    let others_only = !config.sockets.is_empty() || !config.plain.is_empty();
    let no_address = config.listen.is_empty() && others_only;
    if no_address && config.cluster.mode != ClusterMode::Off {
        let error = ValueError::new("other agents cannot reach an agent that has sockets only, or listeners without TLS")
            .help("add an address, for example `- address: 0.0.0.0:9001`, or set `cluster: { mode: off }`");
        faults.report("listen", location, error);
    }
}

fn auth(faults: &mut Faults, policies: &Policies, raw: raw::Auth) -> Auth {
    Auth {
        keys: keys::read(faults, policies, raw.keys.unwrap_or_default()),
        window: faults.or("auth.window", raw.window, Auth::default().window, |text| {
            scalar::duration(text, Duration::from_secs(1)..=5 * MINUTE)
        }),
        accept_without_audience: faults.or(
            "auth.accept_without_audience",
            raw.accept_without_audience,
            Auth::default().accept_without_audience,
            scalar::flag,
        ),
        contact: faults.read("auth.contact", raw.contact, scalar::contact),
        portainer: raw
            .portainer
            .and_then(|raw| portainer::read(faults, policies, raw)),
        certificates: raw
            .certificates
            .and_then(|raw| certificates::read(faults, policies, raw)),
    }
}

fn audit(faults: &mut Faults, raw: raw::Audit) -> Option<Audit> {
    let routine = faults.or("audit.routine", raw.routine, false, scalar::flag);
    let file = faults.path("audit", "file", raw.file)?;
    Some(Audit { file, routine })
}

fn browse(faults: &mut Faults, raw: raw::Browse) -> Browse {
    Browse {
        host: faults.path("browse", "host", raw.host),
    }
}

fn aggregate(faults: &mut Faults, raw: raw::Aggregate) -> Aggregate {
    let default = Aggregate::default();
    Aggregate {
        deadline: faults.or(
            "aggregate.deadline",
            raw.deadline,
            default.deadline,
            |text| scalar::duration(text, Duration::from_millis(100)..=5 * MINUTE),
        ),
        partial: faults.or("aggregate.partial", raw.partial, default.partial, |text| {
            scalar::choice(text, "a way to treat a partial answer", PARTIAL)
        }),
        max_bytes: faults.or(
            "aggregate.max_bytes",
            raw.max_bytes,
            default.max_bytes,
            |text| scalar::size(text, 1024..=1 << 30),
        ),
        info: faults.or("aggregate.info", raw.info, default.info, |text| {
            scalar::choice(text, "whose numbers to show", INFO)
        }),
        node_label: faults.or(
            "aggregate.node_label",
            raw.node_label,
            default.node_label,
            node_label,
        ),
    }
}

/// The name of a label, or `off`.
fn node_label(text: &str) -> Result<Option<String>, ValueError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    match text {
        "off" => Ok(None),
        _ if (1..=128).contains(&text.len()) && text.bytes().all(plain) => {
            Ok(Some(text.to_owned()))
        }
        _ => Err(
            ValueError::new(format!("`{text}` is not the name of a label"))
                .help("for example skep.node, or off"),
        ),
    }
}

fn images(faults: &mut Faults, raw: raw::Images) -> Images {
    let default = Images::default();
    Images {
        copy: faults.or("images.copy", raw.copy, default.copy, |text| {
            scalar::choice(text, "on or off", &[("on", true), ("off", false)])
        }),
        copy_max_bytes: faults.or(
            "images.copy_max_bytes",
            raw.copy_max_bytes,
            default.copy_max_bytes,
            |text| scalar::size(text, 1 << 20..=1 << 40),
        ),
        copy_timeout: faults.or(
            "images.copy_timeout",
            raw.copy_timeout,
            default.copy_timeout,
            |text| scalar::duration(text, Duration::from_secs(10)..=24 * 60 * MINUTE),
        ),
    }
}

fn log(faults: &mut Faults, raw: raw::Log) -> Log {
    let default = Log::default();
    Log {
        format: faults.or("log.format", raw.format, default.format, |text| {
            scalar::choice(text, "a format", FORMATS)
        }),
        level: faults.or("log.level", raw.level, default.level, |text| {
            scalar::choice(text, "a level", LEVELS)
        }),
    }
}
