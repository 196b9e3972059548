//! Merges `GET /containers/json`: the containers of all nodes, newest first.
//!
//! An engine sorts by creation in nanoseconds but reports whole seconds, so
//! sorting the rows again could undo its order. Instead the lists are merged:
//! each keeps its own order, and of two rows of the same second, the row of the
//! node with the smaller id comes first.

mod bound;
mod merger;
mod plan;

use serde::Deserialize;

use super::{Merged, NodeAnswer};

pub(super) use bound::unix_seconds;
pub use bound::{Bound, BoundError};
pub use merger::{ContainerMerger, Progress};
pub use plan::{ContainerPlan, Owns, plan};
pub(super) use plan::{reference_in, without_references};

/// The part of a query that the merge itself carries out; made by
/// [`ContainerPlan::resolved`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerQuery {
    /// Most rows to answer with.
    pub limit: Option<usize>,
    /// Only rows listed after this container. The rows of its own node are
    /// not filtered: that engine did it, to the nanosecond.
    pub before: Option<Bound>,
    /// Only rows listed ahead of this container, with the same exception.
    pub since: Option<Bound>,
}

impl ContainerQuery {
    fn admits(&self, created: i64, node_id: &str) -> bool {
        let before = self.before.as_ref();
        let since = self.since.as_ref();
        before.is_none_or(|bound| bound.is_owned_by(node_id) || bound.precedes(created, node_id))
            && since
                .is_none_or(|bound| bound.is_owned_by(node_id) || bound.follows(created, node_id))
    }
}

pub(super) fn merge(query: &ContainerQuery, label: Option<&str>, answers: &[NodeAnswer]) -> Merged {
    let nodes = answers.iter().map(|answer| answer.node.clone()).collect();
    let mut merger = ContainerMerger::new(query.clone(), label, nodes);
    let mut unusable = Vec::new();
    for (at, answer) in answers.iter().enumerate() {
        let fed = merger.feed(at, &answer.body, |_| {});
        if let Err(error) = fed.and_then(|()| merger.finish(at)) {
            merger.fail(at);
            unusable.push((answer.node.clone(), error));
        }
    }
    let mut body = Vec::with_capacity(merger.held() + 2);
    merger.take(&mut body, usize::MAX, |_| true);
    Merged { body, unusable }
}

/// A container in an engine's list.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct ListedContainer {
    /// Its full id.
    #[serde(rename = "Id")]
    pub id: String,
    #[serde(rename = "Names", default)]
    names: Option<Vec<String>>,
}

impl ListedContainer {
    /// Its own name: the others, such as `/other/alias`, are legacy links to it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let names = self.names.iter().flatten();
        let mut names = names.filter_map(|name| name.strip_prefix('/'));
        names.find(|name| !name.contains('/'))
    }
}

