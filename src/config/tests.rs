//! Tests whole configurations: the valid ones, and the errors of the others.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use proptest::prelude::*;
use skep_filters::policy::{Must, RuleSet, Spec};
use skep_filters::scalar::Size;

use super::*;

fn parse(text: &str) -> Config {
    Config::parse("skep.yaml", text).unwrap_or_else(|e| panic!("{e}"))
}

fn refuse(text: &str) -> ConfigErrors {
    Config::parse("skep.yaml", text).expect_err(text)
}

#[test]
fn an_empty_file_is_a_valid_configuration() {
    for text in ["", "# only a comment\n", "{}", "---\n", "cluster:\nauth:\n"] {
        assert_eq!(parse(text), Config::default(), "{text}");
    }
    assert_eq!(Config::load(None).unwrap(), Config::default());
}

#[test]
fn the_defaults_match_the_manual() {
    let written = parse(
        "
listen: [ { address: 0.0.0.0:9001 } ]
cluster:
  mode: auto
  discover: []
  secret_files: []
  interval: 5s
  probe_timeout: 2s
  certificate_lifetime: 24h
auth: { keys: [], window: 30s, accept_without_audience: false }
aggregate: { deadline: 3s, partial: allow, max_bytes: 64MiB }
log: { format: text, level: info }
state_dir: /var/lib/skep
drain: 30s
",
    );
    assert_eq!(written, Config::default());
}

