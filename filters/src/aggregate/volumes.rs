//! Merges `GET /volumes`: local volumes of every node, cluster volumes once.
//!
//! - Volumes of scope `local` belong to one node, even if two have the same name.
//! - Volumes of scope `global` (a driver that reaches them from every node) have
//!   one row per driver and name, preferably of a manager.
//! - Every manager lists all cluster volumes (CSI; those with a `ClusterVolume`),
//!   so each `ClusterVolume.ID` has one row, of the first manager that lists it.
//!   The engine ignores `filters` for them, so they are filtered here; see
//!   [`VolumeFilter`].
//!
//! Rows are in the order of their nodes, then in the order of their engine.
//! `Warnings` are those of all nodes.

mod filter;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::decorate::Decoration;
use super::dedupe::Kept;
use super::error::MergeError;
use super::list::ListWriter;
use super::split::{NodeRows, read_all, read_body, read_elements};
use super::{Merged, NodeAnswer};
use crate::json::{Elements, json_array, present};

pub use filter::VolumeFilter;

const SHAPE: &str = "an object with Volumes and Warnings";

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "Volumes", borrow)]
    volumes: Elements<'a>,
    #[serde(rename = "Warnings", borrow, default = "Elements::none")]
    warnings: Elements<'a>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "Name", borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "Driver", borrow, default)]
    driver: Cow<'a, str>,
    #[serde(rename = "Scope", borrow, default)]
    scope: Cow<'a, str>,
    #[serde(rename = "Labels", borrow, default, deserialize_with = "present")]
    labels: Option<&'a RawValue>,
    #[serde(rename = "ClusterVolume", borrow, default)]
    cluster: Option<ClusterVolume<'a>>,
    #[serde(rename = "Portainer", borrow, default, deserialize_with = "present")]
    portainer: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ClusterVolume<'a> {
    #[serde(rename = "ID", borrow)]
    id: Cow<'a, str>,
    /// The nodes it is published to.
    #[serde(rename = "PublishStatus", default)]
    publish_status: Option<Vec<IgnoredAny>>,
}

/// Two rows with equal keys are the same volume.
#[derive(PartialEq, Eq, Hash)]
enum Key<'r> {
    Global { driver: &'r str, name: &'r str },
    Cluster { id: &'r str },
}

impl Row<'_> {
    /// `None` for a local volume, which belongs to one node.
    fn key(&self) -> Option<Key<'_>> {
        if let Some(cluster) = &self.cluster {
            return Some(Key::Cluster { id: &cluster.id });
        }
        (self.scope == "global").then_some(Key::Global {
            driver: &self.driver,
            name: &self.name,
        })
    }
}

/// The volumes and the warnings of one node.
type Answer<'a> = (NodeRows<'a, Row<'a>>, Vec<&'a str>);

fn read(answer: &NodeAnswer) -> Result<Answer<'_>, MergeError> {
    // A derived `Deserialize` also takes an array for a struct.
    if answer.body.trim_ascii_start().starts_with(b"[") {
        return Err(MergeError::Shape { expected: SHAPE });
    }
    let body: Body<'_> = read_body(&answer.body, SHAPE)?;
    let warnings = body.warnings.texts()?;
    if warnings.iter().any(|warning| !warning.starts_with('"')) {
        return Err(MergeError::Shape { expected: SHAPE });
    }
    let rows = NodeRows {
        node: &answer.node,
        elements: read_elements(body.volumes)?,
    };
    Ok((rows, warnings))
}

