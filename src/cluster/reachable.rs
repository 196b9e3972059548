//! The nodes that a request may reach.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The nodes that a caller's request may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reachable {
    /// All of them.
    #[default]
    All,
    /// These, by id.
    Some(Arc<BTreeSet<String>>),
}

impl Reachable {
    /// Whether this node is one of them.
    pub(crate) fn has(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(ids) => ids.contains(id),
        }
    }
}