#[test]
fn every_setting_reaches_its_field() {
    let config = parse(
        "
listen:
  - address: 127.0.0.1:9443
    tls: { certificate_file: c.pem, key_file: k.pem, names: [Docker.example.com, 10.0.0.1] }
  - address: '[::]:0'
  - { socket: /run/s, owner: 1, group: 2, mode: '0600', name: t, policy: admin, uids: [ { uid: 3, name: u, policy: admin } ] }
engine:
  address: tcp://engine
  tls: { ca_file: ca.pem, certificate_file: cert.pem, key_file: key.pem }
cluster:
  mode: on
  container: agent
  operator: off
  operator_key_file: /operator.pem
  discover: ['dns:agents:9002', srv:_skep._tcp.example, 'static:10.0.0.1:9001, 10.0.0.2:9001']
  secret_files: [/new, /old]
  interval: 1m
  probe_timeout: 500ms
  certificate_lifetime: 1h30m
auth:
  keys:
    - { id: ci, secret_file: /ci, policy: deploys, networks: [10.1.0.0/8], limits: { per_second: 5, at_once: 2 }, node: n2, unsigned_streams: true }
    - { id: ops, public_key_file: /ops, policy: admin }
  window: 5m
  accept_without_audience: true
  contact: ' ops@example.com '
  portainer: { secret_file: /agent, first_use: true, policy: admin }
  certificates: { identities: [ { name: bob, policy: admin } ], revoked_file: /revoked }
policies:
  deploys: { allow: [services.*], audit_only: true }
audit: { file: /var/log/audit, routine: true }
browse: { host: /host }
aggregate: { deadline: 1s, partial: refuse, max_bytes: 1MiB, info: cluster, node_label: where }
api_versions: strict
images: { copy: off, copy_max_bytes: 2GiB, copy_timeout: 1m }
log: { format: json, level: off }
state_dir: /state
drain: 0s
threads: 2
",
    );
    let seconds = Duration::from_secs;
    let spec = Spec {
        audit_only: true,
        ..Spec::allowing(["services.*"])
    };
    let deploys = Policy {
        name: "deploys".into(),
        rules: RuleSet::new(&spec).unwrap(),
    };
    let expected = Config {
        plain: Vec::new(),
        file: None,
        listen: vec![
            Listen {
                address: "127.0.0.1:9443".parse().unwrap(),
                tls: ListenTls {
                    certificate: Some(("c.pem".into(), "k.pem".into())),
                    names: vec!["docker.example.com".into(), "10.0.0.1".into()],
                },
            },
            Listen {
                address: "[::]:0".parse().unwrap(),
                tls: ListenTls::default(),
            },
        ],
        sockets: vec![Socket {
            path: "/run/s".into(),
            owner: Some(1),
            group: Some(2),
            mode: 0o600,
            users: vec![SocketUser {
                uid: 3,
                identity: SocketIdentity {
                    name: "u".into(),
                    grant: Grant::admin(),
                },
            }],
            others: Some(SocketIdentity {
                name: "t".into(),
                grant: Grant::admin(),
            }),
        }],
        engine: Engine::Tcp {
            host: "engine".into(),
            port: 2376,
            tls: Some(EngineTls {
                ca_file: "ca.pem".into(),
                certificate: Some(("cert.pem".into(), "key.pem".into())),
            }),
        },
        cluster: Cluster {
            mode: ClusterMode::On,
            discover: vec![
                Discover::Dns {
                    name: "agents".into(),
                    port: Some(9002),
                },
                Discover::Srv {
                    name: "_skep._tcp.example".into(),
                },
                Discover::Static(vec![
                    "10.0.0.1:9001".parse().unwrap(),
                    "10.0.0.2:9001".parse().unwrap(),
                ]),
            ],
            container: Some("agent".into()),
            operator: Operator::Key("/operator.pem".into()),
            secret_files: vec!["/new".into(), "/old".into()],
            interval: seconds(60),
            probe_timeout: Duration::from_millis(500),
            portainer_secret: None,
            certificate_lifetime: seconds(5400),
        },
        auth: Auth {
            keys: vec![
                KeyFile {
                    id: "ci".into(),
                    material: KeyMaterial::Secret("/ci".into()),
                    grant: Grant {
                        networks: vec!["10.0.0.0/8".parse().unwrap()],
                        limits: Limits {
                            per_second: 5.try_into().ok(),
                            at_once: 2.try_into().ok(),
                        },
                        node: Some("n2".into()),
                        nodes: Nodes::All,
                        ..Grant::of(deploys.clone())
                    },
                    unsigned_streams: true,
                },
                KeyFile {
                    id: "ops".into(),
                    material: KeyMaterial::PublicKey("/ops".into()),
                    grant: Grant::admin(),
                    unsigned_streams: false,
                },
            ],
            window: seconds(300),
            accept_without_audience: true,
            contact: Some("ops@example.com".into()),
            portainer: Some(Portainer {
                secret: Some(SecretSource::File("/agent".into())),
                public_key_file: None,
                first_use: true,
                grant: Grant::admin(),
            }),
            certificates: Some(Certificates {
                identities: vec![CertificateIdentity {
                    name: "bob".into(),
                    grant: Grant::admin(),
                }],
                revoked_file: Some("/revoked".into()),
            }),
        },
        policies: vec![Arc::new(deploys)],
        audit: Some(Audit {
            file: "/var/log/audit".into(),
            routine: true,
        }),
        browse: Browse {
            host: Some("/host".into()),
        },
        aggregate: Aggregate {
            deadline: seconds(1),
            partial: Partial::Refuse,
            max_bytes: 1 << 20,
            info: InfoOf::Cluster,
            node_label: Some("where".into()),
        },
        api_versions: ApiVersions::Strict,
        images: Images {
            copy: false,
            copy_max_bytes: 2 << 30,
            copy_timeout: seconds(60),
        },
        log: Log {
            format: LogFormat::Json,
            level: LevelFilter::Off,
        },
        state_dir: "/state".into(),
        drain: Duration::ZERO,
        threads: NonZeroUsize::new(2),
    };
    assert_eq!(config, expected);
}

