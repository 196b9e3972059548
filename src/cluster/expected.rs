//! Reads a manager's list of nodes (`GET /nodes`). Without it, a node whose
//! agent never came up would be missing unnoticed.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(rename = "State", default)]
    state: String,
}

/// Reads the answer to `GET /nodes`.
///
/// # Errors
/// Fails if it is not a list of nodes.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Expected>, serde_json::Error> {
    let nodes: Vec<Node> = serde_json::from_slice(body)?;
    let expected = nodes.into_iter().map(|node| Expected {
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
    fn a_list_of_nodes_is_read_and_unknown_fields_are_ignored() {
        let body = br#"[{"ID":"a","Spec":{"Role":"manager","Labels":{"zone":"a"}},
            "Description":{"Hostname":"n1","Platform":{}},"Status":{"State":"ready","Addr":"1.2.3.4"}},
            {"ID":"b","Status":{"State":"down"}}]"#;
        let nodes = parse(body).unwrap();
        assert_eq!(nodes[0].hostname, "n1");
        assert!(nodes[0].manager && !nodes[0].down);
        assert_eq!(nodes[0].labels["zone"], "a");
        assert!(!nodes[1].manager && nodes[1].down);
        assert!(parse(b"{\"message\":\"no\"}").is_err());
    }
}
