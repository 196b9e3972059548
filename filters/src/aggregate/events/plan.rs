//! Plans the queries for a node's own events, and for the events of the cluster.

use crate::endpoint::filters::Filters;
use crate::endpoint::query;

/// The query of `GET /events`, read for the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPlan {
    raw: String,
    /// `None` if they cannot be read.
    filters: Option<Filters>,
    /// The client's `since` as it is: seconds, a date or a span of time.
    pub since: Option<String>,
    /// The client's `until`; without it the stream has no end.
    pub until: Option<String>,
}

impl EventsPlan {
    /// Reads a raw query, without its `?`.
    #[must_use]
    pub fn new(raw_query: &str) -> Self {
        // An engine takes an empty time for none.
        let time = |name| query::get(raw_query, name).filter(|time| !time.is_empty());
        Self {
            raw: raw_query.to_owned(),
            filters: Filters::from_query(raw_query).ok(),
            since: time("since").map(Into::into),
            until: time("until").map(Into::into),
        }
    }

    /// Whether the filters cannot be read. Both queries are then the client's
    /// own, so that an engine refuses them. Ask one engine only: an engine that
    /// takes them would report events of both scopes for each query.
    #[must_use]
    pub fn malformed(&self) -> bool {
        self.filters.is_none()
    }

    /// The query for a node's own events; `None` if the client does not want such.
    /// `since` (seconds, with nanoseconds after a point) replaces the client's.
    #[must_use]
    pub fn local_query(&self, since: Option<&str>) -> Option<String> {
        self.query_of("local", since)
    }

    /// The query for the events of the cluster's objects, likewise.
    #[must_use]
    pub fn swarm_query(&self, since: Option<&str>) -> Option<String> {
        self.query_of("swarm", since)
    }

    fn query_of(&self, scope: &str, since: Option<&str>) -> Option<String> {
        let Some(filters) = &self.filters else {
            return Some(self.raw.clone());
        };
        if !filters.matches_exactly("scope", scope) {
            return None;
        }
        let mut filters = filters.clone();
        filters.remove("scope");
        filters.insert("scope", scope);
        let query = filters.set_in(&self.raw);
        Some(match since {
            Some(since) => query::with(&query, "since", since),
            None => query,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `filters` and `since` of a query.
    fn read(query: Option<String>) -> Option<(String, Option<String>)> {
        let query = query?;
        let filters = Filters::from_query(&query).unwrap().to_string();
        Some((filters, query::get(&query, "since").map(Into::into)))
    }

    #[test]
    fn each_scope_is_asked_with_the_clients_other_filters() {
        let plan = EventsPlan::new(r#"a=%31&filters={"type":["node"]}&until=9"#);
        assert!(!plan.malformed());
        assert_eq!(
            (plan.since.as_deref(), plan.until.as_deref()),
            (None, Some("9"))
        );
        let filters = |scope| format!(r#"{{"scope":{{"{scope}":true}},"type":{{"node":true}}}}"#);
        assert_eq!(read(plan.local_query(None)), Some((filters("local"), None)));
        assert_eq!(read(plan.swarm_query(None)), Some((filters("swarm"), None)));
        let local = plan.local_query(None).unwrap();
        assert!(
            local.starts_with("a=%31&") && local.ends_with("&until=9"),
            "{local}"
        );
    }

    #[test]
    fn a_scope_that_the_client_does_not_want_is_not_requested() {
        for (filters, local, swarm) in [
            ("", true, true),
            ("{}", true, true),
            (r#"{"scope":[]}"#, true, true),
            (r#"{"scope":["local"]}"#, true, false),
            (r#"{"scope":{"swarm":true}}"#, false, true),
            (r#"{"scope":["swarm","local"]}"#, true, true),
            // To an engine, a value with `false` does not match.
            (r#"{"scope":{"swarm":false}}"#, false, false),
            (r#"{"scope":["node"]}"#, false, false),
        ] {
            let plan = EventsPlan::new(&format!("filters={filters}"));
            assert_eq!(plan.local_query(None).is_some(), local, "{filters}");
            assert_eq!(plan.swarm_query(None).is_some(), swarm, "{filters}");
        }
    }

    #[test]
    fn a_resumed_stream_begins_at_the_given_time() {
        for raw in ["", "since=1", "since=1&since=2", "x=1"] {
            let plan = EventsPlan::new(raw);
            for query in [plan.local_query(Some("7.5")), plan.swarm_query(Some("7.5"))] {
                let query = query.unwrap();
                assert_eq!(query::all(&query, "since").collect::<Vec<_>>(), ["7.5"]);
            }
        }
        let plan = EventsPlan::new("since=1m&until=");
        assert_eq!((plan.since.as_deref(), plan.until), (Some("1m"), None));
    }

    #[test]
    fn filters_that_cannot_be_read_are_left_to_the_engine() {
        let raw = "filters=%7Bnot+json&since=1";
        let plan = EventsPlan::new(raw);
        assert!(plan.malformed());
        assert_eq!(plan.local_query(Some("2")).as_deref(), Some(raw));
        assert_eq!(plan.swarm_query(None).as_deref(), Some(raw));
    }

    proptest! {
        #[test]
        fn any_query_is_planned(raw in "\\PC{0,40}") {
            let plan = EventsPlan::new(&raw);
            let query = plan.local_query(Some("1"));
            prop_assert!(plan.malformed() || query.is_none_or(|q| query::get(&q, "since").as_deref() == Some("1")));
        }
    }
}