#[test]
fn settings_and_policies_read_the_same_sizes() {
    for (text, bytes) in [
        ("65536", 65_536),
        ("65536B", 65_536),
        ("64k", 65_536),
        ("64KiB", 65_536),
        ("64kB", 64_000),
        ("512m", 512 << 20),
        ("512MiB", 512 << 20),
        ("512MB", 512_000_000),
        ("1g", 1 << 30),
        ("1GiB", 1 << 30),
    ] {
        let config = parse(&format!(
            "aggregate: {{ max_bytes: {text} }}
policies: {{ p: {{ allow: [ping], must: {{ memory: {text} }} }} }}"
        ));
        assert_eq!(config.aggregate.max_bytes, bytes, "{text}");
        let spec = Spec {
            must: Some(Must {
                memory: Some(Size(bytes as u64)),
                ..Must::default()
            }),
            ..Spec::allowing(["ping"])
        };
        let rules = &config.policies[0].rules;
        assert_eq!(rules, &RuleSet::new(&spec).unwrap(), "{text}");
    }
    for text in ["64 MiB", "1.5g", "1gb", "-1"] {
        for setting in [
            "aggregate: { max_bytes: ",
            "policies: { p: { must: { memory: ",
        ] {
            let closing = " }".repeat(setting.matches('{').count());
            let shown = refuse(&format!("{setting}{text}{closing}")).to_string();
            assert!(shown.contains("512KiB, 64MiB, 1GiB"), "{text}: {shown}");
        }
    }
}

/// Whoever writes one of them could become the operator.
#[test]
fn every_file_that_decides_who_may_call_is_the_agents_own() {
    let mut config = parse(
        "
listen: [{ address: 127.0.0.1:9443, tls: { certificate_file: c.pem, key_file: /tls } }]
cluster: { secret_files: [/new, /old], operator_key_file: /operator }
auth:
  keys:
    - { id: ci, secret_file: /ci, policy: admin }
    - { id: ops, public_key_file: /ops, policy: admin }
  portainer: { secret_file: /agent, public_key_file: /server, policy: admin }
  certificates: { identities: [ { name: bob, policy: admin } ], revoked_file: /revoked }
state_dir: /state
",
    );
    config.file = Some("/skep.yaml".into());
    let own: Vec<_> = config.own_paths().collect();
    for path in [
        "/tls",
        "/new",
        "/old",
        "/operator",
        "/ci",
        "/ops",
        "/agent",
        "/server",
        "/revoked",
        "/state",
        "/skep.yaml",
    ] {
        assert!(own.contains(&Path::new(path)), "{path}: {own:?}");
    }
}

#[test]
fn every_file_in_conf_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut valid = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            Config::load(Some(&path)).unwrap_or_else(|e| panic!("{e}"));
            valid.push(path.file_name().unwrap().to_owned());
        }
    }
    for name in ["host.yaml", "standalone.yaml", "swarm.yaml"] {
        assert!(valid.iter().any(|t| t == name), "{name}: {valid:?}");
    }
}

