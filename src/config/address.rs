//! Reads hosts, ports and names of settings and of the command line, without
//! looking them up.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::error::ValueError;

/// The port on which agents listen and call each other by default.
pub(crate) const DEFAULT_PORT: u16 = 9001;

const NAME_HELP: &str = "a name is labels of letters, digits, `-` and `_` with dots between";

/// A host, and a port if one was named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HostPort {
    /// An IP address without brackets, or a DNS name in lower case.
    pub(crate) host: String,
    /// The port, never 0.
    pub(crate) port: Option<u16>,
}

/// The address of an agent: `https://HOST[:PORT]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AgentUrl {
    /// An IP address without brackets, or a DNS name.
    pub(crate) host: String,
    /// The port; [`DEFAULT_PORT`] if none was named.
    pub(crate) port: u16,
}

impl FromStr for HostPort {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // Colons in brackets, or more than one colon, are part of an IPv6
        // address.
        let (host, digits) = match text.rsplit_once(':') {
            Some((host, digits))
                if !digits.ends_with(']') && (host.ends_with(']') || !host.contains(':')) =>
            {
                (host, Some(digits))
            }
            _ => (text, None),
        };
        Ok(Self {
            port: digits.map(port).transpose()?,
            host: host_name(host)?,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only an IPv6 address has colons; it needs brackets where a port may
        // follow.
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl FromStr for AgentUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let Some(address) = text.strip_prefix("https://") else {
            return Err(ValueError::new("this does not start with https://")
                .help("for example https://10.0.0.1:9001"));
        };
        let HostPort { host, port } = address.strip_suffix('/').unwrap_or(address).parse()?;
        Ok(Self {
            host,
            port: port.unwrap_or(DEFAULT_PORT),
        })
    }
}

impl fmt::Display for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = HostPort {
            host: self.host.clone(),
            port: Some(self.port),
        };
        write!(f, "https://{address}")
    }
}

fn host_name(text: &str) -> Result<String, ValueError> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Some(bare) = bare {
        return match bare.parse::<Ipv6Addr>() {
            Ok(ip) => Ok(ip.to_string()),
            Err(_) => Err(ValueError::new(format!("`{text}` is not an IPv6 address"))),
        };
    }
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => dns_name(text),
    }
}

pub(super) fn port(digits: &str) -> Result<u16, ValueError> {
    // `u16::from_str` would take a plus sign.
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(port) if plain && port != 0 => Ok(port),
        _ => {
            Err(ValueError::new(format!("`{digits}` is not a port"))
                .help("a port is from 1 to 65535"))
        }
    }
}

/// A DNS name in lower case. Underscores are allowed, since Docker's service
/// names have them.
pub(super) fn dns_name(text: &str) -> Result<String, ValueError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let relative = text.strip_suffix('.').unwrap_or(text);
    if relative.len() <= 253 && relative.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(ValueError::new(format!("`{text}` is not a DNS name")).help(NAME_HELP))
}

/// A name for a certificate: an IP address, or a DNS name whose first label may
/// be `*`.
pub(super) fn certificate_name(text: &str) -> Result<String, ValueError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    dns_name(text.strip_prefix("*.").unwrap_or(text))
        .map(|_| text.to_ascii_lowercase())
        .map_err(|_| {
            ValueError::new(format!("`{text}` is not a name for a certificate"))
                .help("for example docker.example.com, *.example.com or 10.0.0.1")
        })
}

/// An address to listen on; the port may be 0.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| {
        let error = ValueError::new(format!("`{text}` is not an address to listen on"));
        match near_address(text) {
            Some(guess) => error.help(format!("did you mean `{guess}`?")),
            None => error.help("an address is IP:PORT, for example 0.0.0.0:9001 or [::]:9001"),
        }
    })
}

/// The address that a lone IP address or port most likely stands for.
fn near_address(text: &str) -> Option<String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::from((ip, DEFAULT_PORT)).to_string());
    }
    let port: u16 = text.strip_prefix(':').unwrap_or(text).parse().ok()?;
    Some(format!("0.0.0.0:{port}"))
}

/// The address of another agent.
pub(super) fn peer_address(text: &str) -> Result<SocketAddr, ValueError> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(
            ValueError::new(format!("`{text}` is not the address of an agent"))
                .help("an address is IP:PORT, for example 10.0.0.1:9001; for names there is dns:"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_distinguished() {
        for (text, host, port) in [
            ("engine", "engine", None),
            ("Engine:2376", "engine", Some(2376)),
            ("tasks.skep_agent", "tasks.skep_agent", None),
            ("10.0.0.1:2375", "10.0.0.1", Some(2375)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[fe80::1]:2375", "fe80::1", Some(2375)),
        ] {
            let read: HostPort = text.parse().unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port), "{text}");
        }
    }

    #[test]
    fn an_invalid_host_is_refused() {
        for text in [
            "",
            ":",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a b",
            "a/b",
            "user@a",
            "a..b",
            "-a",
            "[a]:80",
            "[::1",
            "a:b:80",
            "[10.0.0.1]",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_help_completes_half_an_address() {
        for (text, guess) in [
            ("9001", "`0.0.0.0:9001`"),
            (":9001", "`0.0.0.0:9001`"),
            ("127.0.0.1", "`127.0.0.1:9001`"),
            ("::1", "`[::1]:9001`"),
            ("everywhere", "IP:PORT"),
        ] {
            let help = listen_address(text).unwrap_err().help.unwrap();
            assert!(help.contains(guess), "{text}: {help}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_address_reads_back_as_it_was_written(text in "[a-z0-9:.\\[\\]_-]{0,30}") {
            if let Ok(read) = text.parse::<HostPort>() {
                proptest::prop_assert_eq!(read.to_string().parse::<HostPort>(), Ok(read));
            }
        }
    }
}
