//! Matches `METHOD /path/pattern` on decoded segments.
//!
//! `*` matches one segment. `**` at the end matches any number of segments,
//! including none. The name of an object is matched both as one segment, even
//! if it has slashes as names of images have, and as the segments that it
//! consists of. So `/containers/a/b/exec`, which the engine takes for a linked
//! container's name, does not evade a rule for `/containers/*/exec`.

use crate::endpoint::{Endpoint, Match, all};

/// A method and a path pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PathPattern {
    /// `None` matches every method.
    method: Option<String>,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Literal(String),
    One,
    Rest,
}

impl PathPattern {
    /// Reads `GET /containers/*/json`; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (method, path) = text
            .split_once(' ')
            .ok_or("a path needs a method before it, or `*`")?;
        let method = match method {
            "*" => None,
            "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" => Some(method.to_owned()),
            _ => {
                return Err(format!(
                    "unknown method `{method}`: use one of GET, HEAD, POST, PUT, DELETE, OPTIONS or `*`"
                ));
            }
        };
        let rest = path.strip_prefix('/');
        let rest = rest.ok_or_else(|| format!("the path `{path}` must start with `/`"))?;
        let segments = rest
            .split('/')
            .map(segment)
            .collect::<Result<Vec<_>, _>>()?;
        if segments.iter().rev().skip(1).any(|s| *s == Segment::Rest) {
            return Err("`**` matches the rest of a path and can only be its end".into());
        }
        let pattern = Self { method, segments };
        if is_version(rest) {
            return Err("write the path without the API version".into());
        }
        if !all().iter().any(|row| pattern.may_match(row)) {
            return Err(format!("`{text}` matches no endpoint of the Engine API"));
        }
        Ok(pattern)
    }

    pub(super) fn matches(&self, method: &str, path: &str, found: &Match) -> bool {
        if self.method.as_ref().is_some_and(|own| own != method) {
            return false;
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        // The engine serves `/networks/` as it does `/networks`.
        let plain = path.strip_suffix('/').unwrap_or(path);
        if fits(&self.segments, plain.split('/')) {
            return true;
        }
        // Match the name as one segment, at its place in the row's pattern.
        let Some(name) = found.object.as_deref().filter(|name| name.contains('/')) else {
            return false;
        };
        let prefix = found.endpoint.pattern.find('{').unwrap_or_default();
        let before = path.get(..prefix.saturating_sub(2)).unwrap_or_default();
        let after = path.get(prefix.saturating_sub(1) + name.len()..);
        let after = after.and_then(|rest| rest.strip_prefix('/'));
        let whole = before.split('/').chain(std::iter::once(name));
        fits(
            &self.segments,
            whole.chain(after.into_iter().flat_map(|a| a.split('/'))),
        )
    }

    /// Whether any request for this row could match.
    fn may_match(&self, row: &Endpoint) -> bool {
        let method = self.method.as_deref();
        let row_path: Vec<&str> = row.pattern.split('/').skip(1).collect();
        method.is_none_or(|method| row.method.covers(method)) && unify(&self.segments, &row_path)
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    match text {
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Rest),
        _ if text.contains('*') => Err(format!(
            "in `{text}`, `*` would match a part of a segment: `*` matches one whole segment, and `/**` everything that follows"
        )),
        _ if text.contains(['%', '?', '#', ';', '\\', '{']) => {
            Err(format!("`{text}` is not a segment of a decoded path"))
        }
        _ => Ok(Segment::Literal(text.to_owned())),
    }
}

fn fits<'p>(pattern: &[Segment], mut path: impl Iterator<Item = &'p str>) -> bool {
    for segment in pattern {
        match (segment, path.next()) {
            (Segment::Rest, _) => return true,
            (_, None) => return false,
            (Segment::One, Some("")) => return false,
            (Segment::One, Some(_)) => {}
            (Segment::Literal(own), Some(part)) if own == part => {}
            (Segment::Literal(_), Some(_)) => return false,
        }
    }
    path.next().is_none()
}

/// Whether a path exists that both match; `row` is in moby's notation.
fn unify(pattern: &[Segment], row: &[&str]) -> bool {
    match (pattern, row) {
        ([Segment::Rest, ..], _) | ([], []) => true,
        (_, [greedy, rest @ ..]) if greedy.contains(":.") => {
            (0..=pattern.len()).any(|taken| unify(&pattern[taken..], rest))
        }
        ([_, ..], []) | ([], _) => false,
        ([Segment::One, pattern @ ..], [_, row @ ..]) => unify(pattern, row),
        ([Segment::Literal(own), pattern @ ..], [part, row @ ..]) => {
            (part.starts_with('{') || part.trim_end_matches("{/}") == own) && unify(pattern, row)
        }
    }
}

fn is_version(path: &str) -> bool {
    let first = path.split('/').next().and_then(|s| s.strip_prefix('v'));
    first.is_some_and(|s| s.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{RequestPath, classify};

    fn matches(pattern: &str, request: &str) -> bool {
        let (method, raw) = request.split_once(' ').unwrap();
        let path = RequestPath::parse(raw).unwrap();
        let found = classify(method, &path).unwrap();
        PathPattern::parse(pattern)
            .unwrap()
            .matches(method, path.path(), &found)
    }

    #[test]
    fn a_star_is_one_segment_and_two_are_the_rest() {
        for (pattern, request, expected) in [
            (
                "GET /containers/*/json",
                "GET /v1.41/containers/a/json",
                true,
            ),
            ("GET /containers/*/json", "GET /containers/json", false),
            ("GET /containers/*/json", "GET /containers/%61/js%6fn", true),
            ("GET /containers/*", "GET /containers/json", true),
            ("* /secrets/**", "GET /secrets", true),
            ("* /secrets/**", "POST /secrets/create", true),
            ("* /secrets/**", "POST /secrets/x/update", true),
            ("* /**", "GET /info", true),
            ("POST /containers/*/exec", "GET /containers/a/json", false),
            ("GET /networks", "GET /networks/", true),
            ("GET /networks/*", "GET /networks/", false),
        ] {
            assert_eq!(matches(pattern, request), expected, "{pattern} {request}");
        }
    }

    #[test]
    fn a_name_with_slashes_is_one_segment_and_as_many_as_it_has() {
        for (pattern, request) in [
            ("POST /containers/*/exec", "POST /containers/a/b/exec"),
            ("GET /images/*/json", "GET /images/library/alpine/json"),
            ("GET /images/*/json", "GET /images/reg:5000%2Fa%2Fb/json"),
            (
                "GET /images/library/alpine/json",
                "GET /images/library/alpine/json",
            ),
            ("DELETE /images/*", "DELETE /images/a/b/"),
            ("GET /networks/*", "GET /networks/a/b"),
        ] {
            assert!(matches(pattern, request), "{pattern} {request}");
        }
        assert!(!matches("GET /images/*/get", "GET /images/a/b/json"));
    }

    #[test]
    fn a_pattern_that_matches_no_endpoint_is_refused_with_the_reason() {
        for (pattern, reason) in [
            ("/containers/json", "needs a method"),
            ("get /containers/json", "unknown method"),
            ("GET containers/json", "start with"),
            ("GET /v1.41/containers/json", "without the API version"),
            ("GET /container/json", "no endpoint"),
            ("POST /containers/json", "no endpoint"),
            ("* /secrets*", "`/**`"),
            ("GET /**/json", "only be its end"),
            ("GET /containers/%61/json", "decoded"),
        ] {
            let error = PathPattern::parse(pattern).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
    }
}
