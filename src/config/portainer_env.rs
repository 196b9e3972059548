//! Reads the environment variables of the Portainer agent, so that its stack
//! files work with the image of skep.
//!
//! They have no effect if there is a configuration file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use log::LevelFilter;

use super::address;
use super::cluster::ClusterMode;
use super::discover::Discover;
use super::grant::Grant;
use super::listen::Listen;
use super::portainer::{Hidden, Portainer, SecretSource};
use super::settings::{Config, LogFormat};

/// Where Portainer's stack files mount the root of the host.
const HOST: &str = "/host";

/// The variables that are read.
pub const SUPPORTED: [&str; 7] = [
    "AGENT_HOST",
    "AGENT_PORT",
    "AGENT_CLUSTER_ADDR",
    "AGENT_SECRET",
    "AGENT_SECRET_FILE",
    "LOG_LEVEL",
    "LOG_MODE",
];

/// The variables without a meaning here; the log names them.
pub const IGNORED: [&str; 30] = [
    "AGENT_CLUSTER_PROBE_TIMEOUT",
    "AGENT_CLUSTER_PROBE_INTERVAL",
    "AGENT_SECRET_TIMEOUT",
    "ASSETS_PATH",
    "DATA_PATH",
    "CAP_HOST_MANAGEMENT",
    "UPDATE_ID",
    "COMPOSE_UNPACKER_IMAGE",
    "PODMAN",
    "PORTAINER_GROUP",
    "PORTAINER_TAGS",
    "EDGE",
    "EDGE_ASYNC",
    "EDGE_KEY",
    "EDGE_ID",
    "EDGE_GROUPS",
    "EDGE_INACTIVITY_TIMEOUT",
    "EDGE_INSECURE_POLL",
    "EDGE_SERVER_HOST",
    "EDGE_SERVER_PORT",
    "EDGE_TUNNEL",
    "MTLS_SSL_CERT",
    "MTLS_SSL_KEY",
    "MTLS_SSL_CA",
    "MTLS_CERT_RETRY_INTERVAL",
    "AWS_CLIENT_CERT",
    "AWS_CLIENT_KEY",
    "AWS_CLIENT_BUNDLE",
    "AWS_TRUST_ANCHOR_ARN",
    "AWS_PROFILE_ARN",
];

/// Further variables without a meaning here. Other programs use them too, so
/// the log does not name them.
pub const SILENTLY_IGNORED: [&str; 10] = [
    "DOCKER_HOST",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "AWS_ROLE_ARN",
    "AWS_REGION",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_POD_IP",
];

/// A variable with a wrong value. The message never quotes a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{variable}: {reason}")]
pub struct EnvironmentError {
    /// Its name.
    pub variable: &'static str,
    /// The fault, and the accepted values.
    pub(crate) reason: String,
}

/// The configuration of the variables, with notes for the operator.
#[derive(Debug, PartialEq)]
pub struct FromEnvironment {
    /// The defaults, changed by the variables.
    pub config: Config,
    /// Notes for the log.
    pub notes: Vec<String>,
}

/// The variables that are set but ignored because of a configuration file.
pub fn ignored_for_a_file(variable: impl Fn(&str) -> Option<String>) -> Vec<&'static str> {
    // Other programs have variables for logs of the same names.
    let own = SUPPORTED.iter().filter(|name| name.starts_with("AGENT_"));
    own.copied().filter(|n| variable(n).is_some()).collect()
}

