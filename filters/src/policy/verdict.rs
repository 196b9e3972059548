//! Defines the verdict of a policy on a request, and its reason.

use super::error::BodyError;
use crate::endpoint::ParameterError;
use crate::json::ShapeError;

/// The verdict on one request, with the rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'p> {
    /// It may go on.
    Allow {
        /// The rule, for the log.
        rule: &'p str,
    },
    /// It may not.
    Deny {
        /// The rule, such as `deny exec`, `may.privileged` or `default`.
        rule: &'p str,
        /// Why, for the caller and the log.
        reason: Reason,
    },
}

impl Verdict<'_> {
    /// Whether it may go on.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// Why a request is denied. The text is of bounded length and has no control
/// characters, for any request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No rule matches it.
    #[error("no rule allows it")]
    NotAllowed,
    /// A rule forbids it.
    #[error("a rule denies it")]
    Denied,
    /// The endpoint table does not list it; a newer engine may have it.
    #[error("unknown endpoint")]
    UnknownEndpoint,
    /// The body has no single certain reading.
    #[error("the body cannot be judged: {0}")]
    Body(#[from] BodyError),
    /// The query has a parameter that no policy can judge.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A parameter, header or field asks for what is not granted, or lacks what is demanded.
    #[error("{0}")]
    Asks(String),
}

/// A denial, before it becomes a verdict.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) rule: &'static str,
    pub(super) reason: Reason,
}

/// The outcome of a check.
pub(super) type Judged<T = ()> = Result<T, Denied>;

impl Denied {
    pub(super) fn asks(rule: &'static str, what: String) -> Self {
        Self {
            rule,
            reason: Reason::Asks(what),
        }
    }

    /// A body of another shape than the engine reads.
    pub(super) fn shape(what: String) -> Self {
        Self::asks("body", what)
    }
}

impl From<BodyError> for Denied {
    fn from(error: BodyError) -> Self {
        Self {
            rule: "body",
            reason: error.into(),
        }
    }
}

impl From<ParameterError> for Denied {
    fn from(error: ParameterError) -> Self {
        Self {
            rule: "parameters",
            reason: error.into(),
        }
    }
}

impl From<ShapeError> for Denied {
    fn from(error: ShapeError) -> Self {
        Self::shape(error.0)
    }
}
