//! May this caller do this?
//!
//! A policy is written as a [`Spec`] and checked once into a [`RuleSet`], which
//! judges every request in two steps: [`RuleSet::judge`] by its head, and, if
//! [`RuleSet::inspects`] says so, [`RuleSet::judge_body`] by the very bytes
//! that are forwarded. What no rule allows is denied, and so is what cannot be
//! read in one way only. [`scope`] and [`redact`] are for callers that may see
//! a part of what there is.
//!
//! Some things no request shows: that a container one may `exec` into is a
//! privileged one, what a named volume made by somebody else is mounted on,
//! where a link on the host leads, and what a build does with BuildKit's own
//! protocol. The first two are for [`scope`], the third for the operator who
//! grants a path, the last needs a grant of its own ([`May::buildkit`]).
//!
//! The agent does not read policies from its configuration yet: it judges by
//! [`Policy::Admin`] alone.

mod body;
pub mod environment;
mod error;
mod json;
mod may;
mod must;
mod node;
mod pattern;
pub mod presets;
pub mod redact;
mod ruleset;
pub mod scope;
mod selector;
mod size;
mod spec;
#[cfg(test)]
mod tests;
mod verdict;
mod yaml;

use std::convert::Infallible;

use crate::endpoint::Match;

pub use error::PolicyError;
pub use json::BodyError;
pub use may::May;
pub use must::Must;
pub use node::{Node, NodeCondition, Role};
pub use redact::Redact;
pub use ruleset::{BodyOf, Request, RuleSet};
pub use selector::groups;
pub use size::{BadSize, Size};
pub use spec::{Effect, RuleSpec, Spec};
pub use verdict::{Reason, Verdict};

/// What a caller without any restriction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everything.
    Admin,
}

impl Policy {
    /// Judges a request; an endpoint that no table knows is `None`. It cannot
    /// deny, as its type says. For callers with rules there is [`RuleSet::judge`].
    pub fn judge(self, _endpoint: Option<&Match>) -> Verdict<'static, Infallible> {
        match self {
            Self::Admin => Verdict::Allow { rule: "admin" },
        }
    }
}
