//! Reads the labels of a create body that choose a node: `skep.node`, and the
//! project of docker compose.
//!
//! Containers, networks and volumes have their labels in the same place. They are
//! read as by the engine: a repeated map is read into the first.

use std::collections::BTreeMap;

use crate::json::{Members, is_null};

/// The label by which a person chooses the node of a new object: its id or hostname.
pub const NODE_LABEL: &str = "skep.node";

/// The label in which docker compose keeps an object's project.
pub const PROJECT_LABEL: &str = "com.docker.compose.project";

/// The longest value that is read, in bytes: no node and no project has a longer name.
const LONGEST: usize = 256;

/// The labels in a create body that choose a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacingLabels {
    /// The node, by id or hostname.
    pub node: Option<String>,
    /// The project of docker compose.
    pub project: Option<String>,
}

impl PlacingLabels {
    /// Reads the body. A body that the engine cannot read has none.
    #[must_use]
    pub fn of_create(body: &[u8]) -> Self {
        read(body).unwrap_or_default()
    }
}

fn read(body: &[u8]) -> Option<PlacingLabels> {
    let mut labels: BTreeMap<&str, String> = BTreeMap::new();
    for value in Members::of(body)?.field("Labels") {
        if is_null(value) {
            labels.clear();
            continue;
        }
        let map = Members::of(value.get().as_bytes())?;
        for (name, value) in map.iter() {
            let known = [NODE_LABEL, PROJECT_LABEL].into_iter().find(|k| *k == name);
            // Go reads `null` as an empty text.
            let text: Option<String> = serde_json::from_str(value.get()).ok()?;
            if let Some(name) = known {
                labels.insert(name, text.unwrap_or_default());
            }
        }
    }
    let mut label = |name| {
        labels
            .remove(name)
            .filter(|value| !value.is_empty() && value.len() <= LONGEST)
    };
    Some(PlacingLabels {
        node: label(NODE_LABEL),
        project: label(PROJECT_LABEL),
    })
}

/// The number of rows of a list that are on one node only and belong to the
/// project: of containers, of networks, or of volumes.
///
/// Engines filter by label; the label is compared here as well, since a row of
/// another project would move a new object to a wrong node.
#[must_use]
pub fn rows_of_project(list: &[u8], project: &str) -> usize {
    let rows = Rows::of(list).unwrap_or_default();
    rows.iter().filter(|row| row.is_of(project)).count()
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Row {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(rename = "Scope")]
    scope: Option<String>,
}

impl Row {
    fn is_of(&self, project: &str) -> bool {
        // A network of the Swarm and a volume of a shared driver are on every node.
        let is_local = self.scope.as_deref().is_none_or(|scope| scope == "local");
        let labels = self.labels.as_ref();
        is_local
            && labels
                .and_then(|labels| labels.get(PROJECT_LABEL))
                .is_some_and(|own| own == project)
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Rows {
    Plain(Vec<Row>),
    Volumes {
        #[serde(rename = "Volumes")]
        volumes: Option<Vec<Row>>,
    },
}

impl Rows {
    fn of(list: &[u8]) -> Option<Vec<Row>> {
        match serde_json::from_slice(list).ok()? {
            Self::Plain(rows) => Some(rows),
            Self::Volumes { volumes } => volumes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `node | project`
    fn labels(body: &str) -> String {
        let PlacingLabels { node, project } = PlacingLabels::of_create(body.as_bytes());
        let text = |label: Option<String>| label.unwrap_or_default();
        format!("{} | {}", text(node), text(project))
    }

    #[test]
    fn the_labels_are_read_as_by_the_engine() {
        for (body, expected) in [
            (r#"{"Labels":{"skep.node":"n2"}}"#, "n2 | "),
            (
                r#"{"Labels":{"com.docker.compose.project":"shop","a":"b"}}"#,
                " | shop",
            ),
            (
                r#"{"labels":{"skep.node":"a"},"LABELS":{"skep.node":"b"}}"#,
                "b | ",
            ),
            (
                r#"{"Labels":{"skep.node":"a"},"labels":{"com.docker.compose.project":"p"}}"#,
                "a | p",
            ),
            (r#"{"Labels":{"skep.node":"a"},"Labels":null}"#, " | "),
            (r#"{"Labels":{"Skep.Node":"a"}}"#, " | "),
            (r#"{"Labels":{"skep.node":""}}"#, " | "),
            (r#"{"Labels":{"skep.node":null}}"#, " | "),
            (r#"{"Labels":{"sk\u0065p.node":"a"}}"#, "a | "),
            (r#"{"Labels":{"skep.node":"a","skep.node":"b"}}"#, "b | "),
            (r#"{"HostConfig":{"Labels":{"skep.node":"a"}}}"#, " | "),
        ] {
            assert_eq!(labels(body), expected, "{body}");
        }
    }

    #[test]
    fn a_body_that_the_engine_refuses_chooses_no_node() {
        for body in [
            "",
            "null",
            "[]",
            "{",
            r#"{"Labels":["skep.node=n2"]}"#,
            r#"{"Labels":{"skep.node":5}}"#,
            r#"{"Labels":{"skep.node":"n2","other":5}}"#,
        ] {
            assert_eq!(labels(body), " | ", "{body}");
        }
        let long = format!(r#"{{"Labels":{{"skep.node":"{}"}}}}"#, "n".repeat(257));
        assert_eq!(labels(&long), " | ");
    }

    #[test]
    fn the_local_objects_of_a_project_are_counted() {
        let own = r#"{"Labels":{"com.docker.compose.project":"shop"},"Scope":"local"}"#;
        let swarm = own.replace("local", "swarm");
        let other = own.replace("shop", "shop2");
        let bare = r#"{"Labels":null}"#;
        let no_scope = own.replace(r#","Scope":"local""#, "");
        for (list, count) in [
            (format!("[{own},{swarm},{other},{bare},{no_scope}]"), 2),
            (
                format!(r#"{{"Volumes":[{own},{other}],"Warnings":null}}"#),
                1,
            ),
            (r#"{"Volumes":null}"#.to_owned(), 0),
            ("null".to_owned(), 0),
            ("not json".to_owned(), 0),
            (r#"{"message":"no"}"#.to_owned(), 0),
        ] {
            assert_eq!(rows_of_project(list.as_bytes(), "shop"), count, "{list}");
        }
    }
}
