//! Reads an entry of `allow` or `deny`: a group of the endpoint table, or a method
//! and path.

use std::collections::BTreeSet;

use super::pattern::PathPattern;
use super::request::{Request, imports};
use crate::endpoint::{EndpointId, Match, all};

/// The bit after those of the endpoint table: an import, which belongs to a
/// group of its own but has no row of its own.
const IMPORT: usize = EndpointId::COUNT;

/// Rows of the endpoint table as bits, and [`IMPORT`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rows([u64; IMPORT / 64 + 1]);

impl Rows {
    fn insert(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    fn contains(self, row: usize) -> bool {
        self.0[row / 64] & 1 << (row % 64) != 0
    }
}

/// One entry of `allow` or `deny`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selector {
    /// Its rule and its own text, for verdicts.
    pub(super) label: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Group(Rows),
    Path(PathPattern),
}

impl Selector {
    /// Reads `containers.read`, `services.*`, `*.read`, `*` or `GET /info`.
    pub(super) fn parse(text: &str, label: String) -> Result<Self, String> {
        let what = if text.contains(['/', ' ']) {
            What::Path(PathPattern::parse(text)?)
        } else {
            What::Group(group(text)?)
        };
        Ok(Self { label, what })
    }

    pub(super) fn matches(&self, request: &Request<'_>, found: &Match) -> bool {
        match &self.what {
            What::Group(rows) => rows.contains(row(request, found)),
            What::Path(pattern) => pattern.matches(request.method, request.path.path(), found),
        }
    }
}

/// The names of the groups, in order.
pub fn groups() -> impl Iterator<Item = &'static str> {
    let names: BTreeSet<_> = all().iter().map(|endpoint| endpoint.group).collect();
    names.into_iter()
}

fn row(request: &Request<'_>, found: &Match) -> usize {
    if found.endpoint.import_group.is_some() && imports(request.query) {
        IMPORT
    } else {
        found.endpoint.id as usize
    }
}

fn group(text: &str) -> Result<Rows, String> {
    let is_named = |group: &str| match text.split_once('.') {
        _ if text == "*" => true,
        Some((area, "*")) => group.split('.').next() == Some(area),
        Some(("*", verb)) => group.split_once('.').is_some_and(|(_, own)| own == verb),
        _ => group == text,
    };
    let mut rows = Rows::default();
    for endpoint in all() {
        if is_named(endpoint.group) {
            rows.insert(endpoint.id as usize);
        }
        if endpoint.import_group.is_some_and(is_named) {
            rows.insert(IMPORT);
        }
    }
    if rows == Rows::default() {
        return Err(unknown(text));
    }
    Ok(rows)
}

fn unknown(text: &str) -> String {
    let area = text.split('.').next().unwrap_or_default();
    let is_near = |group: &&str| {
        let own = group.split('.').next().unwrap_or_default();
        !area.is_empty() && (own.starts_with(area) || area.starts_with(own))
    };
    let near: Vec<_> = groups().filter(is_near).collect();
    let known: Vec<_> = if near.is_empty() {
        groups().collect()
    } else {
        near
    };
    format!(
        "`{text}` is not a group of endpoints; known groups: {}",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<EndpointId> {
        let rows = group(text).unwrap();
        let ids = all().iter().map(|endpoint| endpoint.id);
        ids.filter(|id| rows.contains(*id as usize)).collect()
    }

    #[test]
    fn a_selector_names_one_group_an_area_or_a_verb() {
        assert_eq!(rows("containers.logs"), [EndpointId::ContainerLogs]);
        assert_eq!(rows("exec").len(), 5);
        assert!(rows("services.*").contains(&EndpointId::ServiceLogs));
        assert!(rows("*.read").contains(&EndpointId::VolumeList));
        assert!(!rows("*.read").contains(&EndpointId::SwarmInspect));
        assert_eq!(rows("*").len(), all().len());
    }

    #[test]
    fn an_import_needs_the_group_for_writing_not_the_group_for_pulls() {
        for (text, expected) in [("images.write", true), ("images.pull", false), ("*", true)] {
            assert_eq!(group(text).unwrap().contains(IMPORT), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_group_is_refused_and_the_message_lists_similar_ones() {
        let error = Selector::parse("container.read", String::new()).unwrap_err();
        assert!(error.contains("containers.read"), "{error}");
        for text in [
            "",
            ".",
            "containers",
            "containers.re*",
            "x.*",
            "*.x",
            "Containers.read",
        ] {
            assert!(Selector::parse(text, String::new()).is_err(), "{text}");
        }
    }
}
