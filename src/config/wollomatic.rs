//! Reads the environment variables of wollomatic's socket-proxy, to replace it by the
//! image alone: `SP_ALLOW_GET=… SP_ALLOWFROM=…`.
//!
//! They have no effect if there is a configuration file.

pub mod arguments;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use log::LevelFilter;
use skep_filters::policy::{May, Spec, allowlist, environment as switches};

use super::environment::{self, PORT, VariableError};
use super::grant::network;
use super::plain::{CallerMark, ContainerCaller, Plain};
use super::settings::{Config, LogFormat};
use super::sockets::{Socket, SocketIdentity};

/// The prefix of all variables.
const PREFIX: &str = "SP_";

/// Variables without a meaning here: the agent watches its engine by itself, and
/// `skep health` needs no port.
const IGNORED: [&str; 3] = [
    "SP_WATCHDOGINTERVAL",
    "SP_STOPONWATCHDOG",
    "SP_ALLOWHEALTHCHECK",
];

/// The longest time to drain.
const LONGEST: u64 = 3600;

/// What the variables say.
struct Read {
    policy: Spec,
    address: SocketAddr,
    from: Vec<String>,
    socket: Option<(String, u32)>,
    notes: Vec<String>,
}

/// Adds what the variables say, if one is set. Returns notes for the log.
///
/// # Errors
/// The first variable that has no meaning here, or a wrong value.
pub fn add<'e>(
    config: &mut Config,
    variables: impl IntoIterator<Item = (&'e str, &'e str)>,
) -> Result<Vec<String>, VariableError> {
    let Some(mut read) = read(config, variables)? else {
        return Ok(Vec::new());
    };
    read.notes.extend(environment::stand_alone(config));
    read.listen(config)
}

/// The policy that the variables stand for, and notes about those without effect;
/// `None` if there are none.
///
/// # Errors
/// The first variable that has no meaning here, or a wrong value.
pub fn policy<'e>(
    variables: impl IntoIterator<Item = (&'e str, &'e str)>,
) -> Result<Option<(Spec, Vec<String>)>, VariableError> {
    let read = read(&mut Config::default(), variables)?;
    Ok(read.map(|read| (read.policy, read.notes)))
}

fn read<'e>(
    config: &mut Config,
    variables: impl IntoIterator<Item = (&'e str, &'e str)>,
) -> Result<Option<Read>, VariableError> {
    let variables = variables.into_iter();
    let mut own: Vec<_> = variables
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .collect();
    own.sort_unstable();
    if own.is_empty() {
        return Ok(None);
    }
    let mut read = Read {
        policy: Spec::default(),
        address: (Ipv4Addr::LOCALHOST, PORT).into(),
        from: vec!["127.0.0.1/32".to_owned()],
        socket: None,
        notes: Vec::new(),
    };
    for (name, value) in own {
        read.variable(config, name, value)?;
    }
    let buildkit = ["POST /grpc", "POST /session"];
    if read
        .policy
        .allow
        .iter()
        .any(|entry| buildkit.contains(&entry.as_str()))
    {
        read.policy.may.get_or_insert_default().buildkit = true;
    }
    Ok(Some(read))
}

