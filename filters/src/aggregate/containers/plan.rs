//! Plans the query for each node when a list of containers has `before` or `since`.
//!
//! An engine that lacks the container that such a filter names fails the whole
//! call (500 or 404, by version). So only the node that has it gets the filter.
//! The others are asked without it, and the merge cuts their rows at the
//! [`Bound`] of the reference.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Bound, ContainerQuery};
use crate::endpoint::query;

/// The query of `GET /containers/json`, read for the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPlan {
    raw: String,
    /// `limit`, if it limits: engines take zero and less for no limit.
    pub limit: Option<usize>,
    /// The id or name, perhaps with a leading `/`, in `filters.before`.
    pub before: Option<String>,
    /// The same of `filters.since`.
    pub since: Option<String>,
}

/// Which of the two references a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owns {
    /// It has the container that `before` names.
    pub before: bool,
    /// It has the container that `since` names.
    pub since: bool,
}

/// Reads a raw query, without its `?`.
///
/// A query that cannot be read is left for the engines to refuse. So is a filter
/// with several values, of which an engine picks one at random.
#[must_use]
pub fn plan(raw_query: &str) -> ContainerPlan {
    ContainerPlan {
        raw: raw_query.to_owned(),
        limit: query::get(raw_query, "limit")
            .and_then(|limit| limit.parse::<usize>().ok())
            .filter(|&limit| limit > 0),
        before: reference_in(raw_query, "before"),
        since: reference_in(raw_query, "since"),
    }
}

/// The one value of this filter of a raw query.
pub(in crate::aggregate) fn reference_in(raw_query: &str, name: &str) -> Option<String> {
    let filters = query::get(raw_query, "filters")?;
    single_name(parse_filters(&filters)?.get(name)?)
}

impl ContainerPlan {
    /// Whether a reference has to be found before any node is asked.
    #[must_use]
    pub fn has_reference(&self) -> bool {
        self.before.is_some() || self.since.is_some()
    }

    /// The query for a node that has the references that `owns` says; pairs
    /// that need no change stay byte for byte.
    ///
    /// Without `before` the engine does not know where to start counting, so its
    /// `limit` is removed too. A limit includes stopped containers, so `all=1`
    /// replaces it. Without `since` the limit stays: both cut the end of the
    /// list.
    #[must_use]
    pub fn query_for(&self, owns: Owns) -> String {
        let drop_before = self.before.is_some() && !owns.before;
        let drop_since = self.since.is_some() && !owns.since;
        if !drop_before && !drop_since {
            return self.raw.clone();
        }
        let query = without_references(&self.raw, drop_before, drop_since);
        if !drop_before || self.limit.is_none() {
            return query;
        }
        query::with(&query::without(&query, &["limit", "all"]), "all", "1")
    }

    /// The work left for the merge, once the references have been inspected.
    #[must_use]
    pub fn resolved(&self, before: Option<Bound>, since: Option<Bound>) -> ContainerQuery {
        ContainerQuery {
            limit: self.limit,
            before,
            since,
        }
    }
}

/// The query without the filters to be dropped.
pub(in crate::aggregate) fn without_references(
    raw_query: &str,
    drop_before: bool,
    drop_since: bool,
) -> String {
    let json = query::get(raw_query, "filters").unwrap_or_default();
    let Some(mut filters) = parse_filters(&json) else {
        return raw_query.to_owned();
    };
    if drop_before {
        filters.remove("before");
    }
    if drop_since {
        filters.remove("since");
    }
    // The values stay as they are: an engine refuses a mix of the two shapes.
    match serde_json::to_string(&filters) {
        Ok(json) if !filters.is_empty() => query::with(raw_query, "filters", &json),
        _ => query::without(raw_query, &["filters"]),
    }
}

fn parse_filters(json: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(json).ok()
}

