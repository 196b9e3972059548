//! Defines the faults of a written policy, and of a judged body.

use crate::json::JsonError;

/// A fault in a [`Spec`](super::Spec), with the place it is at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct PolicyError {
    /// The setting within the policy, such as `rules[1].allow[0]` or `must.memory`.
    pub at: String,
    /// The fault and, if possible, the correction.
    pub what: String,
}

impl PolicyError {
    pub(super) fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            what: what.into(),
        }
    }
}

/// Why a body cannot be judged. Each is the client's mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A `Content-Encoding`.
    #[error("it has a Content-Encoding")]
    Encoded,
    /// Another `Content-Type` than JSON's.
    #[error("its Content-Type is not application/json")]
    NotJsonType,
    /// JSON without a single certain reading.
    #[error(transparent)]
    Json(#[from] JsonError),
}
