//! Reads JSON into a tree that borrows from the body.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::names::Name;
use super::tree::{Entries, Json, Object};
use super::{JsonError, quoted};

/// Deepest nesting; what engines read has about eight levels.
const MAX_DEPTH: usize = 32;

/// Most values in one body: each takes many times its bytes.
const MAX_VALUES: usize = 100_000;

impl<'a> Json<'a> {
    /// Reads a whole body.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, JsonError> {
        if body.starts_with(b"\xef\xbb\xbf") {
            return Err(JsonError::ByteOrderMark);
        }
        let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
        let left = Cell::new(MAX_VALUES);
        let seed = Value {
            left: &left,
            depth: 0,
        };
        let mut reader = serde_json::Deserializer::from_str(text);
        let json = seed.deserialize(&mut reader).and_then(|json| {
            reader.end()?;
            Ok(json)
        });
        json.map_err(|e| JsonError::Malformed(e.to_string()))
    }
}

#[derive(Clone, Copy)]
struct Value<'c> {
    left: &'c Cell<usize>,
    depth: usize,
}

impl Value<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!(
                "it is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let left = self.left.get().checked_sub(1);
        let left = left.ok_or_else(|| {
            D::Error::custom(format_args!("it has more than {MAX_VALUES} values"))
        })?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Other, Json::Int))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json<'de>, E> {
        Ok(Json::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(seed)? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut members = Entries::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value_seed(seed)?));
        }
        Object::new(members)
            .map(Json::Object)
            .map_err(|name| A::Error::custom(format_args!("{} is given twice", quoted(&name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> String {
        Json::parse(body).unwrap_err().to_string()
    }

    #[test]
    fn a_document_with_two_readings_is_refused() {
        for (body, reason) in [
            (&b"\xef\xbb\xbf{}"[..], "byte order mark"),
            (b"{\"a\":\"\xff\"}", "UTF-8"),
            (b"{} {}", "trailing"),
            (b"{}x", "trailing"),
            (b"", "EOF"),
            (br#"{"a":1,"a":2}"#, "twice"),
            (br#"{"a":1,"\u0061":2}"#, "twice"),
            (br#"{"b":{"a":1,"a":2}}"#, "twice"),
            (br#"{"a":"\ud800"}"#, "hex escape"),
            (b"{'a':1}", "key"),
            (b"{\"a\":1,}", "trailing comma"),
            (b"NaN", "expected"),
        ] {
            assert!(refused(body).contains(reason), "{}", refused(body));
        }
        let many: Vec<_> = (0..20).map(|i| format!("\"k{i}\":1")).collect();
        assert!(refused(format!("{{{},\"k0\":1}}", many.join(",")).as_bytes()).contains("twice"));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refused(nested(MAX_DEPTH + 1).as_bytes()).contains("deeper"));
        assert!(refused("[".repeat(1 << 20).as_bytes()).contains("deeper"));
        let wide = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(refused(wide.as_bytes()).contains("more than"));
    }
}
