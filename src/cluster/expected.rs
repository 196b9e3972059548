//! Reads a manager's list of nodes (`GET /nodes`). Without it, a node whose
//! agent never came up would be missing unnoticed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One node as the managers list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) id: String,
    pub(crate) hostname: String,
    /// Whether its specified role is that of a manager.
    pub(crate) manager: bool,
    /// Its labels (`Spec.Labels`), which only managers know.
    pub(crate) labels: BTreeMap<String, String>,
    /// Whether the managers report it as down.
    pub(crate) down: bool,
    /// Whether the scheduler gives it tasks; absent for a word that is not known.
    pub(crate) availability: Option<Availability>,
    /// The address under which the other nodes know it.
    pub(crate) address: Option<IpAddr>,
}

/// Whether the scheduler gives tasks to a node (`Spec.Availability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Availability {
    /// It gets tasks.
    Active,
    /// It keeps its tasks and gets no new ones.
    Pause,
    /// It has no running tasks.
    Drain,
}

impl Availability {
    fn read(word: &str) -> Option<Self> {
        match word {
            "active" => Some(Self::Active),
            "pause" => Some(Self::Pause),
            "drain" => Some(Self::Drain),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Description", default)]
    description: Description,
    #[serde(rename = "Spec", default)]
    spec: Spec,
    #[serde(rename = "Status", default)]
    status: Status,
    #[serde(rename = "ManagerStatus", default)]
    manager: Option<ManagerStatus>,
}

impl Node {
    /// Of a manager, the address that the other managers call: its `Status.Addr`
    /// may be `0.0.0.0` or that of the loopback (moby#35437).
    fn address(&self) -> Option<IpAddr> {
        let manager = self.manager.as_ref();
        let listed = manager.and_then(|m| host(&m.addr));
        let address = listed.or_else(|| self.status.addr.parse().ok());
        address.filter(|ip| !ip.is_unspecified())
    }
}

/// The host of `IP:PORT`, unless it is the unspecified address.
pub(crate) fn host(address: &str) -> Option<IpAddr> {
    let address: std::net::SocketAddr = address.parse().ok()?;
    Some(address.ip()).filter(|ip| !ip.is_unspecified())
}

#[derive(Deserialize)]
struct ManagerStatus {
    #[serde(rename = "Addr", default)]
    addr: String,
}

#[derive(Default, Deserialize)]
struct Description {
    #[serde(rename = "Hostname", default)]
    hostname: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(rename = "Role", default)]
    role: String,
    #[serde(rename = "Availability", default)]
    availability: String,
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(rename = "State", default)]
    state: String,
    #[serde(rename = "Addr", default)]
    addr: String,
}

/// Reads the answer to `GET /nodes`.
///
/// # Errors
/// Fails if it is not a list of nodes.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Expected>, serde_json::Error> {
    let nodes: Vec<Node> = serde_json::from_slice(body)?;
    let expected = nodes.into_iter().map(|node| Expected {
        address: node.address(),
        availability: Availability::read(&node.spec.availability),
        id: node.id,
        hostname: node.description.hostname,
        manager: node.spec.role == "manager",
        labels: node.spec.labels.unwrap_or_default(),
        down: node.status.state == "down",
    });
    Ok(expected.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_manager_is_the_one_that_other_managers_call() {
        for (status, manager, address) in [
            (
                "10.0.0.1",
                r#"{"Leader":true,"Addr":"10.0.0.1:2377"}"#,
                Some("10.0.0.1"),
            ),
            ("127.0.0.1", r#"{"Addr":"10.0.0.1:2377"}"#, Some("10.0.0.1")),
            ("0.0.0.0", r#"{"Addr":"[fd00::1]:2377"}"#, Some("fd00::1")),
            ("10.0.0.2", r#"{"Addr":"0.0.0.0:2377"}"#, Some("10.0.0.2")),
            ("10.0.0.2", "null", Some("10.0.0.2")),
            ("fd00::2", "null", Some("fd00::2")),
            ("0.0.0.0", "null", None),
            ("", r#"{"Addr":""}"#, None),
            ("node2", "null", None),
        ] {
            let row = format!(
                r#"[{{"ID":"a","Status":{{"Addr":"{status}"}},"ManagerStatus":{manager}}}]"#
            );
            let nodes = parse(row.as_bytes()).unwrap();
            let expected = address.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(nodes[0].address, expected, "{row}");
        }
    }

    #[test]
    fn the_availability_of_a_node_is_read() {
        for word in ["active", "pause", "drain", "later"] {
            let row = format!(r#"[{{"ID":"a","Spec":{{"Availability":"{word}"}}}}]"#);
            let read = parse(row.as_bytes()).unwrap()[0].availability;
            assert_eq!(
                read.map(Availability::as_str),
                Some(word).filter(|w| *w != "later")
            );
        }
    }

    #[test]
    fn a_list_of_nodes_is_read_and_unknown_fields_are_ignored() {
        let body = br#"[{"ID":"a","Spec":{"Role":"manager","Labels":{"zone":"a"}},
            "Description":{"Hostname":"n1","Platform":{}},"Status":{"State":"ready","Addr":"1.2.3.4"}},
            {"ID":"b","Status":{"State":"down"}}]"#;
        let nodes = parse(body).unwrap();
        assert_eq!(nodes[0].hostname, "n1");
        assert!(nodes[0].manager && !nodes[0].down);
        assert_eq!(nodes[0].labels["zone"], "a");
        assert!(!nodes[1].manager && nodes[1].down);
        assert_eq!(nodes[0].address, "1.2.3.4".parse().ok());
        assert_eq!((nodes[1].address, nodes[1].availability), (None, None));
        assert!(parse(b"{\"message\":\"no\"}").is_err());
    }
}
