//! What to ask which node when a list of containers has `before` or `since`.
//!
//! An engine that does not have the container such a filter names fails the
//! whole call (500 or 404, by version). So only the node that has it is asked
//! with the filter; the others are asked without, and the merge cuts their
//! rows at the reference's [`Bound`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Bound, ContainerQuery};

/// What the query of `GET /containers/json` asks of the cluster.
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
/// What cannot be read is left for the engines to refuse. So are several
/// values of one of the filters, of which an engine picks one at random.
#[must_use]
pub fn plan(raw_query: &str) -> ContainerPlan {
    let filters = first_value(raw_query, "filters");
    let filters = filters.as_deref().and_then(parse_filters);
    let reference = |name| {
        let value = filters.as_ref()?.get(name)?;
        single_name(value)
    };
    ContainerPlan {
        raw: raw_query.to_owned(),
        limit: first_value(raw_query, "limit")
            .and_then(|limit| limit.parse::<usize>().ok())
            .filter(|&limit| limit > 0),
        before: reference("before"),
        since: reference("since"),
    }
}

impl ContainerPlan {
    /// Whether a reference has to be found before any node is asked.
    #[must_use]
    pub fn has_reference(&self) -> bool {
        self.before.is_some() || self.since.is_some()
    }

    /// The query for a node that has every reference: the client's own.
    #[must_use]
    pub fn query_for_owner(&self) -> &str {
        &self.raw
    }

    /// The query for a node that has none of the references.
    #[must_use]
    pub fn query_for_others(&self) -> String {
        self.query_for(Owns::default())
    }

    /// The query for a node that has the references that `owns` says; pairs
    /// that need no change stay byte for byte.
    ///
    /// Without `before` the engine does not know where to start counting, so
    /// its `limit` goes too; and as a limit includes stopped containers,
    /// `all=1` comes instead. Without `since` the limit may stay: `since` cuts
    /// the end of the list, a limit the same.
    #[must_use]
    pub fn query_for(&self, owns: Owns) -> String {
        let drop_before = self.before.is_some() && !owns.before;
        let drop_since = self.since.is_some() && !owns.since;
        if !drop_before && !drop_since {
            return self.raw.clone();
        }
        let drop_limit = drop_before && self.limit.is_some();

        let mut pairs: Vec<String> = Vec::new();
        let mut seen_filters = false;
        for pair in self.raw.split('&') {
            match decoded_key(pair).as_deref() {
                // Engines read the first of several.
                Some("filters") if !seen_filters => {
                    seen_filters = true;
                    pairs.extend(without(pair, drop_before, drop_since));
                }
                Some("limit" | "all") if drop_limit => {}
                _ => pairs.push(pair.to_owned()),
            }
        }
        if drop_limit {
            pairs.push("all=1".to_owned());
        }
        pairs.join("&")
    }

    /// What the merge has to do, once the references have been inspected.
    #[must_use]
    pub fn resolved(&self, before: Option<Bound>, since: Option<Bound>) -> ContainerQuery {
        ContainerQuery {
            limit: self.limit,
            before,
            since,
        }
    }
}

/// A `filters` pair without the filters to be dropped; `None` if nothing is left.
fn without(pair: &str, drop_before: bool, drop_since: bool) -> Option<String> {
    let decoded = pair.split_once('=').and_then(|(_, value)| decode(value));
    let Some(mut filters) = decoded.as_deref().and_then(parse_filters) else {
        return Some(pair.to_owned());
    };
    if drop_before {
        filters.remove("before");
    }
    if drop_since {
        filters.remove("since");
    }
    if filters.is_empty() {
        return None;
    }
    // The values stay as they are: an engine refuses a mix of the two shapes.
    let json = serde_json::to_string(&filters).ok()?;
    Some(format!("filters={}", encode(&json)))
}

fn parse_filters(json: &str) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(json).ok()
}

/// The value of a filter that has exactly one, in either shape that engines take.
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

fn first_value(raw_query: &str, key: &str) -> Option<String> {
    let pair = raw_query
        .split('&')
        .find(|pair| decoded_key(pair).as_deref() == Some(key))?;
    decode(pair.split_once('=')?.1)
}

fn decoded_key(pair: &str) -> Option<String> {
    decode(pair.split_once('=').map_or(pair, |(key, _)| key))
}

/// Undoes form encoding; `None` if it is malformed.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(json: &str) -> String {
        format!("filters={}", encode(json))
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
    fn a_query_without_references_goes_to_everyone_as_it_is() {
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
            assert_eq!(plan.query_for_others(), raw);
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
            // An engine reads the first of two.
            (
                format!("{}&filters=%7B%7D", filters(r#"{"since":["a"]}"#)),
                "filters=%7B%7D".to_owned(),
            ),
        ];
        for (raw, expected) in table {
            let plan = plan(&raw);
            assert_eq!(plan.query_for_others(), expected, "{raw}");
            assert_eq!(plan.query_for_owner(), raw);
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

    #[test]
    fn form_encoding_comes_back_from_the_trip() {
        let text = "{\"name\":[\"a+b c/é%\"]}";
        assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        assert_eq!(decode("a+b%2B").as_deref(), Some("a b+"));
        for malformed in ["%", "%4", "%g0", "%ff"] {
            assert_eq!(decode(malformed), None);
        }
    }
}
