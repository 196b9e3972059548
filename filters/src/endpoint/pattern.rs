//! Matches path patterns as gorilla/mux does in moby.
//!
//! mux makes an anchored regular expression of each pattern. The few forms that
//! moby uses need only prefix, suffix and one segment, so there is no regex here.
//! Ours are `{/}` and `{/v1|/v2}`: one of these, or nothing.

use super::route::ObjectIn;

/// Matches a decoded, unversioned path: the part at the first variable, or the
/// empty text if the pattern has no variable.
pub(super) fn capture<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, tail)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let (variable, after) = tail.split_once('}')?;
    let rest = path.strip_prefix(before)?;
    match variable.split_once(':') {
        Some((_, ".*")) => rest.strip_suffix(after),
        Some((_, ".+")) => rest.strip_suffix(after).filter(|name| !name.is_empty()),
        Some(_) => None,
        None if variable.starts_with('/') => [""]
            .into_iter()
            .chain(variable.split('|'))
            .find_map(|part| capture(after, rest.strip_prefix(part)?)),
        None => {
            let (name, remainder) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (!name.is_empty() && capture(after, remainder).is_some()).then_some(name)
        }
    }
}

/// The literal first segments of the paths that a pattern matches; the empty
/// text if it does not begin with one.
pub(super) fn first_segments(pattern: &str) -> Vec<&str> {
    let optional = pattern.strip_prefix("{/").and_then(|p| p.split_once('}'));
    let (prefixes, rest) = match optional {
        Some((prefixes, rest)) => (prefixes.split("|/").collect(), rest),
        None => (Vec::new(), pattern),
    };
    let first = rest
        .strip_prefix('/')
        .and_then(|rest| rest.split(['/', '{']).next());
    prefixes
        .into_iter()
        .chain([first.unwrap_or_default()])
        .collect()
}

/// How much a pattern matches: literal 0, one segment 1, greedy 2. Where two
/// rows match one path, the smaller is the one that moby registers first.
pub(super) fn breadth(pattern: &str) -> u8 {
    match (pattern.contains(":."), pattern.contains('{')) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }
}

/// [`ObjectIn::Path`] if the pattern has an `{id…}` or a `{name…}`: moby's names
/// for the variables that name an object.
pub(super) const fn object_in_path(pattern: &str) -> Option<ObjectIn> {
    let bytes = pattern.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at - 1] == b'{' && matches!(bytes[at], b'i' | b'n') {
            return Some(ObjectIn::Path);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_mux_does() {
        for (pattern, path, caught) in [
            ("/info", "/info", Some("")),
            ("/info", "/info/", None),
            ("/info", "/inf", None),
            ("/networks{/}", "/networks", Some("")),
            ("/networks{/}", "/networks/", Some("")),
            ("/networks{/}", "/networks/a", None),
            ("{/v1|/v2}/agents", "/agents", Some("")),
            ("{/v1|/v2}/agents", "/v2/agents", Some("")),
            ("{/v1|/v2}/agents", "/v3/agents", None),
            ("{/v1|/v2}/agents", "/v1/v2/agents", None),
            ("{/v2}/ping", "/v1/ping", None),
            ("{/v2}/ping", "/ping/", None),
            ("/images/{name:.*}/json", "/images/a/b/json", Some("a/b")),
            ("/images/{name:.*}/json", "/images/json/json", Some("json")),
            ("/images/{name:.*}/json", "/images/json", None),
            ("/images/{name:.*}/json", "/images/a/json/", None),
            ("/volumes/{name:.*}", "/volumes/a/", Some("a/")),
            ("/volumes/{name:.*}", "/volumes/", Some("")),
            ("/volumes/{name:.*}", "/volumes", None),
            ("/networks/{id:.+}", "/networks/", None),
            ("/networks/{id:.+}", "/networks/a/b", Some("a/b")),
            ("/nodes/{id}", "/nodes/a", Some("a")),
            ("/nodes/{id}", "/nodes/", None),
            ("/nodes/{id}", "/nodes/a/b", None),
            ("/nodes/{id}/update", "/nodes/a/update", Some("a")),
            ("/c/{name}/p/{point}", "/c/a/p/b", Some("a")),
            ("/c/{name}/p/{point}", "/c/a/p/", None),
            ("/c/{name}/p/{point}", "/c/a/b/p/c", None),
        ] {
            assert_eq!(capture(pattern, path), caught, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_is_found_under_each_of_its_first_segments() {
        assert_eq!(first_segments("/networks{/}"), ["networks"]);
        assert_eq!(first_segments("{/v2}/ping"), ["v2", "ping"]);
        assert_eq!(first_segments("{/v1|/v2}/host/info"), ["v1", "v2", "host"]);
        assert_eq!(first_segments("/{anyroute:.*}"), [""]);
        assert_eq!(first_segments("*"), [""]);
    }
}
