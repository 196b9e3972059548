//! Chooses which of several rows about the same object stays in a list.

use std::collections::HashMap;
use std::hash::Hash;

use super::split::NodeRows;

/// The place of a row: the index of its node, and of the element.
pub(super) type Place = (usize, usize);

/// One row per key: the row of the first manager that has it, else of the first
/// node.
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

    /// Whether the row at `place` stays. A row without a key always stays.
    pub(super) fn has(&self, key: Option<K>, place: Place) -> bool {
        key.is_none_or(|key| self.0.get(&key) == Some(&place))
    }
}
