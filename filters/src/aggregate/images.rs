//! Merges `GET /images/json`: one row per image id, newest first.
//!
//! The row of the first node that has the image is the base. Names are united,
//! `Containers` is summed, `Manifests` are united by digest. Every other field
//! is that of the base: `Size` and `SharedSize`, for example, are about the disk
//! of one node. A field is rewritten only if it changes.
//!
//! Engines with the containerd store and engines with graph drivers use
//! different ids for the same image; such rows are not united. For a client that
//! acts on the one node that a row names, as Portainer's UI does, no rows are
//! united.

mod plan;
mod unite;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::decorate::Decoration;
use super::list::ListWriter;
use super::split::{Element, NodeRows, read_lists};
use super::{Merged, NodeAnswer, NodeTag};
use crate::json::{Edit, present};
pub use plan::{ImageBound, ImagePlan, ImageQuery, image_plan};

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "Id", borrow)]
    id: Cow<'a, str>,
    /// Seconds since 1970.
    #[serde(rename = "Created")]
    created: i64,
    #[serde(rename = "RepoTags", borrow, default, deserialize_with = "present")]
    tags: Option<&'a RawValue>,
    #[serde(rename = "RepoDigests", borrow, default, deserialize_with = "present")]
    digests: Option<&'a RawValue>,
    #[serde(rename = "Containers", borrow, default, deserialize_with = "present")]
    containers: Option<&'a RawValue>,
    #[serde(rename = "Manifests", borrow, default, deserialize_with = "present")]
    manifests: Option<&'a RawValue>,
    #[serde(rename = "Labels", borrow, default, deserialize_with = "present")]
    labels: Option<&'a RawValue>,
    #[serde(rename = "Portainer", borrow, default, deserialize_with = "present")]
    portainer: Option<&'a RawValue>,
}

