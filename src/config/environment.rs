//! Reads the environment variables of Tecnativa's docker-socket-proxy, and of
//! LinuxServer's, to replace them by the image alone: `CONTAINERS=1 POST=0 …`.
//!
//! They have no effect if there is a configuration file. Their policy applies where
//! those programs listen, at port 2375 without TLS, and at a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use skep_filters::policy::{RuleSet, Spec, environment};

use super::cluster::ClusterMode;
use super::engine::Engine;
use super::grant::{Grant, network};
use super::plain::Plain;
use super::policies::Policy;
use super::portainer_env::SUPPORTED;
use super::settings::Config;
use super::sockets::{Socket, SocketIdentity};

/// The folder of the socket.
pub const FOLDER: &str = "/run/skep";

/// The path of the socket, in a folder that a volume can share.
pub const SOCKET: &str = "/run/skep/docker.sock";

/// The port of these programs.
pub(super) const PORT: u16 = 2375;

/// The networks that containers have addresses of, and other private ones: from a
/// public address nobody calls a socket proxy.
const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// The name of callers, and of their policy.
pub(super) const NAME: &str = "environment";

/// A variable of a socket proxy that cannot be applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{variable}: {reason}")]
pub struct VariableError {
    /// Its name.
    pub variable: String,
    /// The fault, and what to do.
    pub(crate) reason: String,
}

