//! Turns what stands in the file into what cannot be wrong, noting every fault on the way.
//!
//! A value that is refused is replaced by its default so that the rest can be looked at too; since
//! a fault was noted, the result is then thrown away.

use std::{collections::HashSet, num::NonZeroUsize, path::PathBuf, time::Duration};

use log::LevelFilter;
use serde_saphyr::Spanned;

use super::{
    Aggregate, Auth, Browse, Cluster, ClusterMode, Config, Engine, EngineTls, InfoOf, KeyFile,
    KeyMaterial, Listen, ListenTls, Log, LogFormat, Partial, Portainer, SecretSource, Socket,
    address, certificates,
    error::{Fault, ValueError},
    faults::Faults,
    grant,
    policies::Policies,
    raw::{self, Raw, Text},
    scalar, sockets,
};

const MAX_SECRETS: usize = 4;
const MAX_THREADS: usize = 1024;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

const MODES: &[(&str, ClusterMode)] = &[
    ("auto", ClusterMode::Auto),
    ("on", ClusterMode::On),
    ("off", ClusterMode::Off),
];
const INFO: &[(&str, InfoOf)] = &[("manager", InfoOf::Manager), ("cluster", InfoOf::Cluster)];
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
const FLAGS: &[(&str, bool)] = &[("true", true), ("false", false)];

/// The configuration, or all its faults.
pub(super) fn validate(raw: Raw) -> Result<Config, Vec<Fault>> {
    let mut faults = Faults::default();
    let default = Config::default();
    let policies = Policies::read(&mut faults, raw.policies.unwrap_or_default());
    let location = raw.listen.as_ref().map(|list| list.referenced);
    let listeners = listen(&mut faults, &policies, raw.listen);
    let (listen, sockets) = listeners.unwrap_or((default.listen, default.sockets));
    let config = Config {
        file: None,
        listen,
        sockets,
        engine: engine(&mut faults, raw.engine).unwrap_or(default.engine),
        cluster: cluster(&mut faults, raw.cluster.unwrap_or_default()),
        auth: auth(&mut faults, &policies, raw.auth.unwrap_or_default()),
        policies: policies.all().cloned().collect(),
        audit: faults.path("audit", "file", raw.audit.and_then(|audit| audit.file)),
        browse: browse(&mut faults, raw.browse.unwrap_or_default()),
        aggregate: aggregate(&mut faults, raw.aggregate.unwrap_or_default()),
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
    if let (true, Some(location), true) = (
        config.listen.is_empty() && !config.sockets.is_empty(),
        location,
        config.cluster.mode != ClusterMode::Off,
    ) {
        let error = ValueError::new("other agents cannot reach an agent that has sockets only")
            .help("add an address, for example `- address: 0.0.0.0:9001`, or set `cluster: { mode: off }`");
        faults.note("listen", location, error);
    }
    if faults.0.is_empty() {
        Ok(config)
    } else {
        Err(faults.0)
    }
}

fn listen(
    faults: &mut Faults,
    policies: &Policies,
    raw: Option<Spanned<Vec<raw::Listen>>>,
) -> Option<(Vec<Listen>, Vec<Socket>)> {
    let Spanned {
        value, referenced, ..
    } = raw?;
    if value.is_empty() {
        let error = ValueError::new("an agent must listen somewhere")
            .help("name an address, or leave `listen` out for 0.0.0.0:9001");
        faults.note("listen", referenced, error);
    }
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    let mut seen_sockets = sockets::Seen::default();
    let mut all_sockets = Vec::new();
    for (i, one) in value.into_iter().enumerate() {
        let key = format!("listen[{i}]");
        if one.socket.is_some() {
            all_sockets.extend(sockets::read(
                faults,
                policies,
                &key,
                one,
                &mut seen_sockets,
            ));
            continue;
        }
        sockets::none(faults, &key, &one);
        let default = Listen::default().address;
        let location = one.address.as_ref().map_or(referenced, |t| t.referenced);
        let address_key = format!("{key}.address");
        let address = faults.or(&address_key, one.address, default, address::listen_address);
        if address.port() != 0 && !seen.insert(address) {
            let error = ValueError::new(format!("`{address}` is listened on already"));
            faults.note(&address_key, location, error);
        }
        let tls = one.tls.map(|tls| tls.value).unwrap_or_default();
        let key = format!("{key}.tls");
        all.push(Listen {
            address,
            tls: ListenTls {
                certificate: faults.certificate(&key, tls.certificate_file, tls.key_file),
                names: faults.each(
                    &format!("{key}.names"),
                    tls.names.unwrap_or_default(),
                    address::certificate_name,
                ),
            },
        });
    }
    Some((all, all_sockets))
}

fn engine(faults: &mut Faults, raw: Option<Spanned<raw::Engine>>) -> Option<Engine> {
    let Spanned {
        value,
        referenced,
        defined,
    } = raw?;
    let map = match value {
        raw::Engine::Address(text) => {
            let text = Spanned::new(text, referenced, defined);
            return faults.read("engine", Some(text), str::parse);
        }
        raw::Engine::Map(map) => *map,
    };
    let Some(text) = map.address else {
        let error = ValueError::new("this needs `address`").help("for example tcp://10.0.0.1:2376");
        faults.note("engine", referenced, error);
        return None;
    };
    let tls = map.tls.map(|tls| (engine_tls(faults, tls), text.clone()));
    let engine: Engine = faults.read("engine.address", Some(text), str::parse)?;
    let Some((tls, text)) = tls else {
        return Some(engine);
    };
    let tls = tls?;
    faults.read("engine.address", Some(text), |named| {
        engine.with_tls(named, tls)
    })
}

fn engine_tls(faults: &mut Faults, raw: Spanned<raw::EngineTls>) -> Option<EngineTls> {
    const KEY: &str = "engine.tls";
    if raw.value.ca_file.is_none() {
        let error = ValueError::new("this needs `ca_file`")
            .help("the CA that the engine's certificate comes from, for example /certs/ca.pem");
        faults.note(KEY, raw.referenced, error);
    }
    let certificate = faults.certificate(KEY, raw.value.certificate_file, raw.value.key_file);
    Some(EngineTls {
        ca_file: faults.path(KEY, "ca_file", raw.value.ca_file)?,
        certificate,
    })
}

fn cluster(faults: &mut Faults, raw: raw::Cluster) -> Cluster {
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
        faults.note(KEY, many.referenced, error);
    }
    if many.value.len() > MAX_SECRETS {
        let error = ValueError::new(format!("there are more than {MAX_SECRETS} secrets"))
            .help("a rollover needs two: [new, old]");
        faults.note(KEY, many.referenced, error);
    }
    let mut seen = HashSet::new();
    for (i, text) in many.value.iter().enumerate() {
        if !seen.insert(&text.value) {
            let error = ValueError::new(format!("`{}` is listed already", text.value));
            faults.note(&format!("{KEY}[{i}]"), text.referenced, error);
        }
    }
    faults.each(KEY, many.value, scalar::path)
}

