//! Splits the list of a node into the bytes of its elements.
//!
//! An element is read twice: once to find its end and once, by the merge rule,
//! for the few fields that the rule needs. Nothing is copied. The merge rules
//! know what the fields mean.

use serde::de::Deserialize;

use super::error::MergeError;
use super::{NodeAnswer, NodeTag};
use crate::json::{Elements, is_too_deep};

/// Reads each element as an `R`.
pub(super) fn read_elements<'a, R: Deserialize<'a>>(
    elements: Elements<'a>,
) -> Result<Vec<Element<'a, R>>, MergeError> {
    let texts = elements.texts()?.into_iter().enumerate();
    texts
        .map(|(index, text)| read_element(index, text))
        .collect()
}

/// One element: its bytes, and the fields that its rule reads.
pub(super) struct Element<'a, R> {
    /// A JSON object from its `{` to its `}`.
    pub(super) text: &'a str,
    pub(super) row: R,
}

/// Reads one element; `index` is for the error.
pub(super) fn read_element<'a, R: Deserialize<'a>>(
    index: usize,
    text: &'a str,
) -> Result<Element<'a, R>, MergeError> {
    // A derived `Deserialize` also takes an array for a struct.
    if !text.starts_with('{') {
        return Err(MergeError::of_element(index, "not an object"));
    }
    if is_too_deep(text) {
        return Err(MergeError::TooDeep { index });
    }
    let row = serde_json::from_str(text).map_err(|e| MergeError::of_element(index, e))?;
    Ok(Element { text, row })
}

/// The readable elements of one node.
pub(super) struct NodeRows<'a, R> {
    pub(super) node: &'a NodeTag,
    pub(super) elements: Vec<Element<'a, R>>,
}

/// The readable answers, in the order given, and the others with the reason.
pub(super) type Read<'a, T> = (Vec<T>, Vec<(NodeTag, MergeError)>);

/// Reads all answers with `read`, and separates the usable from the unusable.
pub(super) fn read_all<'a, T>(
    answers: &'a [NodeAnswer],
    read: impl Fn(&'a NodeAnswer) -> Result<T, MergeError>,
) -> Read<'a, T> {
    let mut usable = Vec::with_capacity(answers.len());
    let mut unusable = Vec::new();
    for answer in answers {
        match read(answer) {
            Ok(value) => usable.push(value),
            Err(error) => unusable.push((answer.node.clone(), error)),
        }
    }
    (usable, unusable)
}

/// Reads answers whose body is an array.
pub(super) fn read_lists<'a, R: Deserialize<'a>>(
    answers: &'a [NodeAnswer],
) -> Read<'a, NodeRows<'a, R>> {
    read_all(answers, |answer| {
        let elements: Elements<'a> = read_body(&answer.body, "a JSON array")?;
        Ok(NodeRows {
            node: &answer.node,
            elements: read_elements(elements)?,
        })
    })
}

/// Reads a whole body as a `T`; `expected` says what the endpoint answers with.
pub(super) fn read_body<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    expected: &'static str,
) -> Result<T, MergeError> {
    serde_json::from_slice(body).map_err(|e| MergeError::of_body(&e, expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{MAX_DEPTH, MAX_ELEMENTS};
    use serde::de::IgnoredAny;

    fn elements(body: &str) -> Result<Vec<&str>, MergeError> {
        let elements: Elements<'_> = read_body(body.as_bytes(), "a JSON array")?;
        let rows = read_elements::<IgnoredAny>(elements)?;
        Ok(rows.into_iter().map(|e| e.text).collect())
    }

    #[test]
    fn an_array_is_split_into_the_bytes_of_its_elements() {
        assert_eq!(
            elements(" [ {\"a\" : 1 } ,\n{} ]\n"),
            Ok(vec!["{\"a\" : 1 }", "{}"])
        );
        assert_eq!(elements("[]"), Ok(vec![]));
    }

    #[test]
    fn each_fault_of_a_body_has_its_error() {
        let shape = MergeError::Shape {
            expected: "a JSON array",
        };
        assert_eq!(elements("[{\"a\":1},{\"b\":"), Err(MergeError::Truncated));
        assert_eq!(elements(""), Err(MergeError::Truncated));
        assert_eq!(elements("{\"message\":\"no\"}"), Err(shape.clone()));
        assert_eq!(elements("17"), Err(shape));
        assert!(matches!(
            elements("<html>"),
            Err(MergeError::NotJson { line: 1, column: 1 })
        ));
        assert!(matches!(
            elements("[{},null]"),
            Err(MergeError::Element { index: 1, .. })
        ));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let read: Result<Elements<'_>, _> = read_body(b"[{\"a\":\"\xff\"}]", "a JSON array");
        assert!(matches!(read.err(), Some(MergeError::NotJson { .. })));
    }

    #[test]
    fn one_element_more_than_the_cap_is_refused() {
        let list = |n: usize| format!("[{}]", vec!["{}"; n].join(","));
        assert_eq!(
            elements(&list(MAX_ELEMENTS)).map(|e| e.len()),
            Ok(MAX_ELEMENTS)
        );
        assert_eq!(
            elements(&list(MAX_ELEMENTS + 1)),
            Err(MergeError::TooManyElements)
        );
    }

    #[test]
    fn nesting_is_bounded_and_uses_no_stack() {
        let nested = |n: usize| format!("[{{\"a\":{}{}}}]", "[".repeat(n), "]".repeat(n));
        assert!(elements(&nested(MAX_DEPTH - 1)).is_ok());
        for depth in [MAX_DEPTH, 1_000_000] {
            assert_eq!(
                elements(&nested(depth)),
                Err(MergeError::TooDeep { index: 0 })
            );
        }
    }
}
