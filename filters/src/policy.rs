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

mod body;
mod effect;
pub mod environment;
mod error;
mod may;
mod must;
mod node;
mod pattern;
pub mod presets;
pub mod redact;
mod request;
mod ruleset;
pub mod scope;
mod selector;
mod spec;
#[cfg(test)]
mod tests;
mod verdict;
mod yaml;

pub use effect::Effect;
pub use error::{BodyError, PolicyError};
pub use may::May;
pub use must::Must;
pub use node::{Node, NodeCondition, On, Role};
pub use redact::Redact;
pub use request::{BodyOf, Request};
pub use ruleset::RuleSet;
pub use selector::groups;
pub use spec::{RuleSpec, Spec};
pub use verdict::{Reason, Verdict};