/// One image, and the nodes that have it in node order.
struct Image<'r, 'a> {
    base: &'r Element<'a, Row<'a>>,
    first: &'a NodeTag,
    others: Vec<(&'a NodeTag, &'r Row<'a>)>,
}

pub(super) fn merge(
    query: &ImageQuery,
    answers: &[NodeAnswer],
    united: bool,
    label: Option<&str>,
) -> Merged {
    let (nodes, unusable) = read_lists::<Row<'_>>(answers);
    let mut images = group(&nodes, query, united);
    images.sort_by_key(|image| Reverse(image.base.row.created));

    let mut list = ListWriter::new("", answers);
    for image in &images {
        let text = image.base.text;
        let decoration = if united {
            Decoration::of_many(image.first, &image.nodes())
        } else {
            Decoration::of(image.first)
        };
        let decoration = decoration.labelled(label, image.nodes());
        let row = &image.base.row;
        let mut edits = image.united_fields();
        edits.extend(decoration.edits(text, row.portainer, row.labels));
        list.push(text, edits);
    }
    Merged {
        body: list.finish(""),
        unusable,
    }
}

fn group<'r, 'a>(
    nodes: &'r [NodeRows<'a, Row<'a>>],
    query: &ImageQuery,
    united: bool,
) -> Vec<Image<'r, 'a>> {
    let mut images: Vec<Image<'r, 'a>> = Vec::new();
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for node in nodes {
        for element in &node.elements {
            if !query.admits(&node.node.id, element.row.created) {
                continue;
            }
            let next = images.len();
            let at = if united {
                *by_id.entry(&element.row.id).or_insert(next)
            } else {
                next
            };
            match images.get_mut(at) {
                Some(image) => image.others.push((node.node, &element.row)),
                None => images.push(Image {
                    base: element,
                    first: node.node,
                    others: Vec::new(),
                }),
            }
        }
    }
    images
}

impl<'a> Image<'_, 'a> {
    fn nodes(&self) -> Vec<&'a NodeTag> {
        let mut nodes = vec![self.first];
        nodes.extend(self.others.iter().map(|(node, _)| *node));
        nodes.dedup();
        nodes
    }

    /// The fields of the base that the other nodes' rows change.
    fn united_fields(&self) -> Vec<Edit<'static>> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let base = &self.base.row;
        let others = |field: fn(&Row<'a>) -> Option<&'a RawValue>| {
            self.others.iter().map(move |(_, row)| field(row))
        };
        let replace = |field: Option<&RawValue>, with: Option<String>| {
            Edit::replace(self.base.text, field?.get(), with?)
        };
        [
            replace(base.tags, unite::names(base.tags, others(|r| r.tags))),
            replace(
                base.digests,
                unite::names(base.digests, others(|r| r.digests)),
            ),
            replace(
                base.containers,
                unite::counts(base.containers, others(|r| r.containers)),
            ),
            replace(
                base.manifests,
                unite::manifests(base.manifests, others(|r| r.manifests)),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MergeRule;
    use super::super::tests::{merged, worker};
    use super::*;

    fn image(id: &str, created: i64, tags: &str, containers: i64) -> String {
        format!(
            r#"{{"Containers":{containers},"Created":{created},"Id":"{id}","RepoTags":{tags},"RepoDigests":[],"Size":1}}"#
        )
    }

    fn rows(answers: Vec<NodeAnswer>) -> Vec<serde_json::Value> {
        serde_json::from_str(&merged(&MergeRule::Images, answers)).unwrap()
    }

    #[test]
    fn an_image_of_two_nodes_is_one_row_that_names_both() {
        let body = format!("[{}]", image("sha256:a", 5, r#"["a:1"]"#, -1));
        let expected = format!(
            "[{},\"Portainer\":{{\"Agent\":{{\"NodeName\":\"N1\",\"NodeID\":\"n1\",\"Nodes\":[\"N1\",\"N2\"]}}}}}}]\n",
            image("sha256:a", 5, r#"["a:1"]"#, -1)
                .strip_suffix('}')
                .unwrap()
        );
        let answers = vec![worker("n2", &body), worker("n1", &body)];
        assert_eq!(merged(&MergeRule::Images, answers), expected);
    }

    #[test]
    fn without_uniting_each_row_belongs_to_one_node() {
        let (one, two) = (
            image("x", 5, r#"["a:1"]"#, 2),
            image("x", 5, r#"["b:1"]"#, 3),
        );
        let answers = vec![
            worker("n2", &format!("[{two}]")),
            worker("n1", &format!("[{one},{}]", image("y", 9, "[]", 0))),
        ];
        let rows: serde_json::Value =
            serde_json::from_str(&merged(&MergeRule::ImagesApart, answers)).unwrap();
        let row = |n: usize| {
            (
                &rows[n]["Id"],
                &rows[n]["RepoTags"],
                &rows[n]["Portainer"]["Agent"]["NodeName"],
            )
        };
        assert_eq!(rows.as_array().map(Vec::len), Some(3));
        assert_eq!(row(0), (&"y".into(), &serde_json::json!([]), &"N1".into()));
        assert_eq!(
            row(1),
            (&"x".into(), &serde_json::json!(["a:1"]), &"N1".into())
        );
        assert_eq!(
            row(2),
            (&"x".into(), &serde_json::json!(["b:1"]), &"N2".into())
        );
    }

    #[test]
    fn names_are_united_and_containers_summed() {
        let rows = rows(vec![
            worker("n1", &format!("[{}]", image("x", 5, r#"["a:1"]"#, 2))),
            worker("n2", &format!("[{}]", image("x", 5, r#"["b:1","a:1"]"#, 3))),
        ]);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["RepoTags"], serde_json::json!(["a:1", "b:1"]));
        assert_eq!(rows[0]["Containers"], 5);
        assert_eq!(rows[0]["RepoDigests"], serde_json::json!([]));
        assert_eq!(rows[0]["Size"], 1);
    }

    #[test]
    fn a_field_that_does_not_change_keeps_its_bytes() {
        let odd = r#"{"Id":"x","Created":1,"RepoTags":[ "a:1" ,"b:\u0031"],"Containers": 0}"#;
        let same = r#"{"Id":"x","Created":1,"RepoTags":["b:1"],"Containers":0}"#;
        let body = merged(
            &MergeRule::Images,
            vec![
                worker("n1", &format!("[{odd}]")),
                worker("n2", &format!("[{same}]")),
            ],
        );
        assert!(body.starts_with(&format!("[{}", odd.strip_suffix('}').unwrap())));
    }

    #[test]
    fn images_are_newest_first_and_equal_seconds_keep_node_then_engine_order() {
        let list = |rows: &[(&str, i64)]| {
            let rows: Vec<_> = rows
                .iter()
                .map(|(id, at)| image(id, *at, "[]", 0))
                .collect();
            format!("[{}]", rows.join(","))
        };
        let rows = rows(vec![
            worker("n2", &list(&[("d", 9), ("b", 5), ("e", 5)])),
            worker("n1", &list(&[("a", 7), ("c", 5), ("b", 5)])),
        ]);
        let ids: Vec<_> = rows.iter().map(|row| row["Id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["d", "a", "c", "b", "e"]);
    }

    #[test]
    fn the_same_tag_on_different_ids_stays_two_rows() {
        let rows = rows(vec![
            worker("n1", &format!("[{}]", image("config", 5, r#"["a:1"]"#, 0))),
            worker("n2", &format!("[{}]", image("index", 5, r#"["a:1"]"#, 0))),
        ]);
        assert_eq!(rows.len(), 2);
    }
}
