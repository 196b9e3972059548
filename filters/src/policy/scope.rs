//! Callers that see only the objects with certain labels.
//!
//! [`Reach`] says for every endpoint what has to be done: a list is narrowed
//! by filters, an object is inspected first, a new one gets the labels, and
//! what speaks of everything at once is closed. Images are not scoped: they
//! are shared, and which may be used is [`Must::images`](super::Must::images)'.
//!
//! What a new container or service names in its body has to be in scope too:
//! [`Scope::references`].

mod inspect;
mod narrow;
mod references;
mod stamp;

use std::collections::BTreeMap;

pub use crate::endpoint::{Kind, Reach};
pub use references::Reference;

/// The labels that an object must have to be seen; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(BTreeMap<String, String>);

/// Why a request cannot be kept within a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// It asks for, or names its objects with, other values of the scope's labels.
    #[error("it is about objects with another value of the label {0:?}")]
    Conflict(String),
    /// It cannot be read with certainty.
    #[error("it cannot be kept within what the caller sees: {0}")]
    Unreadable(&'static str),
}

impl Scope {
    /// `None` without labels: that is everything.
    pub fn new(labels: BTreeMap<String, String>) -> Option<Self> {
        (!labels.is_empty()).then_some(Self(labels))
    }

    /// The labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}
