//! JSON objects as Go's `encoding/json` reads them into a struct.
//!
//! A key is a field's if it is so in any case, and of several such keys each
//! is read in its turn, so that the last one wins. Who read them otherwise
//! would judge another request than the engine carries out.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in their order, repeated ones included.
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// `None` if `json` is no object.
    pub(crate) fn of(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// A key as Go compares it: ASCII letters in lower case, and the two other
/// characters that Unicode folds to one (`ſ` and the Kelvin sign).
pub(crate) fn folded(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_go_does() {
        for key in ["hostconfig", "HostConfig", "HOSTCONFIG", "ho\u{17f}tConfig"] {
            assert_eq!(folded(key), "hostconfig");
        }
        assert_eq!(folded("Lin\u{212a}s"), "links");
        assert_ne!(folded("Host-Config"), "hostconfig");
    }

    #[test]
    fn repeated_members_come_in_their_order() {
        let members = Members::of(br#"{"a":1,"A":2,"a":3}"#).unwrap();
        let values: Vec<&str> = members.iter().map(|(_, value)| value.get()).collect();
        assert_eq!(values, ["1", "2", "3"]);
        assert!(Members::of(b"[]").is_none());
    }
}
