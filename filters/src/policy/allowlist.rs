//! Turns the expressions of wollomatic's socket-proxy into the entries of a policy.
//!
//! That program allows the paths of a method that an expression matches. A policy here
//! allows endpoints, so an expression becomes the endpoints of which it matches every
//! object, in some version of the API. An alternative in it that is no such endpoint
//! is an error: a part of the paths of an endpoint, or a single object, cannot be
//! expressed that way.

use std::collections::BTreeSet;

use regex::Regex;
use regex_syntax::Parser;
use regex_syntax::hir::{Hir, HirKind};

use crate::endpoint::{Endpoint, all};

/// Names and ids that an expression has to match, for it to match every object.
const OBJECTS: [&str; 4] = [
    "web",
    "My_App-1.x",
    "4f0c1b9a7d52",
    "4f0c1b9a7d524f0c1b9a7d524f0c1b9a7d524f0c1b9a7d524f0c1b9a7d524f0c",
];

/// A name of an image.
const IMAGE: &str = "registry.example:5000/library/busybox:1.36";

/// The alternatives of one expression that are looked at.
const BRANCHES: usize = 512;

/// The entries of a policy for the paths of `method` that `expression` matches.
///
/// # Errors
/// A sentence, if it is no expression, or an alternative in it is no endpoint.
pub fn entries(method: &str, expression: &str) -> Result<BTreeSet<String>, String> {
    let parsed = Parser::new().parse(expression);
    let parsed = parsed.map_err(|_| format!("{expression:?} is not a regular expression"))?;
    let branches = branches(&parsed)
        .ok_or_else(|| format!("{expression:?} has more than {BRANCHES} alternatives"))?;
    let mut entries = BTreeSet::new();
    for branch in branches {
        let whole = Regex::new(&format!("^(?:{branch})$"));
        let whole = whole.map_err(|_| format!("{expression:?} is too large"))?;
        let rows = all()
            .iter()
            .filter(|row| row.method.as_str() == method && !row.is_own());
        let before = entries.len();
        let mut known = false;
        for row in rows.filter(|row| covers(&whole, row)) {
            known = true;
            entries.insert(entry(row));
        }
        if !known && entries.len() == before {
            return Err(format!(
                "no endpoint of the Engine API has all of its paths in {:?}, a part of the expression: \
                 write a policy in a configuration file",
                branch.to_string()
            ));
        }
    }
    Ok(entries)
}

/// `GET /containers/*/json`
fn entry(row: &Endpoint) -> String {
    format!("{} {}", row.method.as_str(), with_object(row.pattern, "*"))
}

/// Whether an expression matches every object of an endpoint, in some version.
fn covers(whole: &Regex, row: &Endpoint) -> bool {
    let mut objects = OBJECTS.to_vec();
    if ["images.", "distribution"]
        .iter()
        .any(|group| row.group.starts_with(group))
    {
        objects.push(IMAGE);
    }
    let versions = (24..=60).map(|minor| format!("/v1.{minor}"));
    let mut versions = versions.chain([String::new()]);
    versions.any(|version| {
        let mut paths = objects
            .iter()
            .map(|object| with_object(row.pattern, object));
        paths.all(|path| whole.is_match(&format!("{version}{path}")))
    })
}

/// A row's pattern with this text in place of the object.
fn with_object(pattern: &str, object: &str) -> String {
    let mut path = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').unwrap_or((after, ""));
        path.push_str(before);
        // `{/}` is an optional slash.
        if !inside.starts_with('/') {
            path.push_str(object);
        }
        rest = after;
    }
    path + rest
}

/// The alternatives of an expression, without those below repetitions; `None` if there
/// are too many.
fn branches(hir: &Hir) -> Option<Vec<Hir>> {
    let branches = match hir.kind() {
        HirKind::Capture(capture) => branches(&capture.sub)?,
        HirKind::Alternation(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(branches).collect();
            parts?.concat()
        }
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                let own = branches(part)?;
                let longer = all.iter().flat_map(|before| {
                    own.iter()
                        .map(|last| [&before[..], std::slice::from_ref(last)].concat())
                });
                all = longer.take(BRANCHES + 1).collect();
            }
            all.into_iter().map(Hir::concat).collect()
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_) => vec![hir.clone()],
    };
    (branches.len() <= BRANCHES).then_some(branches)
}

#[cfg(test)]
mod tests {
    use super::super::tests::is_allowed;
    use super::super::{RuleSet, Spec};
    use super::*;

    #[test]
    fn an_expression_becomes_the_endpoints_that_it_matches() {
        for (method, expression, allowed, denied) in [
            (
                "GET",
                r"/v1\..{1,2}/(version|containers/.*|events.*)",
                "GET /version,GET /v1.41/containers/json,GET /containers/a/json,GET /containers/a/logs,GET /events",
                "GET /info,GET /images/json,GET /_ping,POST /containers/a/start",
            ),
            (
                "HEAD",
                ".*",
                "HEAD /_ping,HEAD /containers/a/archive",
                "GET /_ping",
            ),
            ("GET", "/_ping", "GET /_ping", "GET /version,HEAD /_ping"),
            (
                "GET",
                r"(/v[\d.]+)?/(info|images/json|images/.+/json)",
                "GET /info,GET /images/json,GET /images/a/b/json",
                "GET /images/a/history,GET /images/search",
            ),
            (
                "POST",
                r"/v1\.4[0-9]/containers/[a-zA-Z0-9_.-]+/(start|stop|restart)",
                "POST /containers/a/start,POST /containers/a/stop,POST /containers/a/restart",
                "POST /containers/a/kill,POST /containers/create",
            ),
            (
                "DELETE",
                "/v1.41/volumes/.*",
                "DELETE /volumes/a",
                "DELETE /containers/a",
            ),
        ] {
            let entries = entries(method, expression).unwrap();
            let spec = Spec::allowing(entries.iter().map(String::as_str));
            let rules = RuleSet::new(&spec).unwrap_or_else(|e| panic!("{expression}: {e:?}"));
            for request in allowed.split(',') {
                assert!(is_allowed(&rules, request), "{expression}: {request}");
            }
            for request in denied.split(',') {
                assert!(!is_allowed(&rules, request), "{expression}: {request}");
            }
        }
    }

    #[test]
    fn what_is_no_endpoint_is_an_error_that_names_the_part() {
        for (method, expression, part) in [
            ("GET", "(", "regular expression"),
            ("GET", r"/v1\..{1,2}/containers/traefik/json", "traefik"),
            (
                "GET",
                "/v1.41/(info|containers/[a-f0-9]{64}/json)",
                "[0-9a-f]{64}",
            ),
            ("GET", "/v1.41/(info|nothing)", "nothing"),
            ("GET", "/v1.41/images/[^/]+/json", "images"),
            ("PATCH", ".*", "no endpoint"),
            ("GET", "info", "info"),
            ("GET", "", "no endpoint"),
            ("GET", &"(aa|bc)".repeat(10), "alternatives"),
        ] {
            let error = entries(method, expression).unwrap_err();
            assert!(error.contains(part), "{expression}: {error}");
        }
    }

    #[test]
    fn everything_of_a_method_is_a_valid_policy() {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let entries = entries(method, ".*").unwrap();
            let spec = Spec::allowing(entries.iter().map(String::as_str));
            assert!(RuleSet::new(&spec).is_ok(), "{method}: {entries:?}");
        }
    }
}
