//! Reads where an agent looks for others: `cluster.discover`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::address::{self, DEFAULT_PORT, HostPort};
use super::error::ValueError;
use super::suggest;

/// A place to look for agents.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Discover {
    /// All addresses of a name.
    Dns {
        /// The name, in lower case.
        name: String,
        /// The port; `None` for the port that this agent listens on.
        port: Option<u16>,
    },
    /// The targets and ports of a service record (RFC 2782).
    Srv {
        /// The name with the labels of service and protocol, such as
        /// `_skep._tcp.example`.
        name: String,
    },
    /// Fixed addresses; at least one.
    Static(Vec<SocketAddr>),
    /// The addresses of the Swarm's nodes, as its managers list them.
    Swarm {
        /// The port; `None` for the port that this agent listens on.
        port: Option<u16>,
    },
}

impl FromStr for Discover {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once(':') {
            None if text == "swarm" => Ok(Self::Swarm { port: None }),
            Some(("swarm", port)) => Ok(Self::Swarm {
                port: Some(address::port(port)?),
            }),
            Some(("dns", rest)) => dns(rest),
            Some(("srv", name)) => Ok(Self::Srv {
                name: address::dns_name(name)?,
            }),
            Some(("static", list)) => list
                .split(',')
                .map(|one| address::peer_address(one.trim()))
                .collect::<Result<_, _>>()
                .map(Self::Static),
            _ => Err(unknown(text)),
        }
    }
}

fn dns(text: &str) -> Result<Discover, ValueError> {
    let HostPort { host, port } = text.parse()?;
    match host.parse::<IpAddr>() {
        Err(_) => Ok(Discover::Dns { name: host, port }),
        Ok(ip) => {
            let address = SocketAddr::new(ip, port.unwrap_or(DEFAULT_PORT));
            Err(ValueError::new(format!("`{text}` is not a DNS name"))
                .help(format!("did you mean `static:{address}`?")))
        }
    }
}

fn unknown(text: &str) -> ValueError {
    let help =
        "for example dns:tasks.skep_agent, srv:_skep._tcp.example, static:10.0.0.1:9001 or swarm";
    let error = ValueError::new(format!("`{text}` is not a place to look for agents"));
    if text.parse::<SocketAddr>().is_ok() {
        return error.help(format!("did you mean `static:{text}`?"));
    }
    let kind = text.split_once(':').map_or("", |(kind, _)| kind);
    match suggest::nearest(kind, &["dns", "srv", "static", "swarm"]) {
        Some(guess) => error.help(format!("did you mean `{guess}:`? {help}")),
        None => error.help(help),
    }
}

impl fmt::Display for Discover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { name, port: None } => write!(f, "dns:{name}"),
            Self::Dns {
                name,
                port: Some(port),
            } => write!(f, "dns:{name}:{port}"),
            Self::Srv { name } => write!(f, "srv:{name}"),
            Self::Swarm { port: None } => f.write_str("swarm"),
            Self::Swarm { port: Some(port) } => write!(f, "swarm:{port}"),
            Self::Static(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                write!(f, "static:{}", addresses.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_the_same_way() {
        for text in [
            "dns:tasks.skep_agent",
            "dns:tasks.skep_agent:9002",
            "srv:_skep._tcp.example",
            "static:10.0.0.1:9001",
            "static:10.0.0.1:9001,[::1]:9001",
            "swarm",
            "swarm:9002",
        ] {
            assert_eq!(text.parse::<Discover>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_typo_is_refused_with_a_suggestion() {
        for (text, help) in [
            ("dsn:agents", "did you mean `dns:`?"),
            ("10.0.0.1:9001", "did you mean `static:10.0.0.1:9001`?"),
            ("dns:10.0.0.1", "did you mean `static:10.0.0.1:9001`?"),
            ("static:agent:9001", "for names there is dns:"),
            ("static:10.0.0.1:0", "IP:PORT"),
            ("static:", "IP:PORT"),
            ("agents", "for example dns:"),
            ("srv:", "labels"),
            ("dns:a:0", "from 1 to 65535"),
            ("swarm:0", "from 1 to 65535"),
            ("swarm:", "from 1 to 65535"),
            ("swram:9001", "did you mean `swarm:`?"),
        ] {
            let error = text.parse::<Discover>().unwrap_err();
            assert!(error.to_string().contains(help), "{text}: {error}");
        }
    }
}
