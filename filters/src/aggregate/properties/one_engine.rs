//! Tests that the cluster lists its containers like one engine with all of them,
//! except for the order within one second.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Bound, MergeRule, Owns, merge, plan};
use super::{IDS, answers, parse, tag};

/// Of one container: its name, its node and its age in nanoseconds.
#[derive(Clone, Debug)]
struct Container {
    name: String,
    node: usize,
    created: i64,
}

const SECOND: i64 = 1_000_000_000;

impl Container {
    /// As in an inspect; all of them are of the first minute of 1970.
    fn created(&self) -> String {
        let (seconds, nanos) = (self.created / SECOND, self.created % SECOND);
        format!("1970-01-01T00:00:{seconds:02}.{nanos:09}Z")
    }
}

/// Containers with distinct creation times, newest first, on any nodes.
fn containers() -> impl Strategy<Value = Vec<Container>> {
    let seconds = prop_oneof![Just(2_i64), Just(60)];
    let created =
        seconds.prop_flat_map(|seconds| prop::collection::btree_set(0..seconds * SECOND, 2..12));
    created
        .prop_flat_map(|created| {
            let nodes = prop::collection::vec(0..IDS.len(), created.len());
            (Just(created), nodes)
        })
        .prop_map(|(created, nodes)| {
            let newest_first = created.into_iter().rev().zip(nodes).enumerate();
            newest_first
                .map(|(i, (created, node))| Container {
                    name: format!("c{i}"),
                    node,
                    created,
                })
                .collect()
        })
}

/// The list of an engine with these containers; `None` if it lacks a reference of
/// the query.
fn engine(containers: &[Container], raw_query: &str) -> Option<Vec<Container>> {
    let query = plan(raw_query);
    let place = |name: &Option<String>| match name {
        Some(name) => containers.iter().position(|c| c.name == *name).map(Some),
        None => Some(None),
    };
    let start = place(&query.before)?.map_or(0, |at| at + 1);
    let end = place(&query.since)?.unwrap_or(containers.len());
    let listed = containers.get(start..end).unwrap_or_default();
    let limit = query.limit.unwrap_or(usize::MAX);
    Some(listed.iter().take(limit).cloned().collect())
}

/// The list of the cluster, whose nodes get the queries of the plan.
fn cluster(all: &[Container], raw_query: &str) -> Vec<String> {
    let plan = plan(raw_query);
    let find = |name: &Option<String>| {
        let name = name.as_ref()?;
        all.iter().find(|c| c.name == *name)
    };
    let (before, since) = (find(&plan.before), find(&plan.since));
    let nodes: Vec<_> = IDS
        .iter()
        .enumerate()
        .map(|(n, id)| {
            let own: Vec<Container> = all.iter().filter(|c| c.node == n).cloned().collect();
            let query = plan.query_for(Owns {
                before: before.is_some_and(|c| c.node == n),
                since: since.is_some_and(|c| c.node == n),
            });
            let row = |c: Container| json!({ "Id": c.name, "Created": c.created / SECOND });
            let listed = engine(&own, &query).expect("no node is asked for a reference it lacks");
            let rows = listed.into_iter().map(|c| row(c).to_string()).collect();
            (tag(id, false), rows)
        })
        .collect();
    let bound = |c: Option<&Container>| c.map(|c| Bound::new(&c.created(), IDS[c.node]).unwrap());
    let rule = MergeRule::Containers(plan.resolved(bound(before), bound(since)));
    let merged = parse(&merge(&rule, answers(&rule, &nodes)));
    let rows = merged.as_array().unwrap().iter();
    let id = |row: &Value| row["Id"].as_str().unwrap().to_owned();
    rows.map(id).collect()
}

/// A query with a reference at the given places of the list, if any.
fn query(before: Option<&str>, since: Option<&str>, limit: Option<usize>) -> String {
    let mut filters = json!({});
    for (name, reference) in [("before", before), ("since", since)] {
        if let Some(reference) = reference {
            filters[name] = json!([reference]);
        }
    }
    let limit = limit.map_or(String::new(), |limit| format!("&limit={limit}"));
    format!("filters={filters}{limit}")
}

fn maybe_place() -> impl Strategy<Value = Option<prop::sample::Index>> {
    prop::option::weighted(0.7, any::<prop::sample::Index>())
}

proptest! {
    #[test]
    fn the_cluster_lists_what_one_engine_would(
        mut all in containers(),
        places in (maybe_place(), maybe_place()),
        limit in prop::option::of(1..6_usize),
    ) {
        // No client knows the order within one second: here it is that of the nodes.
        let second = |c: &Container| -(c.created / SECOND);
        all.sort_by_key(|c| (second(c), c.node, -c.created));

        let place = |index: Option<prop::sample::Index>| index.map(|i| i.index(all.len()));
        let (before, since) = match (place(places.0), place(places.1)) {
            (Some(a), Some(b)) if a == b => (Some(a), None),
            // The range between two containers, rather than an empty one.
            (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
            places => places,
        };
        let name = |at: Option<usize>| at.map(|at| all[at].name.as_str());
        let raw_query = query(name(before), name(since), limit);

        let expected = engine(&all, &raw_query).unwrap();
        let expected: Vec<String> = expected.into_iter().map(|c| c.name).collect();
        prop_assert_eq!(cluster(&all, &raw_query), expected, "{}", raw_query);
    }
}
