//! Reads, drops and sets parameters of raw query strings.
//!
//! All other pairs stay byte for byte as they are, because the agent forwards
//! the bytes that were signed and judged. Reading follows Go's `url.ParseQuery`:
//! pairs end at `&` only, and a pair with a bad escape or a raw `;` does not
//! count (the engine answers 400 to most such requests).
//!
//! Not for form bodies: for POST and PUT with
//! `Content-Type: application/x-www-form-urlencoded` the engine lets the body
//! override the query, so the query alone must not decide about such a request.
//!
//! `query` is always the part after the `?`.

use std::borrow::Cow;

use super::percent::{self, Plus};

/// The first value of a parameter, decoded; empty if it has none. Bytes that
/// are not UTF-8 become U+FFFD.
pub fn get<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    all(query, name).next()
}

/// Every value of a parameter, in order, decoded as by [`get`].
pub fn all<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Cow<'q, str>> {
    let pairs = query.split('&').filter_map(pair);
    pairs.filter_map(move |(key, value)| (key == name).then_some(value))
}

/// One pair of a query, as [`split('&')`](str::split) gives it: name and value,
/// decoded. `None` if the pair does not count.
pub fn pair(pair: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    if pair.is_empty() || pair.contains(';') {
        return None;
    }
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((decode(key)?, decode(value)?))
}

/// Whether a parameter is set to something true, as moby's `httputils.BoolValue` has it.
pub fn flag(query: &str, name: &str) -> bool {
    get(query, name).is_some_and(|value| truthy(&value))
}

/// False for the empty text, `0`, `no`, `false` and `none` in any case; otherwise true.
pub fn truthy(value: &str) -> bool {
    let value = value.trim();
    !["", "0", "no", "false", "none"]
        .iter()
        .any(|no| value.eq_ignore_ascii_case(no))
}

/// The query without these parameters, in every occurrence and every spelling.
pub fn without(query: &str, names: &[&str]) -> String {
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| !names.iter().any(|name| is_named(pair, name)))
        .collect();
    kept.join("&")
}

/// The query with a parameter set to this one value: in the place of its
/// first occurrence, or at the end.
pub fn with(query: &str, name: &str, value: &str) -> String {
    let mut set = String::new();
    percent::encode(name, &mut set);
    set.push('=');
    percent::encode(value, &mut set);

    let mut pairs = Vec::new();
    let mut placed = false;
    for pair in query.split('&') {
        if !is_named(pair, name) {
            pairs.push(pair);
        } else if !placed {
            pairs.push(&set);
            placed = true;
        }
    }
    if !placed {
        pairs.retain(|_| !query.is_empty());
        pairs.push(&set);
    }
    pairs.join("&")
}

fn is_named(pair: &str, name: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default();
    !pair.is_empty() && decode(key).is_some_and(|key| key == name)
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    Some(match percent::decode(text, Plus::Space)? {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_value_counts_and_is_decoded() {
        for (query, value) in [
            ("a=1", Some("1")),
            ("b=2&a=1&a=3", Some("1")),
            ("a", Some("")),
            ("a=", Some("")),
            ("a=b=c", Some("b=c")),
            ("a=x+y%2Bz%26", Some("x y+z&")),
            ("%61=1", Some("1")),
            ("&&a=1", Some("1")),
            ("a=%ff", Some("\u{fffd}")),
            ("", None),
            ("A=1", None),
            ("aa=1&b=a", None),
            ("%2561=1", None),
        ] {
            assert_eq!(get(query, "a").as_deref(), value, "{query:?}");
        }
    }

    #[test]
    fn a_pair_that_go_does_not_parse_does_not_count() {
        assert_eq!(get("a=%zz&a=2", "a").as_deref(), Some("2"));
        assert_eq!(get("a=1;b=2&a=3", "a").as_deref(), Some("3"));
        assert_eq!(get("b=1;a=2", "a"), None);
    }

    #[test]
    fn a_pair_has_a_name_and_a_value() {
        for (text, expected) in [
            ("%61+b=c%3D+d", Some(("a b", "c= d"))),
            ("a", Some(("a", ""))),
            ("a=b=c", Some(("a", "b=c"))),
            ("", None),
            ("a=1;b", None),
            ("%zz=1", None),
            ("a=%z1", None),
        ] {
            let read = pair(text);
            let read = read.as_ref().map(|(key, value)| (&**key, &**value));
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn all_values_come_in_order() {
        let values: Vec<_> = all("names=a%2Fb&x=1&names=c&names", "names").collect();
        assert_eq!(values, ["a/b", "c", ""]);
    }

    #[test]
    fn a_parameter_is_dropped_in_every_spelling() {
        assert_eq!(without("a=1&b=%7b&%61=2&a&c=+", &["a"]), "b=%7b&c=+");
        assert_eq!(without("a=%zz&b=1;2", &["a"]), "b=1;2");
        assert_eq!(without("a=1&b=2", &["a", "b"]), "");
        assert_eq!(without("x=%41&&y", &["a"]), "x=%41&&y");
    }

    #[test]
    fn a_parameter_is_set_in_its_place_or_at_the_end() {
        assert_eq!(with("", "a", "1"), "a=1");
        assert_eq!(with("b=+&c", "a", "x y&{}"), "b=+&c&a=x%20y%26%7B%7D");
        assert_eq!(with("a=1&b=2&%61=3", "a", "9"), "a=9&b=2");
        assert_eq!(with("&", "a", "1"), "&&a=1");
    }

    #[test]
    fn truth_is_as_in_moby() {
        for value in ["", "0", "no", "FALSE", " none ", "No"] {
            assert!(!truthy(value), "{value:?}");
        }
        for value in ["1", "true", "yes", "2", "00", "off", "null"] {
            assert!(truthy(value), "{value:?}");
        }
        assert!(flag("all=1", "all"));
        assert!(!flag("all", "all"));
        assert!(!flag("", "all"));
    }

    proptest! {
        #[test]
        fn a_parameter_that_was_set_is_read_back(query in "[ab%6&=+;1-]{0,20}", name in any::<String>(), value in any::<String>()) {
            let set = with(&query, &name, &value);
            let read: Vec<_> = all(&set, &name).collect();
            prop_assert_eq!(read, [value]);
        }

        #[test]
        fn a_parameter_that_was_dropped_is_gone_and_the_rest_is_untouched(query in "[ab%61&=+;-]{0,20}") {
            let rest = without(&query, &["a"]);
            prop_assert_eq!(get(&rest, "a"), None);
            prop_assert_eq!(all(&rest, "b").collect::<Vec<_>>(), all(&query, "b").collect::<Vec<_>>());
        }
    }
}