/// A configuration with one fault, its line, its key, and a part of the
/// message.
#[test]
fn a_fault_is_reported_with_its_line_its_key_and_a_suggestion() {
    #[rustfmt::skip]
    let table = [
        // Settings that do not exist.
        ("clutser: {}", 1, "clutser", "did you mean `cluster`?"),
        ("cluster:\n  dicover: [dns:a]", 2, "dicover", "did you mean `discover`?"),
        ("cluster: { secret-file: a }", 1, "secret-file", "did you mean `secret_file`?"),
        ("listen:\n  - adress: 0.0.0.0:1", 2, "adress", "did you mean `address`?"),
        ("engine: { tsl: {} }", 1, "tsl", "did you mean `tls`?"),
        ("auth:\n  keys:\n    - id: a\n      plicy: admin", 4, "plicy", "did you mean `policy`?"),
        ("polices: {}", 1, "polices", "did you mean `policies`?"),
        // Values of the wrong kind.
        ("drain: 5s\ndrain: 6s", 2, "drain", "set twice"),
        ("log: json", 1, "log", "must be a map"),
        ("listen: 0.0.0.0:9001", 1, "listen", "must be a list"),
        ("log:\n  level: [info]", 2, "level", "must be a single value"),
        ("engine: [unix:///a]", 1, "engine", "must be an address, or a map"),
        // Invalid values.
        ("listen: []", 1, "listen", "leave `listen` out"),
        ("listen: [ { address: 9001 } ]", 1, "listen[0].address", "did you mean `0.0.0.0:9001`?"),
        ("listen:\n  - {}\n  - address: 0.0.0.0:9001", 3, "listen[1].address", "already"),
        ("listen: [ { tls: { key_file: k } } ]", 1, "listen[0].tls.key_file", "`certificate_file` beside it"),
        ("listen: [ { tls: { names: [a, b c] } } ]", 1, "listen[0].tls.names[1]", "docker.example.com"),
        ("listen:\n  - socket: /s\n    policy: admin", 2, "listen", "`cluster: { mode: off }`"),
        ("listen: [ {}, { socket: s, policy: admin } ]", 1, "listen[1].socket", "/run/skep/traefik.sock"),
        ("listen: [ {}, { socket: /s/, policy: admin } ]", 1, "listen[1].socket", "/run/skep/traefik.sock"),
        ("listen: [ {}, { socket: /s } ]", 1, "listen[1].socket", "`policy` or `uids`"),
        ("listen: [ {}, { socket: /s, uids: [] } ]", 1, "listen[1].socket", "`policy` or `uids`"),
        ("listen: [ {}, { socket: /s, policy: admin, address: 0.0.0.0:1 } ]", 1, "listen[1].address", "an entry of its own"),
        ("listen: [ {}, { socket: /s, policy: admin, tls: {} } ]", 1, "listen[1].tls", "an entry of its own"),
        ("listen:\n  - {}\n  - { socket: /s, policy: admin }\n  - { socket: /s, policy: admin }", 4, "listen[2].socket", "already"),
        ("listen: [ {}, { socket: /s, policy: ro } ]", 1, "listen[1].policy", "there is: `admin`"),
        ("listen: [ {}, { socket: /s, policy: admin, owner: root } ]", 1, "listen[1].owner", "`id -u NAME`"),
        ("listen: [ {}, { socket: /s, policy: admin, group: docker } ]", 1, "listen[1].group", "/etc/passwd"),
        ("listen: [ {}, { socket: /s, policy: admin, mode: 0999 } ]", 1, "listen[1].mode", "\"0660\""),
        ("listen: [ {}, { socket: /s, policy: admin, name: a b } ]", 1, "listen[1].name", "for example `alice`"),
        ("listen: [ {}, { socket: /a b.sock, policy: admin } ]", 1, "listen[1].name", "for example `alice`"),
        ("listen: [ {}, { socket: /s, uids: [ { name: a, policy: admin } ] } ]", 1, "listen[1].uids[0]", "`uid: 1000`"),
        ("listen: [ {}, { socket: /s, uids: [ { uid: 1, policy: admin } ] } ]", 1, "listen[1].uids[0]", "`name: backup`"),
        ("listen: [ {}, { socket: /s, uids: [ { uid: 1, name: a } ] } ]", 1, "listen[1].uids[0]", "needs `policy`"),
        ("listen: [ {}, { socket: /s, uids: [ { uid: me, name: a, policy: admin } ] } ]", 1, "listen[1].uids[0].uid", "`id -u NAME`"),
        ("listen:\n- {}\n- socket: /s\n  uids:\n  - { uid: 1, name: a, policy: admin }\n  - { uid: 1, name: b, policy: admin }", 6, "listen[1].uids[1].uid", "listed already"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: yes } ]", 1, "listen[1].plain", "`true`, `false`"),
        ("listen: [ {}, { plain: true, networks: [10.0.0.0/8], policy: read-only } ]", 1, "listen[1].plain", "0.0.0.0:2375"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, policy: read-only } ]", 1, "listen[1].plain", "`networks`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [], policy: read-only } ]", 1, "listen[1].plain", "`networks`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8] } ]", 1, "listen[1].plain", "`policy` or `callers`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [] } ]", 1, "listen[1].plain", "`policy` or `callers`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [traefik], policy: read-only } ]", 1, "listen[1].networks[0]", "10.0.0.0/8"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], policy: ro } ]", 1, "listen[1].policy", "there is: `admin`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], policy: read-only, tls: {} } ]", 1, "listen[1].tls", "`plain: true`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], policy: read-only, mode: 0600 } ]", 1, "listen[1].mode", "goes with `socket`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], policy: read-only, uids: [ { uid: 1, name: a, policy: admin } ] } ]", 1, "listen[1].uids", "goes with `socket`"),
        ("listen:\n  - {}\n  - { address: 0.0.0.0:9001, plain: true, networks: [10.0.0.0/8], policy: read-only }", 3, "listen[1].address", "already"),
        ("listen:\n  - address: 1.1.1.1:1\n    plain: true\n    networks: [10.0.0.0/8]\n    policy: read-only", 2, "listen", "`cluster: { mode: off }`"),
        ("listen: [ { networks: [10.0.0.0/8] } ]", 1, "listen[0].networks", "`plain: true`"),
        ("listen: [ { plain: false, networks: [10.0.0.0/8] } ]", 1, "listen[0].networks", "`plain: true`"),
        ("listen: [ { callers: [ { service: a, policy: admin } ] } ]", 1, "listen[0].callers", "`plain: true`"),
        ("listen: [ {}, { socket: /s, policy: admin, plain: true } ]", 1, "listen[1].plain", "an entry of its own"),
        ("listen: [ {}, { socket: /s, policy: admin, networks: [10.0.0.0/8] } ]", 1, "listen[1].networks", "an entry of its own"),
        ("listen: [ {}, { socket: /s, policy: admin, callers: [ { service: a, policy: admin } ] } ]", 1, "listen[1].callers", "an entry of its own"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [ { policy: read-only } ] } ]", 1, "listen[1].callers[0]", "`container`, `service` and `label`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [ { service: a, label: b, policy: read-only } ] } ]", 1, "listen[1].callers[0]", "needs one of"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [ { service: a } ] } ]", 1, "listen[1].callers[0]", "`policy: read-only`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [ { container: /a, policy: read-only } ] } ]", 1, "listen[1].callers[0].container", "for example traefik"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [ { label: 'a b', policy: read-only } ] } ]", 1, "listen[1].callers[0].label", "skep.policy"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [ { label: role=proxy } ] } ]", 1, "listen[1].callers[0].label", "needs `policy`"),
        ("listen: [ {}, { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], callers: [ { label: role, name: a } ] } ]", 1, "listen[1].callers[0].label", "needs `policy`"),
        ("listen:\n- {}\n- { address: 1.1.1.1:1, plain: true, networks: [10.0.0.0/8], policy: read-only, name: a }\n- { socket: /s, policy: admin, name: a }", 4, "listen[2].name", "another name"),
        ("listen: [ { mode: 0600 } ]", 1, "listen[0].mode", "goes with `socket`"),
        ("listen: [ { policy: admin } ]", 1, "listen[0].policy", "see `auth`"),
        ("listen: [ { uids: [ { uid: 1 } ] } ]", 1, "listen[0].uids", "goes with `socket`"),
        ("engine: /run/docker.sock", 1, "engine", "did you mean `unix:///run/docker.sock`?"),
        ("engine:\n  address: http://a", 2, "engine.address", "did you mean `tcp://a`?"),
        ("engine:\n  tls: { ca_file: a }", 2, "engine", "needs `address`"),
        ("engine:\n  address: unix:///a\n  tls: { ca_file: a }", 2, "engine.address", "cannot have TLS"),
        ("engine: { address: tcp://a, tls: {} }", 1, "engine.tls", "needs `ca_file`"),
        ("cluster: { mode: offf }", 1, "cluster.mode", "did you mean `off`?"),
        ("cluster: { mode: sometimes }", 1, "cluster.mode", "it can be: `auto`, `on`, `off`"),
        ("cluster: { discover: [dns:a, dsn:b] }", 1, "cluster.discover[1]", "did you mean `dns:`?"),
        ("cluster: { secret_file: '' }", 1, "cluster.secret_file", "not a path"),
        ("cluster:\n  secret_file: a\n  secret_files: [b]", 3, "cluster.secret_files", "the first one signs"),
        ("cluster: { secret_files: [a, b, c, d, e] }", 1, "cluster.secret_files", "more than 4"),
        ("cluster: { secret_files: [a, a] }", 1, "cluster.secret_files[1]", "listed already"),
        ("cluster: { interval: 5 }", 1, "cluster.interval", "500ms, 30s, 5m"),
        ("cluster: { probe_timeout: 2m }", 1, "cluster.probe_timeout", "from 100ms to 1m"),
        ("cluster: { certificate_lifetime: 1s }", 1, "cluster.certificate_lifetime", "from 1m to 365d"),
        ("auth: { window: 301s }", 1, "auth.window", "from 1s to 5m"),
        ("auth: { contact: ' ' }", 1, "auth.contact", "1 to 200 characters"),
        ("auth: { contact: \"a\\nb\" }", 1, "auth.contact", "on one line"),
        ("auth: { window: 999ms }", 1, "auth.window", "from 1s to 5m"),
        ("auth: { keys: [ { id: a b, secret_file: f, policy: admin } ] }", 1, "auth.keys[0].id", "for example `ci`"),
        ("auth: { keys: [ { secret_file: f, policy: admin } ] }", 1, "auth.keys[0]", "`id: ci`"),
        ("auth: { keys: [ { id: a, policy: admin } ] }", 1, "auth.keys[0]", "`secret_file` or `public_key_file`"),
        ("auth: { keys: [ { id: a, secret_file: f } ] }", 1, "auth.keys[0]", "`policy: read-only`"),
        ("auth: { keys: [ { id: a, secret_file: f, policy: deploy } ] }", 1, "auth.keys[0].policy", "there is: `admin`"),
        ("auth: { keys: [ { id: a, secret_file: f, policy: red-only } ] }", 1, "auth.keys[0].policy", "did you mean `read-only`?"),
        ("auth: { keys: [ { id: a, secret_file: f, policy: admin, networks: [10.0.0.0/99] } ] }", 1, "auth.keys[0].networks[0]", "10.0.0.0/8"),
        ("auth: { keys: [ { id: a, secret_file: f, policy: admin, limits: { at_once: 0 } } ] }", 1, "auth.keys[0].limits.at_once", "from 1"),
        ("policies:\n  admin: { allow: [ping] }", 2, "policies.admin", "`preset: NAME`"),
        ("policies:\n  read-only: { allow: [ping] }", 2, "policies.read-only", "a name of your own"),
        ("policies:\n  p:\n    allow:\n      - ping\n      - containers", 5, "policies.p.allow[1]", ""),
        ("policies:\n  p:\n    rules:\n      - { allow: [exec], node: { labels: { zone: a } } }\n      - { deny: [secret.read] }", 5, "policies.p.rules[1].deny[0]", ""),
        ("policies:\n  p:\n    allow: [ping]\n    may:\n      binds: [/srv,\n        srv]", 6, "policies.p.may.binds[1]", ""),
        ("policies: { p: { alow: [ping] } }", 1, "alow", "did you mean `allow`?"),
        ("auth: { keys: [ { id: a, secret_file: f, policy: admin, node: 'a b' } ] }", 1, "auth.keys[0].node", "`a b` is not"),
        ("auth: { keys: [ { id: a, secret_file: f, policy: admin, nodes: n2 } ] }", 1, "auth.keys[0].nodes", "`all`, `self`"),
        ("auth: { certificates: { identities: [ { name: a, policy: admin, nodes: slef } ] } }", 1, "auth.certificates.identities[0].nodes", "did you mean `self`?"),
        ("listen: [ {}, { socket: /s, policy: admin, nodes: [self] } ]", 1, "nodes", ""),
        ("listen: [ { nodes: self } ]", 1, "listen[0].nodes", "goes with `socket`"),
        ("listen: [ { node: n2 } ]", 1, "listen[0].node", "goes with `socket`"),
        ("aggregate: { node_label: 'a b' }", 1, "aggregate.node_label", "`a b` is not"),
        ("auth: { keys: [ { id: a, secret_file: f, policy: admin, unsigned_streams: yes } ] }", 1, "auth.keys[0].unsigned_streams", "`true`, `false`"),
        ("auth: { keys: [ { id: a, secret_file: f, public_key_file: f, policy: admin } ] }", 1, "auth.keys[0].public_key_file", "leave one out"),
        ("auth: { portainer: { secret_file: f } }", 1, "auth.portainer", "`policy: read-only`"),
        ("auth: { portainer: { policy: admin } }", 1, "auth.portainer", "`first_use: true`"),
        ("auth: { portainer: { policy: admin, first_use: false } }", 1, "auth.portainer", "`first_use: true`"),
        ("auth: { portainer: { policy: admin, secret_file: f, first_use: 1 } }", 1, "auth.portainer.first_use", "`true`, `false`"),
        ("auth: { portainer: { policy: admin, first_use: true, public_key_file: f } }", 1, "auth.portainer.first_use", "leave one out"),
        ("auth: { portainer: { policy: ro, secret_file: f } }", 1, "auth.portainer.policy", "there is: `admin`"),
        ("auth:\n  certificates: {}", 2, "auth.certificates", "needs `identities`"),
        ("auth: { certificates: { identities: [ { policy: admin } ] } }", 1, "auth.certificates.identities[0]", "`name: alice`"),
        ("auth: { certificates: { identities: [ { name: a } ] } }", 1, "auth.certificates.identities[0]", "needs `policy`"),
        ("auth: { certificates: { identities: [ { name: a/b, policy: admin } ] } }", 1, "auth.certificates.identities[0].name", "for example `alice`"),
        ("auth: { certificates: { identities: [ { name: a, policy: ro } ] } }", 1, "auth.certificates.identities[0].policy", "there is: `admin`"),
        ("auth:\n  certificates:\n    identities:\n    - { name: a, policy: admin }\n    - { name: a, policy: admin }", 5, "auth.certificates.identities[1].name", "listed already"),
        ("auth: { certificates: { identities: [], revoked_file: '' } }", 1, "auth.certificates.revoked_file", "not a path"),
        ("browse: { host: '' }", 1, "browse.host", "at least one character"),
        ("aggregate: { deadline: 3 s }", 1, "aggregate.deadline", "500ms, 30s, 5m"),
        ("aggregate: { partial: alow }", 1, "aggregate.partial", "did you mean `allow`?"),
        ("aggregate: { max_bytes: 64 }", 1, "aggregate.max_bytes", "from 1KiB to 1GiB"),
        ("aggregate: { max_bytes: 64 MiB }", 1, "aggregate.max_bytes", "512KiB, 64MiB, 1GiB"),
        ("aggregate: { max_bytes: 2GiB }", 1, "aggregate.max_bytes", "from 1KiB to 1GiB"),
        ("images: { copy: true }", 1, "images.copy", "`on`, `off`"),
        ("images: { copy_max_bytes: 1kB }", 1, "images.copy_max_bytes", "from 1MiB to 1024GiB"),
        ("images: { copy_timeout: 1s }", 1, "images.copy_timeout", "from 10s to 1d"),
        ("log: { level: INFO }", 1, "log.level", "did you mean `info`?"),
        ("log: { format: jsn }", 1, "log.format", "did you mean `json`?"),
        ("state_dir: ''", 1, "state_dir", "not a path"),
        ("drain: soon", 1, "drain", "500ms, 30s, 5m"),
        ("threads: 0", 1, "threads", "from 1 to 1024"),
    ];
    for (text, line, key, message) in table {
        let errors = refuse(text);
        let [error] = errors.errors() else {
            panic!("{text}: {errors}");
        };
        assert_eq!(error.line, Some(line), "{errors}");
        assert_eq!(error.key.as_deref(), Some(key), "{errors}");
        assert!(errors.to_string().contains(message), "{errors}");
    }
}

