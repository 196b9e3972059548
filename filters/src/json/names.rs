//! Names of fields, as Go's `encoding/json` compares them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserializer, Visitor};

/// Whether Go takes `key` for the field `name`, which is ASCII. Case does not
/// matter, and two other characters fold to ASCII letters too: `ſ` and the Kelvin
/// sign.
pub(crate) fn same_field(key: &str, name: &str) -> bool {
    // An ASCII spelling has the same length, and every other one is longer. Most
    // keys differ in length, which makes this cheap for each field of each body.
    match key.len().cmp(&name.len()) {
        Ordering::Less => false,
        Ordering::Equal => key.eq_ignore_ascii_case(name),
        Ordering::Greater => !key.is_ascii() && spelled_alike(key, name),
    }
}

/// A cheap digest that is equal for all spellings of a name: its length, its first and
/// its last character.
pub(super) fn digest(key: &str) -> u32 {
    let mut chars = key.chars();
    let first = chars.next().map_or(0, |c| u32::from(folded(c)));
    let last = chars.next_back().map_or(0, |c| u32::from(folded(c)));
    let length = match key.is_ascii() {
        true => key.len(),
        false => key.chars().count(),
    };
    // Truncated: what counts is that equal names have equal digests.
    (length as u32) << 16 | (first & 0xff) << 8 | last & 0xff
}

/// Whether Go takes two names for the same.
pub(super) fn spelled_alike(one: &str, other: &str) -> bool {
    one.chars().map(folded).eq(other.chars().map(folded))
}

fn folded(char: char) -> char {
    match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

/// A name that borrows from the document where it can; `Cow<str>` by itself always owns.
pub(super) struct Name<'a>(pub(super) Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_in_go() {
        for key in ["Sysctls", "sysctls", "SYSCTLS", "\u{17f}ysctl\u{17f}"] {
            assert!(same_field(key, "Sysctls"), "{key}");
        }
        assert!(same_field("Lin\u{212a}s", "Links"));
        for key in ["Sysctl", "Sysctls ", "Sys-ctls", "", "Sys\u{131}ctls"] {
            assert!(!same_field(key, "Sysctls"), "{key}");
        }
    }
}
