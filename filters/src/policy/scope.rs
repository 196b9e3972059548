//! Limits callers to the objects with certain labels.
//!
//! [`Reach`] says for every endpoint how to enforce the scope: filters narrow a
//! list, an object is inspected before it is used, a new object gets the
//! labels, and endpoints about everything at once are forbidden. Images are
//! shared and have no scope; [`Must::images`](super::Must::images) says which
//! may be used.
//!
//! The objects that the body of a new container or service names must be in
//! scope too: [`Scope::references`].

mod inspect;
mod narrow;
mod references;
mod stamp;

use std::collections::BTreeMap;

pub use crate::endpoint::{Kind, Reach};
pub use references::Reference;
pub(super) use references::named_in;

/// The labels that an object must have to be seen; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(BTreeMap<String, String>);

/// Why the scope cannot be enforced on a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It asks for objects, or creates one, with another value of a label of the scope.
    #[error("the request has another value for the label {0:?} than your scope")]
    Conflict(String),
    /// It cannot be read with certainty.
    #[error("cannot enforce your scope: {0}")]
    Unreadable(&'static str),
}

impl Scope {
    /// `None` without labels: the caller then sees everything.
    pub fn new(labels: BTreeMap<String, String>) -> Option<Self> {
        (!labels.is_empty()).then_some(Self(labels))
    }

    /// The labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}
