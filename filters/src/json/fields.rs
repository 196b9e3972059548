//! Reads an object as Go reads it into a struct.

use std::borrow::Cow;

use super::tree::{MAX_FIELDS, Object};
use super::{Json, ShapeError, quoted, same_field};

static NULL: Json<'static> = Json::Null;

/// The fields of an object, read as Go reads them. A missing field, or `null`, is
/// the empty value.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'j> {
    /// The name of the object, for messages.
    at: &'static str,
    /// `None` for `null`.
    object: Option<&'j Object<'j>>,
}

impl<'j> Fields<'j> {
    /// The fields of the object named `at`, which may be `null`.
    pub(crate) fn of(json: &'j Json<'_>, at: &'static str) -> Result<Self, ShapeError> {
        let object = match json {
            Json::Null => return Ok(Self { at, object: None }),
            Json::Object(object) => object,
            _ => return Err(ShapeError(format!("{at} is not an object"))),
        };
        if object.members().len() > MAX_FIELDS {
            return Err(ShapeError(format!(
                "{at} has more than {MAX_FIELDS} members"
            )));
        }
        match object.alike() {
            None => Ok(Self {
                at,
                object: Some(object),
            }),
            Some(name) => {
                let name = quoted(name);
                Err(ShapeError(format!(
                    "{at} has {name} twice, in different spellings"
                )))
            }
        }
    }

    /// Whether it has any member.
    pub(crate) fn is_empty(&self) -> bool {
        self.members().is_empty()
    }

    /// The name of a field in full.
    pub(crate) fn full(&self, name: &str) -> String {
        format!("{}.{name}", self.at)
    }

    pub(crate) fn get(&self, name: &str) -> &'j Json<'j> {
        self.object
            .and_then(|object| object.field(name))
            .unwrap_or(&NULL)
    }

    pub(crate) fn object(&self, name: &'static str) -> Result<Self, ShapeError> {
        Self::of(self.get(name), name)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, ShapeError> {
        match self.get(name) {
            Json::Null => Ok(false),
            Json::Bool(value) => Ok(*value),
            _ => Err(self.is_not(name, "true or false")),
        }
    }

    pub(crate) fn int(&self, name: &str) -> Result<i64, ShapeError> {
        match self.get(name) {
            Json::Null => Ok(0),
            Json::Int(value) => Ok(*value),
            _ => Err(self.is_not(name, "an integer")),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'j str, ShapeError> {
        match self.get(name) {
            Json::Null => Ok(""),
            Json::Text(text) => Ok(text),
            _ => Err(self.is_not(name, "a string")),
        }
    }

    /// A list of texts. Some fields took a single text before they took a list.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'j str>, ShapeError> {
        let one = |json: &'j Json<'j>| match json {
            Json::Null => Ok(""),
            Json::Text(text) => Ok(text.as_ref()),
            _ => Err(self.is_not(name, "a list of strings")),
        };
        match self.get(name) {
            Json::Null => Ok(Vec::new()),
            Json::List(list) => list.iter().map(one).collect(),
            single => one(single).map(|text| vec![text]),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Result<&'j [Json<'j>], ShapeError> {
        match self.get(name) {
            Json::Null => Ok(&[]),
            Json::List(list) => Ok(list),
            _ => Err(self.is_not(name, "a list")),
        }
    }

    /// A map, whose names are chosen by the client and differ by case.
    pub(crate) fn map(&self, name: &str) -> Result<&'j [(Cow<'j, str>, Json<'j>)], ShapeError> {
        match self.get(name) {
            Json::Null => Ok(&[]),
            Json::Object(object) => Ok(object.members()),
            _ => Err(self.is_not(name, "an object")),
        }
    }

    /// A member that has a value and is not a field in `known`.
    pub(crate) fn unknown(&self, known: &[&str]) -> Option<&'j str> {
        let mut members = self.members().iter();
        let is_known = |key: &str| known.iter().any(|name| same_field(key, name));
        let unknown = members.find(|(key, value)| !value.is_empty() && !is_known(key));
        unknown.map(|(key, _)| key.as_ref())
    }

    fn is_not(&self, name: &str, what: &str) -> ShapeError {
        ShapeError(format!("{} is not {what}", self.full(name)))
    }

    fn members(&self) -> &'j [(Cow<'j, str>, Json<'j>)] {
        self.object.map_or(&[], Object::members)
    }
}

/// The text of a value of a map; Go reads `null` as an empty text.
pub(crate) fn text_of<'j>(json: &'j Json<'_>) -> Option<&'j str> {
    match json {
        Json::Null => Some(""),
        Json::Text(text) => Some(text),
        _ => None,
    }
}

/// The value of a member of a map, whose name is compared exactly.
pub(crate) fn in_map<'j>(members: &'j [(Cow<'j, str>, Json<'j>)], name: &str) -> Option<&'j str> {
    let mut members = members.iter();
    let (_, value) = members.find(|(key, _)| key == name)?;
    text_of(value)
}
