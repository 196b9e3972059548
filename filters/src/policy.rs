//! Decides whether a caller may make a request.
//!
//! A policy is written as a [`Spec`] and checked once into a [`RuleSet`], which
//! judges every request in two steps: [`RuleSet::judge`] by its head, and, if
//! [`RuleSet::inspects`] says so, [`RuleSet::judge_body`] by the very bytes
//! that are forwarded. A request that no rule allows is denied, and so is one
//! that can be read in two ways. [`scope`] and [`redact`] are for callers that
//! see only some of the objects.
//!
//! A request does not show everything: whether the container of an `exec` is
//! privileged, where an existing named volume is mounted from, where a link on
//! the host leads, and what a build does over BuildKit's own protocol.
//! [`scope`] answers the first two. The operator who grants a path answers the
//! third. The last needs a grant of its own ([`May::buildkit`]).

pub mod allowlist;
mod body;
mod effect;
mod effective_api;
pub mod environment;
mod error;
mod guard;
pub mod helper;
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
mod stored_specs;
mod summary;
#[cfg(test)]
mod tests;
mod verdict;
mod yaml;

/// The readers of mount options, for the tests that run them alone.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod mount_options {
    pub(crate) use super::body::mount_options::flags::Flags;
    pub(crate) use super::body::mount_options::mode::Mode;
    pub(crate) use super::body::mount_options::propagation::Propagation;
}

pub use effect::Effect;
pub use effective_api::{EffectiveApi, Release};
pub use error::{BodyError, PolicyError};
pub use guard::{Guarded, Guarding, LabelMark, Marks, Named, Stack, Thing};
pub use may::May;
pub use must::Must;
pub use node::{Node, NodeCondition, On, Role};
pub use redact::Redact;
pub use request::{BodyOf, Request};
pub use ruleset::RuleSet;
pub use selector::groups;
pub use spec::{RuleSpec, Spec};
pub use stored_specs::StoredSpecs;
pub use summary::Extent;
pub use verdict::{Reason, Verdict};
