//! Parses and writes the `filters` parameter of list and prune endpoints.
//!
//! Clients send it in two JSON shapes, `{"label":{"a=b":true}}` and the older
//! `{"label":["a=b"]}`. This module reads both and writes the first.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::query;

/// Why a `filters` value is refused. Each is the client's mistake: answer 400.
#[derive(Debug, thiserror::Error)]
pub enum FiltersError {
    /// Not JSON, or JSON of neither shape, or a name or value twice (the engine
    /// would silently use the last).
    #[error("invalid filter: {0}")]
    Malformed(#[from] serde_json::Error),
    /// One filter in each shape; the engine reads a document in one shape only.
    #[error("invalid filter: values must be all objects or all lists")]
    MixedShapes,
}

/// Filters by name, each with its values, in the order of their text.
///
/// A value keeps its boolean, since the engine reads it in some filters and not
/// in others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeMap<String, bool>>);

impl Filters {
    /// Reads the decoded value of the parameter; an empty one has no filters.
    ///
    /// # Errors
    /// [`FiltersError`] if the engine would refuse it or could read it differently.
    pub fn parse(json: &str) -> Result<Self, FiltersError> {
        if json.is_empty() {
            return Ok(Self::default());
        }
        let Document(entries) = serde_json::from_str(json)?;
        let is_list = |values: &Values| matches!(values, Values::List(_));
        let is_map = |values: &Values| matches!(values, Values::Map(_));
        if entries.values().any(is_list) && entries.values().any(is_map) {
            return Err(FiltersError::MixedShapes);
        }
        Ok(Self(
            entries
                .into_iter()
                .map(|(name, values)| (name, values.into_map()))
                .collect(),
        ))
    }

    /// Reads them out of a raw query string.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_query(query: &str) -> Result<Self, FiltersError> {
        Self::parse(&query::get(query, "filters").unwrap_or_default())
    }

    /// The query string with its `filters` replaced by these, or without any if there are none.
    pub fn set_in(&self, query: &str) -> String {
        if self.is_empty() {
            query::without(query, &["filters"])
        } else {
            query::with(query, "filters", &self.to_string())
        }
    }

    /// Whether there is no filter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the filters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there is a filter of this name, even without values.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The values of one filter.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .get(name)
            .into_iter()
            .flatten()
            .map(|(value, _)| value.as_str())
    }

    /// Whether an object with exactly this value passes, as in moby's
    /// `Args.ExactMatch`: a filter without values passes every object, and a
    /// value with `false` passes none.
    pub fn matches_exactly(&self, name: &str, value: &str) -> bool {
        match self.0.get(name) {
            Some(values) if !values.is_empty() => values.get(value) == Some(&true),
            _ => true,
        }
    }

    /// Adds a value to a filter.
    pub fn insert(&mut self, name: &str, value: &str) {
        let values = self.0.entry(name.to_owned()).or_default();
        values.insert(value.to_owned(), true);
    }

    /// Removes a filter and returns its values; `None` if there is none of this name.
    pub fn remove(&mut self, name: &str) -> Option<Vec<String>> {
        let values = self.0.remove(name)?;
        Some(values.into_keys().collect())
    }
}

/// The JSON of the newer shape.
impl fmt::Display for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = |values: &BTreeMap<String, bool>| {
            let flags = values
                .iter()
                .map(|(value, flag)| (value.clone(), Value::Bool(*flag)));
            Value::Object(flags.collect())
        };
        let filters = self
            .0
            .iter()
            .map(|(name, values)| (name.clone(), object(values)));
        Value::Object(filters.collect()).fmt(f)
    }
}

/// The whole document, before its shape is known to be one.
struct Document(BTreeMap<String, Values>);

enum Values {
    Map(BTreeMap<String, bool>),
    List(Vec<String>),
    /// Go reads `null` as a map and as a list without elements.
    Null,
}