impl VariableError {
    pub(super) fn new(variable: &str, reason: impl Into<String>) -> Self {
        Self {
            variable: variable.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Adds what the variables say, if one is set. Returns notes for the log: what the
/// agent does, and the variables without effect.
///
/// # Errors
/// The first variable with a value that has no meaning here.
pub fn add<'e>(
    config: &mut Config,
    variables: impl IntoIterator<Item = (&'e str, &'e str)> + Clone,
) -> Result<Vec<String>, VariableError> {
    if !environment::is_configured(variables.clone()) {
        return Ok(Vec::new());
    }
    let read = environment::from_environment(variables.clone());
    let wrong = read
        .ignored
        .iter()
        .find(|one| one.why == environment::WRONG);
    if let Some(wrong) = wrong {
        return Err(VariableError::new(&wrong.name, wrong.why));
    }
    let value = |name: &str| {
        let own = variables
            .clone()
            .into_iter()
            .filter(|(own, _)| *own == name);
        let last = own.last().map(|(_, value)| value);
        last.filter(|value| !value.is_empty())
    };
    if let Some(path) = value("SOCKET_PATH") {
        config.engine = engine("SOCKET_PATH", path)?;
    }
    let mut address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    if value("DISABLE_IPV6").is_some_and(|value| environment::switch(value) == Some(true)) {
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    if let Some(bind) = value("BIND_CONFIG") {
        address = bind_config(bind)?;
    }
    if let Some(ip) = value("BIND_IP") {
        let ip: IpAddr = ip
            .parse()
            .map_err(|_| VariableError::new("BIND_IP", format!("{ip:?} is not an IP address")))?;
        address.set_ip(ip);
    }
    let identity = identity(&read.policy).map_err(|why| VariableError::new("POST", why))?;
    let mut notes = Vec::from_iter(stand_alone(config));
    config.sockets.push(Socket {
        path: PathBuf::from(SOCKET),
        owner: None,
        group: None,
        mode: 0o660,
        users: Vec::new(),
        others: Some(identity.clone()),
    });
    config.plain.push(Plain {
        address,
        networks: private(),
        callers: Vec::new(),
        others: Some(identity),
    });
    notes.push(format!(
        "{SOCKET} and port {} serve the requests that the environment variables allow; `skep policy --from-env` \
         prints their policy",
        address.port()
    ));
    let ignored = read.ignored.iter();
    // A variable of Portainer's agent of the same name has an effect.
    let ignored = ignored.filter(|one| !SUPPORTED.contains(&one.name.as_str()));
    notes.extend(ignored.map(|one| format!("{} has no effect: {}", one.name, one.why)));
    Ok(notes)
}

/// Without a secret of its own, a program that replaces a socket proxy is one: it
/// joins no cluster and has no other door.
pub(super) fn stand_alone(config: &mut Config) -> Option<String> {
    let has_secret = config.auth.portainer.is_some() || !config.cluster.secret_files.is_empty();
    if has_secret {
        return None;
    }
    config.listen.clear();
    config.cluster.mode = ClusterMode::Off;
    Some("no secret is given: this agent serves its own engine only, and not over HTTPS".to_owned())
}

/// The identity of all callers.
pub(super) fn identity(policy: &Spec) -> Result<SocketIdentity, String> {
    let rules = RuleSet::new(policy).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        faults.join("; ")
    })?;
    let name = NAME.to_owned();
    Ok(SocketIdentity {
        grant: Grant::of(Policy {
            name: name.clone(),
            rules,
        }),
        name,
    })
}

/// The networks that may connect where the variables name none.
pub(super) fn private() -> Vec<IpNet> {
    PRIVATE
        .iter()
        .filter_map(|text| network(text).ok())
        .collect()
}

/// The engine behind the proxy.
pub(super) fn engine(variable: &str, path: &str) -> Result<Engine, VariableError> {
    let path = path.strip_prefix("unix@").unwrap_or(path);
    let path = path.strip_prefix("unix://").unwrap_or(path);
    format!("unix://{path}")
        .parse()
        .map_err(|_| VariableError::new(variable, format!("{path:?} is not the path of a socket")))
}

/// HAProxy's `bind`: `[::]:2375 v4v6`, `:::2375 v4v6` or `:2375`.
fn bind_config(text: &str) -> Result<SocketAddr, VariableError> {
    let wrong = || {
        VariableError::new(
            "BIND_CONFIG",
            format!("{text:?} is not an address and a port, such as 0.0.0.0:2375"),
        )
    };
    let mut words = text.split_whitespace();
    let address = words.next().ok_or_else(wrong)?;
    if words.any(|word| !matches!(word, "v4v6" | "v6only")) {
        return Err(wrong());
    }
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = super::address::port(port).map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip: IpAddr = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED.into(),
        host => host.parse().map_err(|_| wrong())?,
    };
    Ok((ip, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(variables: &[(&'static str, &'static str)]) -> Config {
        let mut config = Config::default();
        add(&mut config, variables.iter().copied()).unwrap();
        config
    }

    #[test]
    fn the_variables_become_a_socket_and_a_port_with_their_policy() {
        let mut config = Config::default();
        let notes = add(
            &mut config,
            [
                ("CONTAINERS", "1"),
                ("LOG_LEVEL", "info"),
                ("TZ", "UTC"),
                ("HOME", "/"),
            ],
        )
        .unwrap();
        let [socket] = &config.sockets[..] else {
            panic!("{:?}", config.sockets);
        };
        assert_eq!(socket.who(0).unwrap().name, "environment");
        let [plain] = &config.plain[..] else {
            panic!("{:?}", config.plain);
        };
        assert_eq!(plain.address.to_string(), "[::]:2375");
        assert_eq!(plain.others, socket.others);
        assert_eq!(plain.networks.len(), PRIVATE.len());
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[2].starts_with("TZ has no effect"), "{notes:?}");
        let rules = &socket.others.as_ref().unwrap().grant.policy.rules;
        let read = environment::from_environment([("CONTAINERS", "1")]);
        assert_eq!(rules, &RuleSet::new(&read.policy).unwrap());
    }

    #[test]
    fn without_a_secret_there_is_no_cluster_and_no_https() {
        let config = added(&[("CONTAINERS", "1")]);
        assert!(config.listen.is_empty());
        assert_eq!(config.cluster.mode, ClusterMode::Off);
        let mut clustered = Config::default();
        clustered.cluster.secret_files = vec!["/run/secrets/skep_secret".into()];
        add(&mut clustered, [("CONTAINERS", "1")]).unwrap();
        assert_eq!(clustered.listen.len(), 1);
        assert_eq!(clustered.cluster.mode, ClusterMode::Auto);
    }

    #[test]
    fn the_address_and_the_engine_are_those_of_the_other_program() {
        for (variable, value, expected) in [
            ("DISABLE_IPV6", "1", "0.0.0.0:2375"),
            ("DISABLE_IPV6", "TRUE", "0.0.0.0:2375"),
            ("DISABLE_IPV6", "0", "[::]:2375"),
            ("DISABLE_IPV6", "", "[::]:2375"),
            ("BIND_CONFIG", ":2375", "0.0.0.0:2375"),
            ("BIND_CONFIG", "*:99", "0.0.0.0:99"),
            ("BIND_CONFIG", "[::]:2375 v4v6", "[::]:2375"),
            ("BIND_CONFIG", ":::2375 v4v6", "[::]:2375"),
            ("BIND_CONFIG", "127.0.0.1:2376", "127.0.0.1:2376"),
            ("BIND_IP", "172.18.0.2", "172.18.0.2:2375"),
        ] {
            let config = added(&[("PING", "1"), (variable, value)]);
            let address = config.plain[0].address.to_string();
            assert_eq!(address, expected, "{variable}={value}");
        }
        for (path, expected) in [
            ("/run/docker.sock", "/run/docker.sock"),
            ("unix:///a/b", "/a/b"),
            ("unix@/a", "/a"),
        ] {
            let config = added(&[("PING", "1"), ("SOCKET_PATH", path)]);
            assert_eq!(config.engine, Engine::Socket(expected.into()), "{path}");
        }
    }

    #[test]
    fn a_value_without_a_meaning_here_is_an_error_that_names_its_variable() {
        for (variable, value) in [
            ("IMAGES", "maybe"),
            ("POST", "2"),
            ("ALLOW_START", "sometimes"),
            ("SOCKET_PATH", "tcp.example:2375"),
            ("SOCKET_PATH", "docker.sock"),
            ("BIND_CONFIG", "2375"),
            ("BIND_CONFIG", "[::]:http"),
            ("BIND_CONFIG", ":2375 ssl crt /a.pem"),
            ("BIND_IP", "eth0"),
        ] {
            let variables = [("PING", "1"), (variable, value)];
            let error = add(&mut Config::default(), variables).unwrap_err();
            assert_eq!(error.variable, variable, "{value}");
            assert!(error.to_string().starts_with(&format!("{variable}: ")));
        }
    }

    #[test]
    fn variables_of_other_programs_change_nothing() {
        let mut config = Config::default();
        let notes = add(
            &mut config,
            [("HOME", "/root"), ("LOG_LEVEL", "info"), ("TZ", "UTC")],
        );
        assert!(notes.unwrap().is_empty());
        assert_eq!(config, Config::default());
    }
}
