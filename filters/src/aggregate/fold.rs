//! Folds the objects of several nodes into one, member by member.
//!
//! The object of the first node is the base. Members that only other nodes have
//! are added to it. A [`Schema`] says how to fold a member. `null` is the
//! absence of a value, so a member is `null` only if it is `null` on every node.

use std::collections::BTreeMap;

use super::decorate::{Decorated, Decoration};
use super::error::MergeError;
use super::object::Object;
use super::split::{Element, read_all, read_elements};
use super::{Merged, NodeAnswer, NodeTag};
use crate::json::{Elements, json_array};

/// How to fold the values of one member.
#[derive(Clone, Copy)]
pub(super) enum Fold {
    /// Integers: their sum, at most `most`. A negative one means "not known" and
    /// does not count; the sum is -1 if there is no other.
    Sum {
        /// The largest number that clients read.
        most: i128,
    },
    /// Lists: concatenated.
    Lists,
    /// Lists of objects: concatenated, each object decorated with its node.
    Rows,
    /// Objects: folded recursively.
    Objects(Schema),
    /// Any values: the first.
    First,
}

/// How to fold a member, by its name and one value.
pub(super) type Schema = fn(name: &str, value: &str) -> Fold;

/// Merges answers that are objects. An object without any member of the schema is
/// an answer of another endpoint.
pub(super) fn merge(schema: Schema, expected: &'static str, answers: &[NodeAnswer]) -> Merged {
    let (parts, unusable) = read_all(answers, |answer| {
        let object = Object::of_body(&answer.body, expected)?;
        let part = Part::read(&answer.node, object, schema, expected)?;
        let is_foreign = |member: &Member<'_>| matches!(member.value, Value::Other);
        if !part.members.is_empty() && part.members.values().all(is_foreign) {
            return Err(MergeError::Shape { expected });
        }
        Ok(part)
    });
    let parts: Vec<&Part<'_>> = parts.iter().collect();
    let mut body = fold(&parts).unwrap_or_else(|| "{}".to_owned());
    body.push('\n');
    Merged {
        body: body.into_bytes(),
        unusable,
    }
}

/// The object of one node, read as far as the schema says.
struct Part<'a> {
    node: &'a NodeTag,
    object: Object<'a>,
    members: BTreeMap<String, Member<'a>>,
}

struct Member<'a> {
    text: &'a str,
    value: Value<'a>,
}

enum Value<'a> {
    Null,
    Number { value: i128, most: i128 },
    List(Vec<&'a str>),
    Rows(Vec<Element<'a, Decorated<'a>>>),
    Object(Box<Part<'a>>),
    Other,
}

impl<'a> Part<'a> {
    fn read(
        node: &'a NodeTag,
        object: Object<'a>,
        schema: Schema,
        expected: &'static str,
    ) -> Result<Self, MergeError> {
        let mut members = BTreeMap::new();
        for (name, text) in object.members() {
            let value = Value::read(node, schema(name, text), text, expected)?;
            members.insert(name.to_owned(), Member { text, value });
        }
        Ok(Self {
            node,
            object,
            members,
        })
    }
}

impl<'a> Value<'a> {
    fn read(
        node: &'a NodeTag,
        fold: Fold,
        text: &'a str,
        expected: &'static str,
    ) -> Result<Self, MergeError> {
        let list = || -> Result<Elements<'a>, MergeError> {
            serde_json::from_str(text).map_err(|e| MergeError::of_body(&e, expected))
        };
        Ok(match fold {
            Fold::First => Self::Other,
            _ if text == "null" => Self::Null,
            Fold::Sum { most } => match text.parse() {
                Ok(value) => Self::Number { value, most },
                Err(_) => return Err(MergeError::Shape { expected }),
            },
            Fold::Lists => Self::List(list()?.texts()?),
            Fold::Rows => Self::Rows(read_elements(list()?)?),
            Fold::Objects(schema) => {
                let object = Object::of_text(text, expected)?;
                Self::Object(Box::new(Part::read(node, object, schema, expected)?))
            }
        })
    }
}

/// `None` if there is no object.
fn fold(parts: &[&Part<'_>]) -> Option<String> {
    let base = parts.first()?;
    let mut by_name: BTreeMap<&str, Vec<(&NodeTag, &Member<'_>)>> = BTreeMap::new();
    for part in parts {
        for (name, member) in &part.members {
            by_name.entry(name).or_default().push((part.node, member));
        }
    }
    let mut rewrite = base.object.rewrite();
    for (name, members) in by_name {
        rewrite.set(name, fold_member(&members));
    }
    Some(rewrite.finish())
}

/// The first value that is not `null` decides the kind of the member.
fn fold_member(members: &[(&NodeTag, &Member<'_>)]) -> String {
    let values = || members.iter().map(|(_, member)| &member.value);
    let first = members
        .iter()
        .find(|(_, member)| !matches!(member.value, Value::Null));
    let Some((_, first)) = first else {
        return "null".to_owned();
    };
    match &first.value {
        Value::Null | Value::Other => first.text.to_owned(),
        Value::Number { most, .. } => sum(
            values().filter_map(|value| match value {
                Value::Number { value, .. } => Some(*value),
                _ => None,
            }),
            *most,
        ),
        Value::List(_) if members.len() == 1 => first.text.to_owned(),
        Value::List(_) => json_array(
            values()
                .filter_map(|value| match value {
                    Value::List(texts) => Some(texts),
                    _ => None,
                })
                .flatten(),
        ),
        Value::Rows(_) => json_array(members.iter().flat_map(|(node, member)| {
            let decoration = Decoration::of(node);
            let rows = match &member.value {
                Value::Rows(rows) => rows.as_slice(),
                _ => &[],
            };
            rows.iter()
                .map(move |row| decoration.put_into(row.text, &row.row))
        })),
        Value::Object(_) => {
            let parts: Vec<&Part<'_>> = values()
                .filter_map(|value| match value {
                    Value::Object(part) => Some(&**part),
                    _ => None,
                })
                .collect();
            fold(&parts).unwrap_or_else(|| first.text.to_owned())
        }
    }
}

fn sum(values: impl Iterator<Item = i128>, most: i128) -> String {
    let known = values.filter(|value| *value >= 0);
    let sum = known.reduce(i128::saturating_add);
    sum.map_or(-1, |sum| sum.min(most)).to_string()
}