/// The containers in one engine's list, as far as it can be read.
#[must_use]
pub fn listed_containers(list: &[u8]) -> Vec<ListedContainer> {
    serde_json::from_slice(list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{merged, worker};
    use super::super::{MergeRule, NodeAnswer};
    use super::*;

    /// A list of `id@created`.
    fn list(rows: &str) -> String {
        let rows: Vec<String> = rows
            .split_whitespace()
            .map(|row| {
                let (id, created) = row.split_once('@').unwrap();
                format!(r#"{{"Id":"{id}","Created":{created}}}"#)
            })
            .collect();
        format!("[{}]", rows.join(","))
    }

    fn ids(query: ContainerQuery, answers: Vec<NodeAnswer>) -> String {
        let body = merged(&MergeRule::Containers(query), answers);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        let rows = value.as_array().unwrap().iter();
        let ids: Vec<&str> = rows.map(|row| row["Id"].as_str().unwrap()).collect();
        ids.join(" ")
    }

    fn bound(seconds: u8, owner: &str) -> Option<Bound> {
        Some(Bound::new(&format!("1970-01-01T00:00:{seconds:02}.5Z"), owner).unwrap())
    }

    #[test]
    fn the_ids_of_a_list_are_those_of_its_rows_and_of_nothing_within_them() {
        let list = br#"[{"Id":"a","Mounts":[{"Id":"no"}]},{"Names":[],"Id":"b"}]"#;
        let listed = listed_containers(list);
        let ids: Vec<_> = listed.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(listed_containers(b"garbage").is_empty());
    }

    #[test]
    fn the_name_of_a_container_is_the_one_that_is_not_a_link() {
        for (names, name) in [
            (r#"["/web"]"#, Some("web")),
            (r#"["/other/alias","/web"]"#, Some("web")),
            ("[]", None),
            ("null", None),
        ] {
            let list = format!(r#"[{{"Id":"a","Names":{names}}}]"#);
            assert_eq!(
                listed_containers(list.as_bytes())[0].name(),
                name,
                "{names}"
            );
        }
    }

    #[test]
    fn a_row_keeps_its_bytes_and_gets_its_node() {
        let body = r#"[{"Id":"x", "Created":5,"State":"running"}]"#;
        let query = MergeRule::Containers(ContainerQuery::default());
        assert_eq!(
            merged(&query, vec![worker("n1", body)]),
            "[{\"Id\":\"x\", \"Created\":5,\"State\":\"running\",\"Portainer\":{\"Agent\":{\"NodeName\":\"N1\",\"NodeID\":\"n1\"}}}]\n"
        );
    }

    #[test]
    fn rows_are_merged_newest_first_and_equal_seconds_keep_their_engines_order() {
        let answers = || {
            vec![
                worker("n2", &list("d@9 e@5 f@5 g@1")),
                worker("n1", &list("a@7 c@5 b@5")),
            ]
        };
        assert_eq!(ids(ContainerQuery::default(), answers()), "d a c b e f g");
    }

    #[test]
    fn the_limit_counts_rows_of_the_cluster() {
        let answers = || vec![worker("n2", &list("d@9 e@5")), worker("n1", &list("a@7"))];
        for (limit, expected) in [(0, ""), (1, "d"), (2, "d a"), (3, "d a e"), (99, "d a e")] {
            let query = ContainerQuery {
                limit: Some(limit),
                ..ContainerQuery::default()
            };
            assert_eq!(ids(query, answers()), expected);
        }
    }

    #[test]
    fn before_cuts_the_other_nodes_where_the_list_has_the_reference() {
        // `r@5` on n2 is the reference: its engine answered with what is older.
        let answers = vec![
            worker("n1", &list("a@6 b@5 c@4")),
            worker("n2", &list("d@5 e@3")),
            worker("n3", &list("f@6 g@5 h@4")),
        ];
        let query = ContainerQuery {
            before: bound(5, "n2"),
            ..ContainerQuery::default()
        };
        assert_eq!(ids(query, answers), "d g c h e");
    }

    #[test]
    fn since_cuts_the_other_nodes_where_the_list_has_the_reference() {
        let answers = vec![
            worker("n1", &list("a@6 b@5 c@4")),
            worker("n2", &list("d@7 e@5")),
            worker("n3", &list("f@6 g@5 h@4")),
        ];
        let query = ContainerQuery {
            since: bound(5, "n2"),
            ..ContainerQuery::default()
        };
        assert_eq!(ids(query, answers), "d a f b e");
    }

    #[test]
    fn the_limit_is_applied_after_the_bounds() {
        let answers = vec![
            worker("n1", &list("a@9 b@8 c@4 d@3")),
            worker("n2", &list("e@5")),
        ];
        let query = ContainerQuery {
            limit: Some(2),
            before: bound(6, "n2"),
            since: None,
        };
        assert_eq!(ids(query, answers), "e c");
    }

    #[test]
    fn a_row_without_a_creation_time_is_an_error() {
        let answer = worker("n1", r#"[{"Id":"x"}]"#);
        let merged = merge(&ContainerQuery::default(), None, &[answer]);
        assert_eq!(merged.body, b"[]\n");
        let reason = merged.unusable[0].1.to_string();
        assert!(reason.contains("Created"), "{reason}");
    }
}
