//! Reads the elements of an array as raw JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Most elements of an array, or members of an object, that are read.
pub const MAX_ELEMENTS: usize = 100_000;

/// An array has more elements, or an object more members, than [`MAX_ELEMENTS`].
#[derive(Debug)]
pub(crate) struct TooMany;

/// The elements of a JSON array, as raw bytes; `null` is an empty array,
/// because that is how Go writes a slice that nothing was appended to.
pub(crate) struct Elements<'a> {
    texts: Vec<&'a str>,
    overflow: bool,
}

impl<'a> Elements<'a> {
    pub(crate) fn none() -> Self {
        Self {
            texts: Vec::new(),
            overflow: false,
        }
    }

    /// The raw elements, of any kind, unless they are too many.
    pub(crate) fn texts(self) -> Result<Vec<&'a str>, TooMany> {
        if self.overflow {
            Err(TooMany)
        } else {
            Ok(self.texts)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Elements::none())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while texts.len() < MAX_ELEMENTS
                    && let Some(raw) = seq.next_element::<&RawValue>()?
                {
                    texts.push(raw.get());
                }
                let mut overflow = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    overflow = true;
                }
                Ok(Elements { texts, overflow })
            }
        }

        deserializer.deserialize_any(List)
    }
}
