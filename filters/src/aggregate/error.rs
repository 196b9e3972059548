//! Defines why the answer of one node could not be merged.

use std::fmt;

use serde_json::error::Category;

use crate::json::{MAX_DEPTH, MAX_ELEMENTS, TooMany};

/// Longest reason of the JSON reader: it quotes the node.
const MAX_REASON: usize = 160;

/// Why the answer of one node could not be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The body ended before its JSON did.
    #[error("the answer ends in the middle of its JSON")]
    Truncated,
    /// The body is not JSON.
    #[error("the answer is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the first byte that is not JSON, from 1.
        line: usize,
        /// Column of that byte, from 1.
        column: usize,
    },
    /// The body is JSON of another shape.
    #[error("the answer is not {expected}")]
    Shape {
        /// The shape that the endpoint answers with.
        expected: &'static str,
    },
    /// The list is longer than [`MAX_ELEMENTS`].
    #[error("the answer has more than {MAX_ELEMENTS} elements")]
    TooManyElements,
    /// An element is nested deeper than [`MAX_DEPTH`].
    #[error("element {index} of the answer is nested deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// An element lacks what the endpoint always sends.
    #[error("element {index} of the answer is not what this endpoint lists: {reason}")]
    Element {
        /// Its place in the list, from 0.
        index: usize,
        /// The reason of the JSON reader, shortened.
        reason: String,
    },
}

impl MergeError {
    pub(super) fn of_body(error: &serde_json::Error, expected: &'static str) -> Self {
        match error.classify() {
            Category::Eof => Self::Truncated,
            Category::Data => Self::Shape { expected },
            Category::Syntax | Category::Io => Self::NotJson {
                line: error.line(),
                column: error.column(),
            },
        }
    }

    pub(super) fn of_element(index: usize, reason: impl fmt::Display) -> Self {
        Self::Element {
            index,
            reason: reason.to_string().chars().take(MAX_REASON).collect(),
        }
    }
}

impl From<TooMany> for MergeError {
    fn from(_: TooMany) -> Self {
        Self::TooManyElements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short() {
        let error = MergeError::of_element(0, "x".repeat(1 << 20));
        assert!(error.to_string().len() < 300);
    }
}
