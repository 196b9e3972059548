//! Merges the answers of several nodes to one call into one answer.
//!
//! Bytes of each node in, bytes of the cluster out. The agent decides which
//! nodes to ask, how long to wait and what to do about a node that does not
//! answer. Every element keeps the bytes that its engine wrote: no number is
//! re-encoded and no unknown field is lost. One `Portainer` member is added,
//! which names the node; see [`decorate`].
//!
//! Nodes are always in the order of their ids, so the result does not depend
//! on which of them answered first.

mod answer;
mod containers;
mod decorate;
mod dedupe;
mod error;
mod events;
mod fold;
mod images;
mod info;
mod label;
mod lines;
mod list;
mod network;
mod networks;
mod object;
mod pieces;
mod progress;
#[cfg(test)]
mod properties;
mod prune;
mod split;
mod usage;
mod version;
mod volumes;

pub use crate::json::{MAX_DEPTH, MAX_ELEMENTS};
pub use answer::{Merged, NodeAnswer, NodeTag};
pub use containers::{
    Bound, BoundError, ContainerMerger, ContainerPlan, ContainerQuery, ListedContainer, Owns,
    Progress, listed_containers, plan,
};
pub use decorate::decorate;
pub use error::MergeError;
pub use events::{Event, EventKey, EventsPlan, decorate_event};
pub use images::{ImageBound, ImagePlan, ImageQuery, image_plan};
pub use label::{NodeFilter, label_inspect};
pub use lines::{LineSplitter, LineTooLong, MAX_LINE};
pub use progress::{ProgressLine, final_error, outcome_line, progress_line};
pub use version::announce;
pub use volumes::VolumeFilter;

/// How the answers to one endpoint are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeRule {
    /// `GET /containers/json`: newest first, cut to the limit.
    Containers(ContainerQuery),
    /// `GET /images/json`: one row per image id.
    Images,
    /// The same, with a row for each node that has an image.
    ImagesApart,
    /// Either of the two, with `before` or `since`.
    ImagesBetween {
        /// The images that the filters name.
        query: ImageQuery,
        /// Whether each node has a row of its own.
        apart: bool,
    },
    /// `GET /volumes`: local volumes of every node, cluster volumes once.
    Volumes(VolumeFilter),
    /// `GET /networks`: swarm networks once, local networks of every node.
    Networks,
    /// `GET /networks/{id}` of one swarm network: with the containers of all nodes.
    NetworkInspect,
    /// `POST /containers/prune`, and that of images, volumes, networks and
    /// build: everything that was deleted on any node.
    Prune,
    /// `GET /system/df`: the sum of the nodes.
    DataUsage,
    /// `GET /info`: one node's answer with the counts of all.
    InfoTotals {
        /// The id of the node whose answer is the base. If it did not answer,
        /// the first manager takes its place, else the first node.
        speaker: String,
    },
}

/// Merges the answers of the nodes. An answer that cannot be read is reported,
/// and the others are merged.
///
/// The result is the same for every order of `answers`. If none of them can be
/// used, it is the empty list of the endpoint, or `{}` if the endpoint answers
/// with an object: report `unusable` to the client in that case.
#[must_use]
pub fn merge(rule: &MergeRule, answers: Vec<NodeAnswer>) -> Merged {
    merge_labelled(rule, None, answers)
}

