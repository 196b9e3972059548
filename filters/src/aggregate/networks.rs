//! Merges `GET /networks`: swarm networks once, local networks of every node.
//!
//! A swarm network has the same id on every node that lists it. A worker's
//! copy has another `Created` and other `Peers` than the managers', and it
//! lists only the overlays it uses, so a manager's row is preferred. `bridge`,
//! `host` and other local networks are different networks on every node. Their
//! rows are never dropped, even if two nodes have the same id: machines that
//! were cloned with their Docker directory do, and have two networks.
//!
//! Rows are in the order of their nodes, then in the order of their engine.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decorate::Decoration;
use super::dedupe::Kept;
use super::list::ListWriter;
use super::split::read_lists;
use super::{Merged, NodeAnswer};
use crate::json::present;

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "Id", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "Scope", borrow, default)]
    scope: Cow<'a, str>,
    #[serde(rename = "Labels", borrow, default, deserialize_with = "present")]
    labels: Option<&'a RawValue>,
    #[serde(rename = "Portainer", borrow, default, deserialize_with = "present")]
    portainer: Option<&'a RawValue>,
}

impl Row<'_> {
    /// `None` for a local network, which belongs to one node.
    fn key(&self) -> Option<&str> {
        (self.scope != "local").then_some(&self.id)
    }
}

pub(super) fn merge(label: Option<&str>, answers: &[NodeAnswer]) -> Merged {
    let (nodes, unusable) = read_lists::<Row<'_>>(answers);

    let kept = Kept::choose(&nodes, Row::key);
    let mut list = ListWriter::new("", answers);
    for (n, node) in nodes.iter().enumerate() {
        let decoration = Decoration::of(node.node).labelled(label, [node.node]);
        for (e, element) in node.elements.iter().enumerate() {
            let row = &element.row;
            if kept.has(row.key(), (n, e)) {
                let edits = match row.key() {
                    // It is on no node in particular.
                    Some(_) => vec![decoration.edit(element.text, row.portainer)],
                    None => decoration.edits(element.text, row.portainer, row.labels),
                };
                list.push(element.text, edits);
            }
        }
    }
    Merged {
        body: list.finish(""),
        unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{manager, merged, worker};
    use super::super::{MergeRule, NodeAnswer};

    const OVERLAY: &str = "8m2nfsaq6usm0w49ckqzdhg39";

    /// `(name, node name)` of each row.
    fn rows(answers: Vec<NodeAnswer>) -> Vec<(String, String)> {
        let body = merged(&MergeRule::Networks, answers);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    text(&row["Name"]),
                    text(&row["Portainer"]["Agent"]["NodeName"]),
                )
            })
            .collect()
    }

    fn swarm(name: &str) -> String {
        format!(r#"{{"Name":"{name}","Id":"{OVERLAY}","Scope":"swarm"}}"#)
    }

    fn local(name: &str, id: &str) -> String {
        format!(r#"{{"Name":"{name}","Id":"{id}","Scope":"local"}}"#)
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |&(a, b): &(&str, &str)| (a.to_owned(), b.to_owned());
        expected.iter().map(own).collect()
    }

    #[test]
    fn a_swarm_network_is_listed_once_with_the_managers_row() {
        let answers = vec![
            worker("n1", &format!("[{}]", swarm("worker copy"))),
            manager("n3", &format!("[{}]", swarm("second manager"))),
            manager("n2", &format!("[{}]", swarm("first manager"))),
        ];
        assert_eq!(rows(answers), pairs(&[("first manager", "N2")]));
    }

    #[test]
    fn an_overlay_that_no_answering_manager_lists_comes_from_the_first_worker() {
        let answers = vec![
            worker("n2", &format!("[{}]", swarm("b"))),
            worker("n1", &format!("[{}]", swarm("a"))),
            manager("n0", "[]"),
        ];
        assert_eq!(rows(answers), pairs(&[("a", "N1")]));
    }

    #[test]
    fn the_bridge_of_every_node_stays_in_node_then_engine_order() {
        let answers = vec![
            worker(
                "n2",
                &format!("[{},{}]", local("host", "h2"), local("bridge", "b2")),
            ),
            manager(
                "n1",
                &format!("[{},{}]", local("bridge", "b1"), swarm("ov")),
            ),
        ];
        assert_eq!(
            rows(answers),
            pairs(&[
                ("bridge", "N1"),
                ("ov", "N1"),
                ("host", "N2"),
                ("bridge", "N2")
            ])
        );
    }

    #[test]
    fn local_networks_of_cloned_machines_are_two_networks() {
        let answers = vec![
            worker("n1", &format!("[{}]", local("app", "same"))),
            worker("n2", &format!("[{}]", local("app", "same"))),
        ];
        assert_eq!(rows(answers), pairs(&[("app", "N1"), ("app", "N2")]));
    }
}
