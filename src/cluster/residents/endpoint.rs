//! Tells whether a container has an address before the engine lists the container.
//!
//! The engine connects a container to its networks, starts its process, and then lists
//! it as running: a process that calls at once is early. A network's endpoints are
//! there before the process is (`initializeNetworking` in moby's `daemon/start.go`).

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// A row of `GET /networks`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    pub(super) id: String,
    #[serde(default, rename = "IPAM")]
    ipam: Option<Ipam>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    config: Option<Vec<Pool>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Pool {
    subnet: Option<String>,
}

/// `GET /networks/{id}`, as far as it counts here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Endpoints {
    containers: Option<HashMap<String, Endpoint>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "IPv4Address")]
    v4: String,
    #[serde(rename = "IPv6Address")]
    v6: String,
}

impl Network {
    /// Whether a pool of the network holds the address.
    pub(super) fn holds(&self, address: IpAddr) -> bool {
        let pools = self.ipam.iter().flat_map(|ipam| &ipam.config).flatten();
        let subnets = pools.filter_map(|pool| pool.subnet.as_ref()?.parse::<IpNet>().ok());
        subnets.into_iter().any(|subnet| subnet.contains(&address))
    }
}

impl Endpoints {
    /// Whether a container has the address. Other endpoints, as the load balancers of
    /// an overlay network, have no container's id as their key.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let endpoints = self.containers.iter().flatten();
        let mut own = endpoints.filter(|(key, _)| is_id(key));
        own.any(|(_, endpoint)| {
            [&endpoint.v4, &endpoint.v6]
                .iter()
                .any(|own| is(own, address))
        })
    }
}

fn is_id(key: &str) -> bool {
    key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Engines write the address with the length of its prefix.
fn is(own: &str, address: IpAddr) -> bool {
    own.parse::<IpNet>().is_ok_and(|own| own.addr() == address)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn holds(config: Value, address: &str) -> bool {
        let network = json!({ "Id": "n", "IPAM": { "Config": config } });
        let network: Network = from_value(network).unwrap();
        network.holds(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_the_addresses_of_all_its_pools() {
        let two = json!([{ "Subnet": "172.29.7.0/24" }, { "Subnet": "fd00::/64" }]);
        for (address, expected) in [
            ("172.29.7.3", true),
            ("fd00::3", true),
            ("172.29.8.3", false),
            ("::1", false),
        ] {
            assert_eq!(holds(two.clone(), address), expected, "{address}");
        }
        for none in [
            json!(null),
            json!([]),
            json!([{}]),
            json!([{ "Subnet": "" }]),
        ] {
            assert!(!holds(none, "172.29.7.3"));
        }
    }

    #[test]
    fn the_endpoints_of_containers_count() {
        let id = "a".repeat(64);
        let of = |key: &str| {
            let endpoint = json!({ "IPv4Address": "172.29.7.3/24", "IPv6Address": "fd00::3/64" });
            from_value::<Endpoints>(json!({ "Containers": { key: endpoint } })).unwrap()
        };
        for (key, address, expected) in [
            (id.as_str(), "172.29.7.3", true),
            (&id, "fd00::3", true),
            (&id, "172.29.7.30", false),
            ("lb-sockets", "172.29.7.3", false),
            ("ep-0123", "172.29.7.3", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(of(key).has(address), expected, "{key} {address}");
        }
        let none: Endpoints = from_value(json!({ "Containers": null })).unwrap();
        assert!(!none.has("172.29.7.3".parse().unwrap()));
    }
}
