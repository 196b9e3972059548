//! Fuzzes the head of a request: its endpoint, its verdicts, and its query.
//!
//! The bytes are `METHOD target`, and an `Upgrade` value on a second line.

use super::rules::{Rules, outcome};
use crate::aggregate::{EventsPlan, Owns, plan};
use crate::endpoint::filters::Filters;
use crate::endpoint::{RequestPath, classify, query};
use crate::policy::{On, Request};

/// A parsed request line.
#[derive(Clone, Copy)]
pub(super) struct Line<'t> {
    pub(super) method: &'t str,
    pub(super) path: &'t str,
    pub(super) query: &'t str,
    pub(super) upgrade: Option<&'t str>,
}

/// Classifies it, judges it, and reads its query as list calls do.
///
/// # Panics
/// If filters do not read back as they were written, or a query for the nodes
/// asks for something else than the client.
pub fn run(data: &[u8]) {
    let Some(line) = Line::parse(data) else {
        return;
    };
    let _ = line.verdicts();

    if let Ok(filters) = Filters::from_query(line.query) {
        let again = Filters::from_query(&filters.set_in(line.query));
        assert_eq!(again.ok(), Some(filters), "filters do not read back");
    }
    let containers = plan(line.query);
    for (before, since) in [(false, false), (true, false), (false, true), (true, true)] {
        let query = containers.query_for(Owns { before, since });
        if !containers.has_reference() {
            assert_eq!(query, line.query, "a query changed for no reason");
        }
    }
    let events = EventsPlan::new(line.query);
    for query in [events.local_query(Some("7")), events.swarm_query(Some("7"))] {
        let Some(query) = query.filter(|_| !events.malformed()) else {
            continue;
        };
        assert_eq!(query::all(&query, "since").collect::<Vec<_>>(), ["7"]);
        assert_eq!(query::all(&query, "filters").count(), 1);
    }
}

impl<'t> Line<'t> {
    pub(super) fn parse(data: &'t [u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let (line, upgrade) = match text.split_once('\n') {
            Some((line, upgrade)) => (line, Some(upgrade)),
            None => (text, None),
        };
        let (method, target) = line.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self {
            method,
            path,
            query,
            upgrade,
        })
    }

    /// The verdict of each policy; `None` if its path has no single reading.
    pub(super) fn verdicts(&self) -> Option<Vec<(String, bool)>> {
        let path = RequestPath::parse(self.path).ok()?;
        let found = classify(self.method, &path);
        let request = Request {
            found: found.as_ref(),
            method: self.method,
            path: &path,
            query: self.query,
            upgrade: self.upgrade,
            on: On::Unknown,
        };
        let rules = Rules::get()?.all();
        Some(
            rules
                .iter()
                .map(|rules| outcome(&rules.judge(&request)))
                .collect(),
        )
    }
}
