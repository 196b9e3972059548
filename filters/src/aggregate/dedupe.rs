//! Which of several rows about the same thing stays in a list.

use std::collections::HashMap;
use std::hash::Hash;

use super::split::NodeRows;

/// Where a row is: which node, which of its elements.
pub(super) type Place = (usize, usize);

/// One row per key: that of the first manager that has it, else that of the
/// first node.
pub(super) struct Kept<K>(HashMap<K, Place>);

impl<K: Eq + Hash> Kept<K> {
    /// Chooses among the rows that `key` gives a key.
    pub(super) fn choose<'r, R>(
        nodes: &'r [NodeRows<'_, R>],
        key: impl Fn(&'r R) -> Option<K>,
    ) -> Self {
        let mut kept = HashMap::new();
        let managers_first = [true, false];
        for is_manager in managers_first {
            for (n, node) in nodes.iter().enumerate() {
                if node.node.is_manager != is_manager {
                    continue;
                }
                for (e, element) in node.elements.iter().enumerate() {
                    if let Some(key) = key(&element.row) {
                        kept.entry(key).or_insert((n, e));
                    }
                }
            }
        }
        Self(kept)
    }

    /// Whether the row at `place` stays; one without a key always does.
    pub(super) fn has(&self, key: Option<K>, place: Place) -> bool {
        key.is_none_or(|key| self.0.get(&key) == Some(&place))
    }
}