/// As [`merge`]; the containers, images, volumes and networks of lists also get a
/// label of this name with the hostname of their node.
#[must_use]
pub fn merge_labelled(
    rule: &MergeRule,
    label: Option<&str>,
    mut answers: Vec<NodeAnswer>,
) -> Merged {
    answers.sort_by(|a, b| (&a.node, &a.body).cmp(&(&b.node, &b.body)));
    match rule {
        MergeRule::Containers(query) => containers::merge(query, label, &answers),
        MergeRule::Images => images::merge(&ImageQuery::default(), &answers, true, label),
        MergeRule::ImagesApart => images::merge(&ImageQuery::default(), &answers, false, label),
        MergeRule::ImagesBetween { query, apart } => images::merge(query, &answers, !apart, label),
        MergeRule::Volumes(filter) => volumes::merge(filter, label, &answers),
        MergeRule::Networks => networks::merge(label, &answers),
        MergeRule::NetworkInspect => network::merge(&answers),
        MergeRule::Prune => prune::merge(&answers),
        MergeRule::DataUsage => usage::merge(&answers),
        MergeRule::InfoTotals { speaker } => info::merge(speaker, &answers),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// An answer of a worker whose host name is its id in capitals.
    pub(super) fn worker(id: &str, body: &str) -> NodeAnswer {
        NodeAnswer {
            node: NodeTag {
                id: id.to_owned(),
                hostname: id.to_uppercase(),
                is_manager: false,
            },
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    pub(super) fn manager(id: &str, body: &str) -> NodeAnswer {
        let mut answer = worker(id, body);
        answer.node.is_manager = true;
        answer
    }

    /// The merged body as text, when every node was usable.
    pub(super) fn merged(rule: &MergeRule, answers: Vec<NodeAnswer>) -> String {
        let merged = merge(rule, answers);
        assert_eq!(merged.unusable, vec![]);
        String::from_utf8(merged.body).unwrap()
    }

    /// Rules that merge into one object have their own tests.
    fn list_rules() -> Vec<MergeRule> {
        vec![
            MergeRule::Containers(ContainerQuery::default()),
            MergeRule::Images,
            MergeRule::ImagesApart,
            MergeRule::Volumes(VolumeFilter::default()),
            MergeRule::Networks,
        ]
    }

    /// One row that every rule understands, in the shape the rule expects.
    fn one_row(rule: &MergeRule) -> &'static str {
        match rule {
            MergeRule::Volumes(_) => {
                r#"{"Volumes":[{"Name":"v","Driver":"local","Scope":"local"}],"Warnings":null}"#
            }
            _ => r#"[{"Id":"x","Created":1}]"#,
        }
    }

    #[test]
    fn a_malformed_answer_is_reported_and_the_others_are_merged() {
        let garbage = [
            "",
            "not json",
            "[{\"Id\":\"y\",\"Created\":2}",
            "[{\"Id\":\"y\",\"Created\":2}] trailing",
            "[1]",
            "[[\"y\",2]]",
            "{\"message\":\"page not found\"}",
            "\"text\"",
            "{\"Volumes\":[{\"Name\":\"v\"",
            "{\"Volumes\":[5],\"Warnings\":null}",
        ];
        for rule in list_rules() {
            let alone = merge(&rule, vec![worker("n1", one_row(&rule))]);
            assert_eq!(alone.unusable, vec![]);
            for body in garbage {
                let merged = merge(
                    &rule,
                    vec![worker("n0", body), worker("n1", one_row(&rule))],
                );
                assert_eq!(merged.body, alone.body, "{rule:?} {body}");
                assert_eq!(merged.unusable.len(), 1, "{rule:?} {body}");
                assert_eq!(merged.unusable[0].0.id, "n0", "{rule:?} {body}");
            }
        }
    }

    #[test]
    fn the_merge_of_no_answers_is_an_empty_list_in_the_shape_of_the_endpoint() {
        for rule in list_rules() {
            let expected = match rule {
                MergeRule::Volumes(_) => "{\"Volumes\":[],\"Warnings\":null}\n",
                _ => "[]\n",
            };
            assert_eq!(merged(&rule, vec![]), expected);
        }
    }

    #[test]
    fn rows_on_one_node_get_a_label_with_it() {
        let rows = r#"[{"Id":"x","Created":1,"Scope":"local","Labels":{"skep.node":"a","b":"c"}}]"#;
        let on_swarm = rows.replace("local", "swarm");
        let volumes = r#"{"Volumes":[{"Name":"v","Scope":"local","Labels":null},{"Name":"w","Scope":"global","Labels":null}],"Warnings":null}"#;
        for (rule, body, labels) in [
            (
                MergeRule::Containers(ContainerQuery::default()),
                rows,
                vec![
                    r#"{"skep.node":"N1","b":"c"}"#,
                    r#"{"skep.node":"N2","b":"c"}"#,
                ],
            ),
            (
                MergeRule::Images,
                rows,
                vec![r#"{"skep.node":"N1,N2","b":"c"}"#],
            ),
            (
                MergeRule::ImagesApart,
                rows,
                vec![
                    r#"{"skep.node":"N1","b":"c"}"#,
                    r#"{"skep.node":"N2","b":"c"}"#,
                ],
            ),
            (
                MergeRule::Networks,
                &on_swarm,
                vec![r#"{"skep.node":"a","b":"c"}"#],
            ),
            (
                MergeRule::Volumes(VolumeFilter::default()),
                volumes,
                vec![r#"{"skep.node":"N1"}"#, "null", r#"{"skep.node":"N2"}"#],
            ),
        ] {
            let answers = || vec![worker("n1", body), worker("n2", body)];
            let labelled = merge_labelled(&rule, Some("skep.node"), answers());
            let plain = merge_labelled(&rule, None, answers());
            assert_eq!(labelled.unusable, vec![], "{rule:?}");
            let mut expected = String::from_utf8(plain.body).unwrap();
            let own = match rule {
                MergeRule::Volumes(_) => "null",
                _ => r#"{"skep.node":"a","b":"c"}"#,
            };
            let mut at = 0;
            for label in labels {
                let member = format!("\"Labels\":{own}");
                let begin = at + expected[at..].find(&member).unwrap();
                let with = format!("\"Labels\":{label}");
                expected.replace_range(begin..begin + member.len(), &with);
                at = begin + with.len();
            }
            let labelled = String::from_utf8(labelled.body).unwrap();
            assert_eq!(labelled, expected, "{rule:?}");
        }
    }

    #[test]
    fn null_from_go_is_an_empty_list() {
        for rule in list_rules() {
            let (body, expected) = match rule {
                MergeRule::Volumes(_) => (
                    "{\"Volumes\":null,\"Warnings\":null}",
                    "{\"Volumes\":[],\"Warnings\":null}\n",
                ),
                _ => ("null", "[]\n"),
            };
            assert_eq!(merged(&rule, vec![worker("n1", body)]), expected);
        }
    }

    #[test]
    fn numbers_unknown_fields_and_spacing_keep_their_bytes() {
        let element = r#"{ "Id":"x", "Created" : 7, "Zeta":1.50e+400, "Big":123456789012345678901234567890, "Esc":"\u003c\ud800", "A":[ ] }"#;
        for rule in [
            MergeRule::Containers(ContainerQuery::default()),
            MergeRule::Images,
            MergeRule::ImagesApart,
            MergeRule::Networks,
        ] {
            let out = merged(&rule, vec![worker("n1", &format!(" [ {element} ] "))]);
            let kept = element.strip_suffix('}').unwrap();
            assert!(out.starts_with(&format!("[{kept},\"Portainer\":")), "{out}");
        }
    }
}
