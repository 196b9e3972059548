//! Counts this agent's open calls by node: agents that are in use are probed in every
//! round, so that a dead stream is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The open calls, by node id.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<BTreeMap<String, usize>>);

/// An open call, until it is dropped.
pub(crate) struct Use<'a> {
    uses: &'a Uses,
    id: &'a str,
}

impl Uses {
    pub(crate) fn begin<'a>(&'a self, id: &'a str) -> Use<'a> {
        *self.all().entry(id.to_owned()).or_default() += 1;
        Use { uses: self, id }
    }

    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.all().keys().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        let mut all = self.uses.all();
        if let Some(open) = all.get_mut(self.id) {
            *open -= 1;
            if *open == 0 {
                all.remove(self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_in_use_until_its_last_call_ends() {
        let uses = Uses::default();
        let first = uses.begin("a");
        let second = uses.begin("a");
        drop(first);
        assert_eq!(uses.ids(), ["a".to_owned()].into());
        drop(second);
        assert!(uses.ids().is_empty());
    }
}
