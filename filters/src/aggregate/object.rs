//! Reads an answer that is one JSON object into the bytes of its members, and
//! changes some of them while the others stay as they are.
//!
//! Answers that are lists are for [`super::split`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::error::MergeError;
use super::split::read_body;
use crate::json::{Edit, Members, is_too_deep, json_string, spliced};

/// A JSON object and the bytes of its members by name.
pub(super) struct Object<'a> {
    /// From its `{` to its `}`.
    pub(super) text: &'a str,
    members: BTreeMap<Cow<'a, str>, &'a str>,
}

impl<'a> Object<'a> {
    /// Reads a whole body; `expected` says what the endpoint answers with.
    pub(super) fn of_body(body: &'a [u8], expected: &'static str) -> Result<Self, MergeError> {
        let raw: &RawValue = read_body(body, expected)?;
        if is_too_deep(raw.get()) {
            return Err(MergeError::TooDeep { index: 0 });
        }
        Self::of_text(raw.get(), expected)
    }

    /// Reads the text of one JSON value. A name that is given twice is refused.
    pub(super) fn of_text(text: &'a str, expected: &'static str) -> Result<Self, MergeError> {
        let read: Result<Members<'a>, _> = serde_json::from_str(text);
        let read = read.map_err(|e| MergeError::of_body(&e, expected))?;
        let mut members = BTreeMap::new();
        for (name, raw) in read.all()? {
            if members.insert(name, raw.get()).is_some() {
                return Err(MergeError::Shape { expected });
            }
        }
        Ok(Self { text, members })
    }

    /// The bytes of one member.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.get(name).copied()
    }

    /// The members in the order of their names.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members
            .iter()
            .map(|(name, text)| (name.as_ref(), *text))
    }

    /// Starts changing members.
    pub(super) fn rewrite(&self) -> Rewrite<'_, 'a> {
        Rewrite {
            object: self,
            edits: Vec::new(),
            added: String::new(),
        }
    }
}

/// Changes to an object's members. Each name may be set once.
pub(super) struct Rewrite<'o, 'a> {
    object: &'o Object<'a>,
    edits: Vec<Edit<'o>>,
    added: String,
}

impl Rewrite<'_, '_> {
    /// Gives a member this JSON value, in its place or as the last one.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match self.object.get(name) {
            Some(own) if own == value => {}
            Some(own) => self
                .edits
                .extend(Edit::replace(self.object.text, own, value)),
            None => {
                self.added.push(',');
                self.added.push_str(&json_string(name));
                self.added.push(':');
                self.added.push_str(&value);
            }
        }
    }

    /// The object as it is now.
    pub(super) fn finish(self) -> String {
        let mut edits = self.edits;
        edits.push(Edit::append(self.object.text, &self.added));
        spliced(self.object.text, edits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::MAX_DEPTH;
    use crate::json::MAX_ELEMENTS;

    fn read(body: &str) -> Result<Object<'_>, MergeError> {
        Object::of_body(body.as_bytes(), "an object")
    }

    fn set(body: &str, members: &[(&str, &str)]) -> String {
        let object = read(body).unwrap();
        let mut rewrite = object.rewrite();
        for (name, value) in members {
            rewrite.set(name, (*value).to_owned());
        }
        rewrite.finish()
    }

    #[test]
    fn members_are_changed_in_place_and_new_ones_come_last() {
        let body = " { \"a\" : 1.0 ,\"b\":{ } }\n";
        assert_eq!(set(body, &[]), "{ \"a\" : 1.0 ,\"b\":{ } }");
        assert_eq!(
            set(body, &[("c", "3"), ("b", "2"), ("d", "4")]),
            "{ \"a\" : 1.0 ,\"b\":2 ,\"c\":3,\"d\":4}"
        );
        assert_eq!(set("{ }", &[("a", "1"), ("b", "2")]), "{ \"a\":1,\"b\":2}");
    }

    #[test]
    fn other_values_and_ambiguous_objects_are_refused() {
        let deep = format!(
            "{{\"a\":{}{}}}",
            "[".repeat(MAX_DEPTH),
            "]".repeat(MAX_DEPTH)
        );
        for body in [
            "",
            "[]",
            "null",
            "5",
            "{",
            "{} x",
            "{\"a\":1,\"a\":2}",
            &deep,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }

    #[test]
    fn one_member_more_than_the_cap_is_refused() {
        let object = |n: usize| {
            let members: Vec<String> = (0..n).map(|i| format!("\"{i}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(read(&object(MAX_ELEMENTS)).is_ok());
        assert_eq!(
            read(&object(MAX_ELEMENTS + 1)).err(),
            Some(MergeError::TooManyElements)
        );
    }
}