fn auth(faults: &mut Faults, policies: &Policies, raw: raw::Auth) -> Auth {
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for (i, raw) in raw.keys.unwrap_or_default().into_iter().enumerate() {
        let key = format!("auth.keys[{i}]");
        let location = raw.value.id.as_ref().map(|text| text.referenced);
        let read = key_file(faults, policies, &key, raw);
        if let (Some(location), Some(read)) = (location, &read)
            && !seen.insert(read.id.clone())
        {
            let error = ValueError::new(format!("`{}` is the id of another key", read.id));
            faults.note(&format!("{key}.id"), location, error);
        }
        keys.extend(read);
    }
    Auth {
        keys,
        window: faults.or("auth.window", raw.window, Auth::default().window, |text| {
            scalar::duration(text, Duration::from_secs(1)..=5 * MINUTE)
        }),
        portainer: raw
            .portainer
            .and_then(|raw| portainer(faults, policies, raw)),
        certificates: raw
            .certificates
            .and_then(|raw| certificates::read(faults, policies, raw)),
    }
}

fn portainer(
    faults: &mut Faults,
    policies: &Policies,
    raw: Spanned<raw::Portainer>,
) -> Option<Portainer> {
    const KEY: &str = "auth.portainer";
    let location = raw.referenced;
    let raw = raw.value;
    let grant = grant::Raw {
        policy: raw.policy,
        networks: raw.networks,
        limits: raw.limits,
    };
    let grant = grant.read(faults, policies, KEY, location);
    let first_use = raw
        .first_use
        .as_ref()
        .map_or(location, |text| text.referenced);
    let read = Portainer {
        secret: faults
            .path(KEY, "secret_file", raw.secret_file)
            .map(SecretSource::File),
        public_key_file: faults.path(KEY, "public_key_file", raw.public_key_file),
        first_use: faults.or("auth.portainer.first_use", raw.first_use, false, |text| {
            scalar::choice(text, "true or false", FLAGS)
        }),
        grant: grant?,
    };
    if read.first_use && read.public_key_file.is_some() {
        let error = ValueError::new("`public_key_file` is set too")
            .help("that key is the only one, also at the first use: leave one out");
        faults.note("auth.portainer.first_use", first_use, error);
    }
    if !read.first_use && read.secret.is_none() && read.public_key_file.is_none() {
        let error = ValueError::new("this needs `secret_file` or `public_key_file`").help(
            "for example `secret_file: /run/secrets/agent_secret`, the AGENT_SECRET of the server; \
             `first_use: true` trusts the first server that calls",
        );
        faults.note(KEY, location, error);
    }
    Some(read)
}

fn browse(faults: &mut Faults, raw: raw::Browse) -> Browse {
    Browse {
        host: faults.path("browse", "host", raw.host),
    }
}

fn key_file(
    faults: &mut Faults,
    policies: &Policies,
    key: &str,
    raw: Spanned<raw::Key>,
) -> Option<KeyFile> {
    let location = raw.referenced;
    let raw = raw.value;
    if raw.id.is_none() {
        let error = ValueError::new("a key needs `id`").help("for example `id: ci`");
        faults.note(key, location, error);
    }
    let grant = grant::Raw {
        policy: raw.policy,
        networks: raw.networks,
        limits: raw.limits,
    };
    let grant = grant.read(faults, policies, key, location);
    let id = faults.read(&format!("{key}.id"), raw.id, scalar::key_id);
    let unsigned_streams = faults.or(
        &format!("{key}.unsigned_streams"),
        raw.unsigned_streams,
        false,
        |text| scalar::choice(text, "true or false", FLAGS),
    );
    let material = match (raw.secret_file, raw.public_key_file) {
        (Some(_), Some(public)) => {
            let error = ValueError::new("`secret_file` is set too")
                .help("a key is either shared or public: leave one out");
            faults.note(&format!("{key}.public_key_file"), public.referenced, error);
            None
        }
        (None, None) => {
            let error = ValueError::new("a key needs `secret_file` or `public_key_file`")
                .help("for example `secret_file: /run/secrets/ci_key`");
            faults.note(key, location, error);
            None
        }
        (Some(file), None) => faults
            .path(key, "secret_file", Some(file))
            .map(KeyMaterial::Secret),
        (None, file) => faults
            .path(key, "public_key_file", file)
            .map(KeyMaterial::PublicKey),
    };
    Some(KeyFile {
        id: id?,
        material: material?,
        grant: grant?,
        unsigned_streams,
    })
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
