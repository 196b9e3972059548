//! The ports of the agent's container that are published, which hosts outside of its
//! networks can reach.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde::Deserialize;

/// The bindings of an engine, by port and protocol (`2375/tcp`).
pub(crate) type Bindings = HashMap<String, Option<Vec<Binding>>>;

/// An address of the host that leads to a port of a container.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Binding {
    host_ip: String,
    host_port: String,
}

/// A port that a service publishes.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ServicePort {
    protocol: String,
    target_port: u16,
    published_port: u16,
}

/// The published ports: of each, the addresses that lead to it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Published(BTreeMap<u16, Vec<String>>);

impl Published {
    /// Where other hosts find this port of the agent; `None` if they do not. An
    /// address of the loopback is for this machine only.
    pub(crate) fn elsewhere(&self, port: u16) -> Option<String> {
        let addresses = self.0.get(&port)?;
        Some(addresses.join(", "))
    }

    /// Adds the ports of a container.
    pub(super) fn add(&mut self, bindings: Option<&Bindings>) {
        for (name, bound) in bindings.into_iter().flatten() {
            let Some(port) = tcp(name) else { continue };
            for binding in bound.iter().flatten() {
                let ip: Option<IpAddr> = binding.host_ip.parse().ok();
                if ip.is_some_and(|ip| ip.to_canonical().is_loopback()) {
                    continue;
                }
                let host = match binding.host_ip.as_str() {
                    "" => "0.0.0.0",
                    ip => ip,
                };
                self.note(port, format!("{host}:{}", binding.host_port));
            }
        }
    }

    /// Adds the ports of the agent's service.
    pub(super) fn add_service(&mut self, ports: &[ServicePort]) {
        for port in ports {
            if port.protocol.is_empty() || port.protocol == "tcp" {
                let published = port.published_port;
                self.note(port.target_port, format!("port {published} of the service"));
            }
        }
    }

    fn note(&mut self, port: u16, address: String) {
        let known = self.0.entry(port).or_default();
        if !known.contains(&address) {
            known.push(address);
        }
    }
}

/// The port of `2375/tcp`.
fn tcp(name: &str) -> Option<u16> {
    match name.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        Some(_) => None,
        None => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_published_unless_only_the_loopback_leads_to_it() {
        for (bindings, expected) in [
            (json!({}), None),
            (json!({ "2375/tcp": null }), None),
            (json!({ "2375/tcp": [] }), None),
            (
                json!({ "2375/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "2375" }] }),
                None,
            ),
            (
                json!({ "2375/tcp": [{ "HostIp": "::1", "HostPort": "2375" }] }),
                None,
            ),
            (
                json!({ "2375/udp": [{ "HostIp": "", "HostPort": "2375" }] }),
                None,
            ),
            (
                json!({ "9001/tcp": [{ "HostIp": "", "HostPort": "2375" }] }),
                None,
            ),
            (
                json!({ "2375/tcp": [{ "HostIp": "", "HostPort": "99" }] }),
                Some("0.0.0.0:99"),
            ),
            (
                json!({ "2375/tcp": [
                    { "HostIp": "127.0.0.1", "HostPort": "1" },
                    { "HostIp": "10.0.0.1", "HostPort": "2" },
                    { "HostIp": "::", "HostPort": "2" },
                ] }),
                Some("10.0.0.1:2, :::2"),
            ),
        ] {
            let read: Bindings = serde_json::from_value(bindings.clone()).unwrap();
            let mut published = Published::default();
            published.add(Some(&read));
            published.add(Some(&read));
            assert_eq!(published.elsewhere(2375).as_deref(), expected, "{bindings}");
        }
    }

    #[test]
    fn a_service_publishes_ports_on_every_node() {
        let ports = json!([
            { "Protocol": "tcp", "TargetPort": 2375, "PublishedPort": 30_000 },
            { "Protocol": "udp", "TargetPort": 53, "PublishedPort": 53 },
        ]);
        let ports: Vec<ServicePort> = serde_json::from_value(ports).unwrap();
        let mut published = Published::default();
        published.add_service(&ports);
        assert!(published.elsewhere(2375).is_some());
        assert_eq!(published.elsewhere(53), None);
    }
}
