//! Names the nodes that a request may reach.

use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reachable {
    #[default]
    All,
    /// Node ids.
    Some(Arc<BTreeSet<String>>),
}

impl Reachable {
    pub(crate) fn has(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(ids) => ids.contains(id),
        }
    }
}