/// Reads the variables. Empty ones count as unset.
///
/// # Errors
/// The first variable with a wrong value.
pub fn read(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<FromEnvironment, EnvironmentError> {
    let get = |name: &'static str| variable(name).filter(|value| !value.is_empty());
    let mut config = Config::default();
    let mut notes = Vec::new();
    let listen = address_of(&get)?;
    if let Some(first) = config.listen.first_mut() {
        first.address = listen;
    }
    if let Some(value) = get("AGENT_CLUSTER_ADDR") {
        discover(&mut config, &value, listen.port())?;
    }
    let secret = secret(&get)?;
    if let Some(secret) = &secret {
        config.auth.portainer = Some(Portainer {
            secret: Some(secret.clone()),
            public_key_file: None,
            first_use: false,
            grant: Grant::admin(),
        });
        // Empty unless the host is mounted there, as for Portainer's agent.
        config.browse.host = Some(PathBuf::from(HOST));
        config.cluster.portainer_secret = Some(secret.clone());
    }
    let set = |name: &&'static str| get(name).is_some();
    if secret.is_none()
        && SUPPORTED
            .iter()
            .filter(|n| n.starts_with("AGENT_"))
            .any(set)
    {
        notes.push(
            "Portainer servers are refused: set AGENT_SECRET to the same random text here and on the server \
             (unlike Portainer's agent, skep does not trust the first server that calls)"
                .to_owned(),
        );
    }
    if let Some(value) = get("LOG_LEVEL") {
        config.log.level = level(&value)?;
    }
    if let Some(value) = get("LOG_MODE") {
        config.log.format = format(&value)?;
    }
    let ignored: Vec<_> = IGNORED.into_iter().filter(set).collect();
    if !ignored.is_empty() {
        notes.push(format!(
            "ignored, because they have no meaning here: {}",
            ignored.join(", ")
        ));
    }
    Ok(FromEnvironment { config, notes })
}

fn address_of(
    get: &impl Fn(&'static str) -> Option<String>,
) -> Result<SocketAddr, EnvironmentError> {
    let mut address = Listen::default().address;
    if let Some(value) = get("AGENT_HOST") {
        let ip: Result<IpAddr, _> = value.parse();
        address.set_ip(ip.map_err(|_| wrong("AGENT_HOST", &value, "an IP address"))?);
    }
    if let Some(value) = get("AGENT_PORT") {
        let port = value.parse().ok().filter(|port| *port != 0u16);
        let port = port.ok_or_else(|| wrong("AGENT_PORT", &value, "a port from 1 to 65535"));
        address.set_port(port?);
    }
    Ok(address)
}

/// A name of all agents, or the address of one. By convention, `localhost`
/// means that there is no cluster.
fn discover(config: &mut Config, value: &str, port: u16) -> Result<(), EnvironmentError> {
    let ip: Option<IpAddr> = value.parse().ok();
    if value == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        config.cluster.mode = ClusterMode::Off;
        return Ok(());
    }
    config.cluster.discover = vec![match ip {
        Some(ip) => Discover::Static(vec![SocketAddr::new(ip, port)]),
        None => Discover::Dns {
            name: address::dns_name(value)
                .map_err(|_| wrong("AGENT_CLUSTER_ADDR", value, "a DNS name or an IP address"))?,
            // The port of the listener, which AGENT_PORT has set.
            port: None,
        },
    }];
    Ok(())
}

fn secret(
    get: &impl Fn(&'static str) -> Option<String>,
) -> Result<Option<SecretSource>, EnvironmentError> {
    match (get("AGENT_SECRET"), get("AGENT_SECRET_FILE")) {
        (Some(_), Some(_)) => Err(EnvironmentError {
            variable: "AGENT_SECRET_FILE",
            reason: "AGENT_SECRET is set too: leave one out".to_owned(),
        }),
        (Some(secret), None) => Ok(Some(SecretSource::Given(Hidden::new(secret.into_bytes())))),
        (None, file) => Ok(file.map(|file| SecretSource::File(file.into()))),
    }
}

fn level(value: &str) -> Result<LevelFilter, EnvironmentError> {
    match value.to_ascii_lowercase().as_str() {
        "debug" => Ok(LevelFilter::Debug),
        // The others are syslog's, which socket proxies take.
        "info" | "notice" => Ok(LevelFilter::Info),
        "warn" | "warning" => Ok(LevelFilter::Warn),
        "error" | "err" | "crit" | "alert" | "emerg" => Ok(LevelFilter::Error),
        _ => Err(wrong("LOG_LEVEL", value, "ERROR, WARN, INFO or DEBUG")),
    }
}

fn format(value: &str) -> Result<LogFormat, EnvironmentError> {
    match value.to_ascii_uppercase().as_str() {
        "PRETTY" | "NOCOLOR" => Ok(LogFormat::Text),
        "JSON" => Ok(LogFormat::Json),
        _ => Err(wrong("LOG_MODE", value, "PRETTY, NOCOLOR or JSON")),
    }
}

fn wrong(variable: &'static str, value: &str, expected: &str) -> EnvironmentError {
    let reason = format!("{value:?} is not {expected}");
    EnvironmentError { variable, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(set: &[(&str, &str)]) -> Result<FromEnvironment, EnvironmentError> {
        read(|name| {
            let mut set = set.iter();
            set.find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        })
    }

    fn config(set: &[(&str, &str)]) -> Config {
        from(set).unwrap().config
    }

    #[test]
    fn without_variables_every_setting_has_its_default() {
        let read = from(&[]).unwrap();
        assert_eq!((read.config, read.notes), (Config::default(), vec![]));
        assert_eq!(config(&[("AGENT_PORT", "")]), Config::default());
    }

    #[test]
    fn each_variable_changes_its_setting() {
        for (name, value, shown) in [
            ("AGENT_PORT", "9002", "0.0.0.0:9002"),
            ("AGENT_HOST", "10.0.0.1", "10.0.0.1:9001"),
            ("AGENT_HOST", "::", "[::]:9001"),
        ] {
            let address = config(&[(name, value)]).listen[0].address;
            assert_eq!(address.to_string(), shown, "{name}={value}");
        }
        for (value, level) in [("DEBUG", LevelFilter::Debug), ("warn", LevelFilter::Warn)] {
            assert_eq!(config(&[("LOG_LEVEL", value)]).log.level, level);
        }
        for (value, format) in [
            ("PRETTY", LogFormat::Text),
            ("NOCOLOR", LogFormat::Text),
            ("JSON", LogFormat::Json),
        ] {
            assert_eq!(config(&[("LOG_MODE", value)]).log.format, format);
        }
    }

    #[test]
    fn the_cluster_address_says_where_to_look_for_other_agents() {
        for (set, expected) in [
            (
                &[("AGENT_CLUSTER_ADDR", "tasks.agent")][..],
                "dns:tasks.agent",
            ),
            (
                &[
                    ("AGENT_CLUSTER_ADDR", "Tasks.Agent"),
                    ("AGENT_PORT", "9002"),
                ],
                "dns:tasks.agent",
            ),
            (
                &[("AGENT_CLUSTER_ADDR", "10.0.0.2")],
                "static:10.0.0.2:9001",
            ),
            (
                &[("AGENT_CLUSTER_ADDR", "10.0.0.2"), ("AGENT_PORT", "9002")],
                "static:10.0.0.2:9002",
            ),
        ] {
            let cluster = config(set).cluster;
            let shown: Vec<_> = cluster.discover.iter().map(ToString::to_string).collect();
            assert_eq!(
                (shown, cluster.mode),
                (vec![expected.to_owned()], ClusterMode::Auto)
            );
        }
        for alone in ["localhost", "127.0.0.1", "::1"] {
            let cluster = config(&[("AGENT_CLUSTER_ADDR", alone)]).cluster;
            assert_eq!((cluster.discover, cluster.mode), (vec![], ClusterMode::Off));
        }
    }

    #[test]
    fn a_secret_accepts_servers_with_it_and_is_never_printed() {
        let read = from(&[("AGENT_SECRET", "hunter2")]).unwrap();
        let portainer = read.config.auth.portainer.clone().unwrap();
        let given = SecretSource::Given(Hidden::new(b"hunter2".to_vec()));
        assert_eq!(portainer.secret, Some(given.clone()));
        assert!(!portainer.first_use && portainer.public_key_file.is_none());
        assert_eq!(read.config.cluster.portainer_secret, Some(given));
        assert!(!format!("{read:?}").contains("hunter2"));

        let file = config(&[("AGENT_SECRET_FILE", "/run/secrets/a")]);
        let secret = file.auth.portainer.unwrap().secret;
        assert_eq!(secret, Some(SecretSource::File("/run/secrets/a".into())));
    }

    #[test]
    fn without_a_secret_servers_are_refused_with_a_note() {
        let read = from(&[("AGENT_CLUSTER_ADDR", "tasks.agent")]).unwrap();
        assert_eq!(read.config.auth.portainer, None);
        assert!(read.notes[0].contains("AGENT_SECRET"), "{:?}", read.notes);
        assert!(from(&[("LOG_LEVEL", "INFO")]).unwrap().notes.is_empty());
    }

    #[test]
    fn variables_without_a_meaning_are_named_in_one_note() {
        let set = [
            ("EDGE", "1"),
            ("AGENT_SECRET_TIMEOUT", "0"),
            ("AGENT_SECRET", "x"),
        ];
        let notes = from(&set).unwrap().notes;
        assert_eq!(
            notes,
            ["ignored, because they have no meaning here: AGENT_SECRET_TIMEOUT, EDGE"]
        );
    }

    #[test]
    fn variables_that_other_programs_use_are_not_named() {
        let all: Vec<_> = IGNORED.iter().map(|name| (*name, "1")).collect();
        let notes = from(&all).unwrap().notes;
        let expected = format!(
            "ignored, because they have no meaning here: {}",
            IGNORED.join(", ")
        );
        assert_eq!(notes, [expected]);
        let all: Vec<_> = SILENTLY_IGNORED.iter().map(|name| (*name, "1")).collect();
        let read = from(&all).unwrap();
        assert_eq!((read.config, read.notes), (Config::default(), vec![]));
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_variable() {
        for (name, value) in [
            ("AGENT_PORT", "0"),
            ("AGENT_PORT", "65536"),
            ("AGENT_PORT", "http"),
            ("AGENT_HOST", "localhost"),
            ("AGENT_CLUSTER_ADDR", "a b"),
            ("AGENT_CLUSTER_ADDR", "10.0.0.2:9001"),
            ("LOG_LEVEL", "loud"),
            ("LOG_MODE", "colour"),
        ] {
            let error = from(&[(name, value)]).unwrap_err();
            assert_eq!(error.variable, name);
            assert!(error.to_string().contains(value), "{error}");
        }
        let both = [("AGENT_SECRET", "hunter2"), ("AGENT_SECRET_FILE", "/a")];
        let error = from(&both).unwrap_err().to_string();
        assert!(error.contains("leave one out") && !error.contains("hunter2"));
    }

    #[test]
    fn with_a_file_portainers_own_variables_are_ignored() {
        let set = |name: &str| {
            ["AGENT_SECRET", "LOG_LEVEL"]
                .contains(&name)
                .then(String::new)
        };
        assert_eq!(ignored_for_a_file(set), ["AGENT_SECRET"]);
    }
}
