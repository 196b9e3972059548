//! Reads the members of an object as raw JSON, in the order of the document.
//!
//! Read as Go's `encoding/json` reads an object into a struct: a key is that of a
//! field in any case, and several such keys are read one after the other, so the
//! last one wins. `null` leaves a text or a boolean as it was.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::names::{Name, same_field};
use super::{MAX_ELEMENTS, TooMany};

/// The members of an object in their order, repeated ones included.
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    overflow: bool,
}

/// A field that is given twice, in any spelling.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

impl<'a> Members<'a> {
    /// `None` if `json` is not an object, or one of too many members.
    pub fn of(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(json)
            .ok()
            .filter(|members| !members.overflow)
    }

    /// The text that Go reads into the field `name`; `None` if the field is
    /// missing, or not a text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.last(name)
    }

    /// The boolean that Go reads into the field `name`; `None` if the field is
    /// missing, or not a boolean.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.last(name)
    }

    /// Whether the field `name` has a value other than `null`.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.field(name).last().is_some_and(|value| !is_null(value))
    }

    /// The values of the field `name`, in their order.
    pub(crate) fn field(&self, name: &str) -> impl Iterator<Item = &'a RawValue> {
        let members = self.members.iter();
        members.filter_map(move |(key, value)| same_field(key, name).then_some(*value))
    }

    /// The last value of the field `name`; `None` if it is missing or `null`.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        let last = self.field(name).last();
        last.filter(|value| !is_null(value)).map(RawValue::get)
    }

    /// The value of the field `name`, which must be given once: for bodies that are judged.
    pub(crate) fn only(&self, name: &str) -> Result<Option<&'a str>, Repeated> {
        let mut values = self.field(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(RawValue::get)),
            _ => Err(Repeated),
        }
    }

    /// The names and values of a map, whose names differ by case.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let members = self.members.iter();
        members.map(|(key, value)| (key.as_ref(), *value))
    }

    /// All members, unless they are more than [`MAX_ELEMENTS`].
    pub(crate) fn all(self) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, TooMany> {
        if self.overflow {
            Err(TooMany)
        } else {
            Ok(self.members)
        }
    }

    fn last<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        let mut last = None;
        for value in self.field(name).filter(|value| !is_null(value)) {
            last = Some(serde_json::from_str(value.get()).ok()?);
        }
        last
    }
}

/// Whether a value is `null`.
pub(crate) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Reads an existing field, `null` included, as its raw bytes.
///
/// Serde's own `Option` takes `null` for a missing field.
pub(crate) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while members.len() < MAX_ELEMENTS
                    && let Some((Name(name), raw)) = map.next_entry()?
                {
                    members.push((name, raw));
                }
                let mut overflow = false;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    overflow = true;
                }
                Ok(Members { members, overflow })
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_spelling_of_a_field_wins() {
        for (json, text) in [
            (r#"{"NAME":"a","Name":"b"}"#, Some("b")),
            (r#"{"Name":"a","NAME":"b"}"#, Some("b")),
            (r#"{"name":"a","Name":null}"#, Some("a")),
            (r#"{"Name":null,"name":""}"#, Some("")),
            (r#"{"Name":"a","name":5}"#, None),
            (r#"{"Name":5,"name":"a"}"#, None),
            (r#"{"Names":"a"}"#, None),
            (r#"{"Na\u006de":"a\u0062"}"#, Some("ab")),
        ] {
            let members = Members::of(json.as_bytes()).unwrap();
            assert_eq!(members.text("Name").as_deref(), text, "{json}");
        }
        let flags = Members::of(br#"{"on":true,"ON":false,"off":1}"#).unwrap();
        assert_eq!((flags.flag("On"), flags.flag("Off")), (Some(false), None));
    }

    #[test]
    fn a_judged_field_is_given_once() {
        let members = Members::of(br#"{"a":1,"b":2,"B":3,"c":null}"#).unwrap();
        assert_eq!(members.only("A"), Ok(Some("1")));
        assert_eq!(members.only("b"), Err(Repeated));
        assert_eq!(members.only("d"), Ok(None));
        assert!(members.is_set("a") && !members.is_set("c") && !members.is_set("d"));
    }

    #[test]
    fn repeated_members_come_in_their_order() {
        let members = Members::of(br#"{"a":1,"A":2,"a":3}"#).unwrap();
        let values: Vec<&str> = members.iter().map(|(_, value)| value.get()).collect();
        assert_eq!(values, ["1", "2", "3"]);
        assert!(Members::of(b"[]").is_none());
    }
}