#[test]
fn an_id_of_two_keys_is_refused_at_the_second() {
    let errors = refuse(
        "auth:\n  keys:\n    - { id: a, secret_file: f, policy: admin }\n    - { id: a, secret_file: g, policy: admin }\n",
    );
    assert_eq!(errors.errors()[0].line, Some(4));
    assert_eq!(
        errors.errors()[0].key.as_deref(),
        Some("auth.keys[1].id"),
        "{errors}"
    );
}

#[test]
fn all_wrong_values_are_reported_in_the_order_of_the_file() {
    let errors =
        refuse("threads: none\nlog:\n  level: loud\ncluster:\n  mode: maybe\n  interval: 1\n");
    let lines: Vec<_> = errors.errors().iter().filter_map(|e| e.line).collect();
    assert_eq!(lines, [1, 3, 5, 6], "{errors}");
}

#[test]
fn a_fault_is_printed_as_by_a_compiler() {
    assert_eq!(
        refuse("cluster:\n  mode: sometimes # or never\n").to_string(),
        "skep.yaml:2:9: cluster.mode: `sometimes` is not a mode
   |
 2 |   mode: sometimes # or never
   |         ^^^^^^^^^
   = help: it can be: `auto`, `on`, `off`"
    );
}

#[test]
fn a_long_line_is_cut_around_the_fault() {
    let shown = refuse(&format!(
        "cluster: {{ discover: [{}dsn:b{}] }}",
        "dns:a, ".repeat(500),
        ", dns:a".repeat(500)
    ))
    .to_string();
    let lines: Vec<_> = shown.lines().collect();
    let marker = lines[3].find('^').unwrap();
    assert_eq!(lines[2].get(marker..marker + 5), Some("dsn:b"), "{shown}");
    assert!(lines.iter().all(|line| line.len() < 250), "{shown}");
}