pub(super) fn merge(filter: &VolumeFilter, label: Option<&str>, answers: &[NodeAnswer]) -> Merged {
    let (answered, unusable) = read_all(answers, read);
    let (nodes, warnings): (Vec<_>, Vec<_>) = answered.into_iter().unzip();

    let kept = Kept::choose(&nodes, Row::key);
    let mut list = ListWriter::new("{\"Volumes\":", answers);
    for (n, node) in nodes.iter().enumerate() {
        let decoration = Decoration::of(node.node).labelled(label, [node.node]);
        for (e, element) in node.elements.iter().enumerate() {
            let row = &element.row;
            let is_asked_for = row.cluster.is_none() || filter.admits(row);
            if is_asked_for && kept.has(row.key(), (n, e)) {
                let edits = match row.key() {
                    // It is on no node in particular.
                    Some(_) => vec![decoration.edit(element.text, row.portainer)],
                    None => decoration.edits(element.text, row.portainer, row.labels),
                };
                list.push(element.text, edits);
            }
        }
    }
    let warnings = warnings.concat();
    let warnings = if warnings.is_empty() {
        "null".to_owned()
    } else {
        json_array(warnings)
    };
    Merged {
        body: list.finish(&format!(",\"Warnings\":{warnings}}}")),
        unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::super::MergeRule;
    use super::super::tests::{manager, merged, worker};
    use super::*;

    fn rule() -> MergeRule {
        MergeRule::Volumes(VolumeFilter::default())
    }

    fn body(volumes: &[&str]) -> String {
        format!(r#"{{"Volumes":[{}],"Warnings":null}}"#, volumes.join(","))
    }

    /// `name@node` of each row.
    fn rows(rule: &MergeRule, answers: Vec<NodeAnswer>) -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(&merged(rule, answers)).unwrap();
        let rows = value["Volumes"].as_array().unwrap().iter();
        rows.map(|row| {
            let node = row["Portainer"]["Agent"]["NodeName"].as_str().unwrap();
            format!("{}@{node}", row["Name"].as_str().unwrap())
        })
        .collect()
    }

    const LOCAL: &str = r#"{"Name":"data","Driver":"local","Scope":"local"}"#;
    const GLOBAL: &str = r#"{"Name":"data","Driver":"rexray","Scope":"global"}"#;
    const CSI: &str = r#"{"Name":"csi","Driver":"d","Scope":"global","ClusterVolume":{"ID":"v1"}}"#;

    #[test]
    fn the_same_name_on_two_nodes_is_two_local_volumes() {
        let answers = vec![worker("n2", &body(&[LOCAL])), worker("n1", &body(&[LOCAL]))];
        assert_eq!(rows(&rule(), answers), ["data@N1", "data@N2"]);
    }

    #[test]
    fn a_global_volume_is_one_per_driver_and_name() {
        let other = GLOBAL.replace("rexray", "nfs");
        let answers = vec![
            worker("n2", &body(&[GLOBAL, &other])),
            worker("n1", &body(&[LOCAL, GLOBAL])),
        ];
        assert_eq!(rows(&rule(), answers), ["data@N1", "data@N1", "data@N2"]);
    }

    #[test]
    fn a_cluster_volume_that_every_manager_lists_comes_from_the_first_manager() {
        let twin = CSI.replace("v1", "v2");
        let answers = vec![
            manager("n3", &body(&[CSI, &twin])),
            manager("n2", &body(&[CSI, &twin])),
            worker("n1", &body(&[LOCAL])),
        ];
        assert_eq!(rows(&rule(), answers), ["data@N1", "csi@N2", "csi@N2"]);
    }

    #[test]
    fn a_cluster_volume_is_not_mistaken_for_a_global_one_of_its_name() {
        let global = r#"{"Name":"csi","Driver":"d","Scope":"global","ClusterVolume":null}"#;
        let answers = vec![manager("n1", &body(&[CSI, global]))];
        assert_eq!(rows(&rule(), answers), ["csi@N1", "csi@N1"]);
    }

    #[test]
    fn the_filter_applies_only_to_cluster_volumes() {
        let rule = MergeRule::Volumes(VolumeFilter {
            names: vec!["^nothing$".to_owned()],
            ..VolumeFilter::default()
        });
        let answers = vec![manager("n1", &body(&[CSI, LOCAL, GLOBAL]))];
        assert_eq!(rows(&rule, answers), ["data@N1", "data@N1"]);
    }

    #[test]
    fn warnings_of_all_nodes_follow_each_other_byte_for_byte() {
        let one = r#"{"Volumes":null,"Warnings":["b\u003c"]}"#;
        let two = r#"{"Warnings":["a","c"],"Volumes":[],"Later":1}"#;
        let none = r#"{"Volumes":[]}"#;
        assert_eq!(
            merged(
                &rule(),
                vec![worker("n2", two), worker("n1", one), worker("n3", none)]
            ),
            "{\"Volumes\":[],\"Warnings\":[\"b\\u003c\",\"a\",\"c\"]}\n"
        );
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error_of_its_node() {
        for odd in [
            "[]",
            "[[],null]",
            "{}",
            r#"{"Warnings":null}"#,
            r#"{"Volumes":{}}"#,
            r#"{"Volumes":[],"Warnings":[5]}"#,
            r#"{"Volumes":[],"Warnings":"x"}"#,
            r#"{"Volumes":[{"Name":null}]}"#,
        ] {
            let merged = merge(&VolumeFilter::default(), None, &[worker("n1", odd)]);
            assert_eq!(merged.unusable.len(), 1, "{odd}");
            assert_eq!(merged.body, b"{\"Volumes\":[],\"Warnings\":null}\n");
        }
    }
}