impl Values {
    fn into_map(self) -> BTreeMap<String, bool> {
        match self {
            Self::Map(map) => map,
            Self::List(list) => list.into_iter().map(|value| (value, true)).collect(),
            Self::Null => BTreeMap::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Filters;
        impl<'de> Visitor<'de> for Filters {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of filters")
            }

            fn visit_unit<E>(self) -> Result<Document, E> {
                Ok(Document(BTreeMap::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
                unique(map).map(Document)
            }
        }
        deserializer.deserialize_any(Filters)
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneFilter;
        impl<'de> Visitor<'de> for OneFilter {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of booleans or a list of texts")
            }

            fn visit_unit<E>(self) -> Result<Values, E> {
                Ok(Values::Null)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Values, A::Error> {
                unique(map).map(Values::Map)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Values::List(list))
            }
        }
        deserializer.deserialize_any(OneFilter)
    }
}

/// An object as a map, refusing a name that comes twice.
fn unique<'de, A: MapAccess<'de>, V: Deserialize<'de>>(
    mut map: A,
) -> Result<BTreeMap<String, V>, A::Error> {
    let mut entries = BTreeMap::new();
    while let Some((name, value)) = map.next_entry::<String, V>()? {
        if entries.contains_key(&name) {
            return Err(A::Error::custom(format_args!("{name:?} is given twice")));
        }
        entries.insert(name, value);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(json: &str) -> Filters {
        Filters::parse(json).unwrap()
    }

    #[test]
    fn both_shapes_read_alike() {
        let old = parse(r#"{"label":["b","a=b"],"status":["exited"]}"#);
        let new = parse(r#"{"status":{"exited":true},"label":{"a=b":true,"b":true}}"#);
        assert_eq!(old, new);
        assert_eq!(new.names().collect::<Vec<_>>(), ["label", "status"]);
        assert_eq!(new.values("label").collect::<Vec<_>>(), ["a=b", "b"]);
    }

    #[test]
    fn the_newer_shape_is_written_with_its_booleans() {
        let text = parse(r#"{"status":{"exited":false},"label":{"a":true}}"#).to_string();
        assert_eq!(text, r#"{"label":{"a":true},"status":{"exited":false}}"#);
        assert_eq!(
            parse(r#"{"label":["a"]}"#).to_string(),
            r#"{"label":{"a":true}}"#
        );
    }

    #[test]
    fn an_empty_value_has_no_filters() {
        for json in ["", "{}", "null"] {
            assert!(parse(json).is_empty(), "{json:?}");
        }
        let empty = parse(r#"{"label":null,"status":[]}"#);
        assert!(empty.contains("label") && empty.values("label").next().is_none());
    }

    #[test]
    fn an_exact_match_is_one_with_a_true_value_if_there_are_values() {
        let filters = parse(r#"{"scope":{"local":true,"swarm":false},"type":{}}"#);
        for (name, value, expected) in [
            ("scope", "local", true),
            ("scope", "swarm", false),
            ("scope", "", false),
            ("type", "node", true),
            ("label", "a", true),
        ] {
            assert_eq!(
                filters.matches_exactly(name, value),
                expected,
                "{name} {value}"
            );
        }
    }

    #[test]
    fn a_value_that_the_engine_refuses_or_reads_in_two_ways_is_refused() {
        for json in [
            "x",
            "[]",
            "1",
            r#"{"label":"a"}"#,
            r#"{"label":["a",1]}"#,
            r#"{"label":["a",null]}"#,
            r#"{"label":{"a":1}}"#,
            r#"{"label":{"a":true}} x"#,
            r#"{"label":["a"],"label":["b"]}"#,
            r#"{"label":{"a":true,"a":false}}"#,
        ] {
            let refused = Filters::parse(json);
            assert!(matches!(refused, Err(FiltersError::Malformed(_))), "{json}");
        }
        let mixed = Filters::parse(r#"{"label":["a"],"status":{"exited":true}}"#);
        assert!(matches!(mixed, Err(FiltersError::MixedShapes)));
    }

    #[test]
    fn removing_a_filter_leaves_the_other_parameters_as_they_were() {
        let query = "all=%31&filters=%7B%22node%22%3A%5B%22n1%22%5D%7D&size";
        let mut filters = Filters::from_query(query).unwrap();
        assert_eq!(filters.remove("node"), Some(vec!["n1".to_owned()]));
        assert_eq!(filters.remove("node"), None);
        assert_eq!(filters.set_in(query), "all=%31&size");

        filters.insert("scope", "local");
        let written = filters.set_in(query);
        assert_eq!(
            written,
            "all=%31&filters=%7B%22scope%22%3A%7B%22local%22%3Atrue%7D%7D&size"
        );
        assert_eq!(Filters::from_query(&written).unwrap(), filters);
    }

    proptest! {
        #[test]
        fn written_filters_are_read_back(
            entries in prop::collection::btree_map(any::<String>(), prop::collection::btree_map(any::<String>(), any::<bool>(), 0..4), 0..4)
        ) {
            let filters = Filters(entries);
            prop_assert_eq!(parse(&filters.to_string()), filters);
        }

        #[test]
        fn parsing_never_panics(json in any::<String>(), shaped in "[\\[\\]{}\":,a1tn]{0,24}") {
            let _ = Filters::parse(&json);
            let _ = Filters::parse(&shaped);
        }
    }
}