/// The value of a filter that has exactly one, in either shape that engines read.
fn single_name(value: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        Set(BTreeMap<String, bool>),
        List(Vec<String>),
    }
    let mut values = match serde_json::from_str(value.get()).ok()? {
        Values::Set(set) => set.into_keys().collect(),
        Values::List(list) => list,
    };
    let name = values.pop()?;
    values.is_empty().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(json: &str) -> String {
        query::with("", "filters", json)
    }

    fn for_others(plan: &ContainerPlan) -> String {
        plan.query_for(Owns::default())
    }

    #[test]
    fn both_shapes_of_filters_name_the_reference() {
        for json in [
            r#"{"before":{"/web":true}}"#,
            r#"{"before":["/web"]}"#,
            r#"{"before":{"/web":false}}"#,
        ] {
            let plan = plan(&filters(json));
            assert_eq!(plan.before.as_deref(), Some("/web"));
            assert_eq!(plan.since, None);
            assert!(plan.has_reference());
        }
    }

    #[test]
    fn a_query_without_references_goes_to_every_node_unchanged() {
        for raw in [
            "",
            "all=1&limit=5",
            "filters=%7B%22label%22%3A%5B%22a%22%5D%7D&x=%zz",
            "filters=%7B%22before",
            "filters=not+json",
            "filters=%7B%22before%22%3A%5B%5D%7D",
            "filters=%7B%22before%22%3A%5B%22a%22%2C%22b%22%5D%7D",
            "filters=%7B%22before%22%3A5%7D",
            "before=web",
        ] {
            let plan = plan(raw);
            assert!(!plan.has_reference(), "{raw}");
            assert_eq!(for_others(&plan), raw);
        }
    }

    #[test]
    fn a_limit_is_a_positive_number() {
        for (raw, limit) in [
            ("limit=3", Some(3)),
            ("l%69mit=3&limit=4", Some(3)),
            ("limit=0", None),
            ("limit=-1", None),
            ("limit=", None),
            ("limit", None),
            ("limit=x", None),
        ] {
            assert_eq!(plan(raw).limit, limit, "{raw}");
        }
    }

    #[test]
    fn other_nodes_are_asked_without_the_reference_and_its_limit() {
        let both = r#"{"before":["a"],"label":["k=v"],"since":["b"]}"#;
        let rest = filters(r#"{"label":["k=v"]}"#);
        let table = [
            // Nothing is left of the filters.
            (filters(r#"{"before":["a"]}"#), String::new()),
            // Other pairs, odd as they may be, stay.
            (
                format!("size=%31&{}&&x", filters(both)),
                format!("size=%31&{rest}&&x"),
            ),
            // A limit means: stopped ones too.
            (
                format!("limit=2&{}&all=0", filters(both)),
                format!("{rest}&all=1"),
            ),
            // Without a limit `all` is the client's.
            (format!("{}&all=0", filters(both)), format!("{rest}&all=0")),
            // Only the end of the list is cut: the limit holds on every node.
            (
                format!("limit=2&{}", filters(r#"{"since":{"a":true}}"#)),
                "limit=2".to_owned(),
            ),
            // An engine reads the first of two: the second does not take its place.
            (
                format!(
                    "{}&{}",
                    filters(r#"{"since":["a"]}"#),
                    filters(r#"{"label":["b"]}"#)
                ),
                String::new(),
            ),
        ];
        for (raw, expected) in table {
            let plan = plan(&raw);
            assert_eq!(for_others(&plan), expected, "{raw}");
            let both = Owns {
                before: true,
                since: true,
            };
            assert_eq!(plan.query_for(both), raw);
        }
    }

    #[test]
    fn a_node_with_one_of_two_references_keeps_that_one() {
        let raw = format!(
            "limit=2&{}",
            filters(r#"{"before":{"a":true},"since":{"b":true}}"#)
        );
        let plan = plan(&raw);
        let owns = |before, since| plan.query_for(Owns { before, since });
        assert_eq!(owns(true, true), raw);
        assert_eq!(
            owns(true, false),
            format!("limit=2&{}", filters(r#"{"before":{"a":true}}"#))
        );
        assert_eq!(
            owns(false, true),
            format!("{}&all=1", filters(r#"{"since":{"b":true}}"#))
        );
    }
}
