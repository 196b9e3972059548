//! Where containers and execs were seen. Bounded: what was seen last stays, so
//! that a snapshot of many containers does not make each of them a question to
//! every node.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Ids in one generation. Two of them are kept: at most 131,072 ids, about 10 MB.
const GENERATION: usize = 65_536;

/// Nodes whose names are shared by the ids on them.
const NODES: usize = 4096;

type Id = [u8; 32];

/// Node ids by container and exec id.
#[derive(Default)]
pub struct Known {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    young: HashMap<Id, Arc<str>>,
    old: HashMap<Id, Arc<str>>,
    nodes: HashSet<Arc<str>>,
}

impl Known {
    /// The node that this full id was seen on.
    pub fn get(&self, id: &str) -> Option<Arc<str>> {
        let id = parse(id)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.young.get(&id).or_else(|| seen.old.get(&id)).cloned()
    }

    /// Notes that a container or exec with this full id is on this node.
    pub fn saw(&self, id: &str, node: &str) {
        let Some(id) = parse(id).filter(|_| !node.is_empty()) else {
            return;
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let node = seen.shared(node);
        seen.put(id, node);
    }

    /// A container is gone.
    pub fn forget(&self, id: &str) {
        let Some(id) = parse(id) else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.young.remove(&id);
        seen.old.remove(&id);
    }
}

impl Seen {
    fn put(&mut self, id: Id, node: Arc<str>) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, node);
    }

    fn shared(&mut self, node: &str) -> Arc<str> {
        if let Some(node) = self.nodes.get(node) {
            return node.clone();
        }
        if self.nodes.len() >= NODES {
            self.nodes.clear();
        }
        let node: Arc<str> = node.into();
        self.nodes.insert(node.clone());
        node
    }
}

/// A full id. An engine writes its digits in lower case, and reads others as a name.
fn parse(id: &str) -> Option<Id> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = id.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut parsed = [0; 32];
    if pairs.len() != parsed.len() {
        return None;
    }
    for (byte, [high, low]) in parsed.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> String {
        format!("{n:064x}")
    }

    #[test]
    fn only_full_ids_are_remembered() {
        let known = Known::default();
        for other in [
            "",
            "abc",
            "web",
            &"A".repeat(64),
            &"g".repeat(64),
            &"a".repeat(66),
        ] {
            known.saw(other, "node");
            assert_eq!(known.get(other), None, "{other}");
        }
        known.saw(&id(1), "");
        assert_eq!(known.get(&id(1)), None);
        known.saw(&id(1), "node");
        assert_eq!(known.get(&id(1)).as_deref(), Some("node"));
        known.saw(&id(1), "other");
        assert_eq!(known.get(&id(1)).as_deref(), Some("other"));
        known.forget(&id(1));
        assert_eq!(known.get(&id(1)), None);
    }

    #[test]
    fn a_list_as_long_as_both_generations_is_remembered_whole() {
        let known = Known::default();
        let list = 2 * GENERATION;
        for _ in 0..2 {
            for n in 0..list {
                known.saw(&id(n), "node");
            }
            assert!((0..list).all(|n| known.get(&id(n)).is_some()));
        }
    }

    #[test]
    fn what_is_seen_again_stays_and_the_rest_is_bounded() {
        let known = Known::default();
        for n in 0..5 * GENERATION {
            known.saw(&id(n), &format!("node{n}"));
            if n % GENERATION == 0 {
                known.saw(&id(0), "node");
            }
            assert!(known.get(&id(0)).is_some(), "{n}");
        }
        let seen = known.seen.lock().unwrap();
        assert!(seen.young.len() + seen.old.len() <= 2 * GENERATION);
        assert!(seen.nodes.len() <= NODES);
        drop(seen);
        assert_eq!(known.get(&id(1)), None);
        known.forget(&id(0));
        assert_eq!(known.get(&id(0)), None);
    }
}