#[test]
fn the_value_of_an_unknown_key_is_not_printed() {
    for text in [
        "auth:\n  keys:\n    - secret: hunter2",
        "cluster: { secret: hunter2, mode: on }",
        "password: hunter2",
    ] {
        let errors = refuse(text);
        let shown = format!("{errors} {errors:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(": …"), "{shown}");
    }
}

#[test]
fn control_characters_of_a_value_are_not_printed() {
    let shown = refuse("drain: \"a\\nb\\e[2J\"").to_string();
    assert_eq!(shown.lines().count(), 5, "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn aliases_that_multiply_are_refused() {
    let bomb = format!("cluster: {{ discover: [&a dns:a{}] }}", ", *a".repeat(1000));
    let deep = format!("cluster: {}", "[".repeat(100_000));
    let wide = format!("cluster: {{ discover: [{}] }}", "a, ".repeat(100_000));
    for text in [bomb, deep, wide] {
        assert_eq!(refuse(&text).errors().len(), 1);
    }
}

#[test]
fn a_wrong_alias_is_reported_where_it_is_used() {
    let errors = refuse("cluster: { interval: &t 2m }\naggregate:\n  deadline: *t\ndrain: &d no\n");
    assert_eq!(errors.errors()[0].line, Some(4), "{errors}");
    let errors = refuse("cluster: { interval: &t 1h }\naggregate:\n  deadline: *t\n");
    assert_eq!(errors.errors()[0].line, Some(3), "{errors}");
}

#[test]
fn a_missing_or_too_large_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.yaml");
    let missing = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(missing.contains("skep.yaml: cannot be read"), "{missing}");

    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![b'#'; MAX_FILE_BYTES + 1]).unwrap();
    let large = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(
        large.contains("skep.yaml: is larger than 1024 KiB"),
        "{large}"
    );

    file.set_len(MAX_FILE_BYTES as u64).unwrap();
    assert!(Config::load(Some(&path)).is_ok());
}

#[test]
fn a_file_that_is_not_utf_8_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("skep.yaml");
    std::fs::write(&path, b"drain: \xff\xfe").unwrap();
    let error = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("UTF-8"), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        text in "((listen|engine|cluster|auth|keys|id|address|tls|discover|&a|\\*a|<<|dns:x|5s|[-:{}\\[\\], \n\t\"'#é\u{feff}]){0,30})"
    ) {
        if let Err(errors) = Config::parse("skep.yaml", &text) {
            prop_assert!(!errors.errors().is_empty());
            prop_assert!(!errors.to_string().is_empty());
        }
    }
}