impl Read {
    fn variable(
        &mut self,
        config: &mut Config,
        name: &str,
        value: &str,
    ) -> Result<(), VariableError> {
        let wrong =
            |expected: &str| VariableError::new(name, format!("{value:?} is not {expected}"));
        if let Some(method) = name.strip_prefix("SP_ALLOW_") {
            return self.allow(name, method, value);
        }
        match name {
            "SP_LISTENIP" => {
                let ip: Result<IpAddr, _> = value.parse();
                self.address.set_ip(ip.map_err(|_| wrong("an IP address"))?);
            }
            "SP_PROXYPORT" => {
                let port = super::address::port(value);
                self.address
                    .set_port(port.map_err(|_| wrong("a port from 1 to 65535"))?);
            }
            "SP_ALLOWFROM" => {
                let parts = value.split(',').map(|part| part.trim().to_owned());
                self.from = parts.filter(|part| !part.is_empty()).collect();
            }
            "SP_ALLOWBINDMOUNTFROM" => {
                let folders = value.split(',').map(|part| part.trim().to_owned());
                let may = self.policy.may.get_or_insert_with(May::default);
                may.binds = folders.filter(|part| !part.is_empty()).collect();
            }
            "SP_SOCKETPATH" => config.engine = environment::engine(name, value)?,
            "SP_PROXYSOCKETENDPOINT" => {
                let mode = self.socket.as_ref().map_or(0o600, |(_, mode)| *mode);
                self.socket = Some((value.to_owned(), mode));
            }
            "SP_PROXYSOCKETENDPOINTFILEMODE" => {
                let mode = u32::from_str_radix(value, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o777);
                let mode = mode.ok_or_else(|| wrong("a mode such as 0600"))?;
                // Sorted after the path.
                if let Some((_, own)) = &mut self.socket {
                    *own = mode;
                }
            }
            "SP_LOGLEVEL" => {
                config.log.level = match value.to_ascii_uppercase().as_str() {
                    "DEBUG" => LevelFilter::Debug,
                    "INFO" => LevelFilter::Info,
                    "WARN" => LevelFilter::Warn,
                    "ERROR" => LevelFilter::Error,
                    _ => return Err(wrong("DEBUG, INFO, WARN or ERROR")),
                }
            }
            "SP_LOGJSON" => match switches::switch(value) {
                Some(true) => config.log.format = LogFormat::Json,
                Some(false) => {}
                None => return Err(wrong("true or false")),
            },
            "SP_SHUTDOWNGRACETIME" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds <= LONGEST);
                let seconds = seconds.ok_or_else(|| wrong("a number of seconds up to 3600"))?;
                config.drain = Duration::from_secs(seconds);
            }
            name if IGNORED.contains(&name) => {
                self.notes.push(format!(
                    "{name} has no effect: the agent watches its engine by itself"
                ));
            }
            "SP_PROXYCONTAINERNAME" => {
                return Err(VariableError::new(
                    name,
                    "allowlists in the labels of containers do not exist here: write `callers` in a configuration file",
                ));
            }
            _ => return Err(VariableError::new(name, "there is no such variable here")),
        }
        Ok(())
    }

    /// `SP_ALLOW_GET`, and further ones as `SP_ALLOW_GET_2`.
    fn allow(&mut self, name: &str, method: &str, expression: &str) -> Result<(), VariableError> {
        let method = method.split('_').next().unwrap_or_default();
        let entries = allowlist::entries(method, expression);
        for entry in entries.map_err(|why| VariableError::new(name, why))? {
            if !self.policy.allow.contains(&entry) {
                self.policy.allow.push(entry);
            }
        }
        Ok(())
    }

    fn listen(mut self, config: &mut Config) -> Result<Vec<String>, VariableError> {
        let wrong = |why| VariableError::new("SP_ALLOWBINDMOUNTFROM", why);
        let identity = environment::identity(&self.policy).map_err(wrong)?;
        match self.socket.take() {
            Some((path, mode)) => config.sockets.push(Socket {
                path: path.into(),
                owner: None,
                group: None,
                mode,
                users: Vec::new(),
                others: Some(identity),
            }),
            None => {
                let plain = self.plain(identity)?;
                self.notes.push(format!(
                    "port {} serves the requests that the environment variables allow",
                    self.address.port()
                ));
                config.plain.push(plain);
            }
        }
        Ok(self.notes)
    }

    /// Hostnames in SP_ALLOWFROM are services of compose or containers: skep looks them
    /// up at its engine.
    fn plain(&self, identity: SocketIdentity) -> Result<Plain, VariableError> {
        let mut networks = Vec::new();
        let mut callers = Vec::new();
        for part in &self.from {
            if let Ok(network) = network(part) {
                networks.push(network);
                continue;
            }
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
            if !part.bytes().all(plain) {
                let why = format!(
                    "{part:?} is neither a network nor the name of a service or a container"
                );
                return Err(VariableError::new("SP_ALLOWFROM", why));
            }
            for mark in [
                CallerMark::Service(part.clone()),
                CallerMark::Name(part.clone()),
            ] {
                callers.push(ContainerCaller {
                    mark,
                    identities: vec![(String::new(), identity.clone())],
                });
            }
        }
        if !networks.is_empty() && !callers.is_empty() {
            let why =
                "networks and names together have no meaning here: write a configuration file";
            return Err(VariableError::new("SP_ALLOWFROM", why));
        }
        let others = callers.is_empty().then_some(identity);
        if networks.is_empty() {
            networks = environment::private();
        }
        Ok(Plain {
            address: self.address,
            networks,
            callers,
            others,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterMode, Engine};

    fn added(variables: &[(&'static str, &'static str)]) -> Result<Config, VariableError> {
        let mut config = Config::default();
        add(&mut config, variables.iter().copied())?;
        Ok(config)
    }

    const GET: (&str, &str) = (
        "SP_ALLOW_GET",
        r"/v1\..{1,2}/(version|containers/.*|events.*)",
    );

    #[test]
    fn the_example_for_traefik_becomes_an_address_without_tls() {
        let config = added(&[
            GET,
            ("SP_ALLOW_HEAD", "/_ping"),
            ("SP_ALLOW_GET_2", "/_ping"),
            ("SP_LISTENIP", "0.0.0.0"),
            ("SP_ALLOWFROM", "172.18.0.0/16,10.0.0.1"),
            ("SP_LOGLEVEL", "DEBUG"),
            ("SP_LOGJSON", "true"),
            ("SP_SHUTDOWNGRACETIME", "5"),
            ("SP_WATCHDOGINTERVAL", "3600"),
            ("SP_STOPONWATCHDOG", "true"),
            ("HOME", "/"),
        ])
        .unwrap();
        let [plain] = &config.plain[..] else {
            panic!("{:?}", config.plain);
        };
        assert_eq!(plain.address.to_string(), "0.0.0.0:2375");
        assert_eq!(plain.networks.len(), 2);
        assert!(plain.others.is_some() && plain.callers.is_empty());
        assert!(config.listen.is_empty() && config.sockets.is_empty());
        assert_eq!(config.cluster.mode, ClusterMode::Off);
        assert_eq!(config.log.level, LevelFilter::Debug);
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(config.drain, Duration::from_secs(5));
    }

    #[test]
    fn only_this_machine_connects_where_nothing_is_said() {
        let config = added(&[GET]).unwrap();
        let plain = &config.plain[0];
        assert_eq!(plain.address.to_string(), "127.0.0.1:2375");
        assert_eq!(plain.networks, [network("127.0.0.1").unwrap()]);
    }

    #[test]
    fn a_hostname_is_a_service_or_a_container() {
        let config = added(&[GET, ("SP_ALLOWFROM", "traefik, dozzle")]).unwrap();
        let plain = &config.plain[0];
        let marks: Vec<_> = plain.callers.iter().map(|caller| &caller.mark).collect();
        assert_eq!(marks.len(), 4);
        assert!(marks.contains(&&CallerMark::Service("traefik".to_owned())));
        assert!(marks.contains(&&CallerMark::Name("dozzle".to_owned())));
        assert_eq!(plain.others, None);
    }

    #[test]
    fn a_socket_takes_the_place_of_the_port() {
        let config = added(&[
            GET,
            ("SP_PROXYSOCKETENDPOINT", "/tmp/filtered.sock"),
            ("SP_PROXYSOCKETENDPOINTFILEMODE", "0660"),
            ("SP_SOCKETPATH", "/run/docker.sock"),
        ])
        .unwrap();
        assert!(config.plain.is_empty());
        assert_eq!(config.sockets[0].path.to_str(), Some("/tmp/filtered.sock"));
        assert_eq!(config.sockets[0].mode, 0o660);
        assert_eq!(config.engine, Engine::Socket("/run/docker.sock".into()));
    }

    #[test]
    fn what_has_no_meaning_here_is_an_error_that_names_its_variable() {
        for (variable, value) in [
            ("SP_ALLOW_GET", "/containers/traefik/json"),
            ("SP_ALLOW_GET_2", "("),
            ("SP_ALLOW_PATCH", ".*"),
            ("SP_LISTENIP", "eth0"),
            ("SP_PROXYPORT", "0"),
            ("SP_ALLOWFROM", "10.0.0.0/99"),
            ("SP_ALLOWFROM", "traefik,10.0.0.0/8"),
            ("SP_ALLOWBINDMOUNTFROM", "srv"),
            ("SP_SOCKETPATH", "docker.sock"),
            ("SP_PROXYSOCKETENDPOINTFILEMODE", "rw"),
            ("SP_LOGLEVEL", "loud"),
            ("SP_LOGJSON", "maybe"),
            ("SP_SHUTDOWNGRACETIME", "soon"),
            ("SP_PROXYCONTAINERNAME", "proxy"),
            ("SP_SOMETHING", "1"),
        ] {
            let error = added(&[(variable, value)]).unwrap_err();
            assert_eq!(error.variable, variable, "{value}");
        }
    }

    #[test]
    fn variables_of_other_programs_change_nothing() {
        let config = added(&[("HOME", "/root"), ("SP_LOGLEVEL", ""), ("SPEED", "1")]);
        assert_eq!(config.unwrap(), Config::default());
    }
}
