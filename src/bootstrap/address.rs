//! Where the operator's machine reaches an agent.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::config::AgentUrl;

/// A host: an IP address without brackets, or a DNS name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HostName(String);

impl HostName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means this machine and no other.
    pub(super) fn is_loopback(&self) -> bool {
        let ip = self.0.parse::<IpAddr>();
        self.0 == "localhost" || ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
    }

    /// The address of a port there, as in `DOCKER_HOST`.
    pub(super) fn docker_host(&self, port: u16) -> String {
        let url = AgentUrl {
            host: self.0.clone(),
            port,
        };
        url.to_string().replacen("https://", "tcp://", 1)
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let bracketed = match bare.contains(':') {
            true => format!("[{bare}]"),
            false => bare.to_owned(),
        };
        let url: AgentUrl = match format!("https://{bracketed}:1").parse() {
            Ok(url) => url,
            Err(_) => {
                return Err(format!(
                    "`{text}` is not a host: use an IP address or a DNS name, without a port"
                ));
            }
        };
        Ok(Self(url.host))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name_without_a_port() {
        for (text, expected) in [
            ("10.0.0.1", Some("tcp://10.0.0.1:9001")),
            ("Docker.example.com", Some("tcp://docker.example.com:9001")),
            ("::1", Some("tcp://[::1]:9001")),
            ("[::1]", Some("tcp://[::1]:9001")),
            ("10.0.0.1:9001", None),
            ("a b", None),
            ("", None),
        ] {
            let host = text.parse::<HostName>().ok();
            let host = host.map(|host| host.docker_host(9001));
            assert_eq!(host.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn addresses_of_this_machine_are_told_from_others() {
        for (text, expected) in [
            ("localhost", true),
            ("127.3.2.1", true),
            ("::1", true),
            ("0.0.0.0", true),
            ("10.0.0.1", false),
            ("node1", false),
        ] {
            assert_eq!(
                text.parse::<HostName>().unwrap().is_loopback(),
                expected,
                "{text}"
            );
        }
    }
}
