//! Remembers for a moment the ids that no node has, so that a client that asks again and
//! again does not make every node look each time.
//!
//! Engines choose the ids of containers and execs at random when they create them. So a
//! full id that no node has is not going to exist; a name may.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use skep_filters::endpoint::ObjectKind;
use tokio::time::Instant;

/// How long an id is remembered.
const AGE: Duration = Duration::from_secs(10);

/// The most ids; more are not remembered.
const MOST: usize = 4096;

/// The ids that no node has.
#[derive(Debug, Default)]
pub(crate) struct Misses {
    seen: Mutex<HashMap<u64, Instant>>,
    order: RandomState,
}

impl Misses {
    /// Whether these nodes were asked for the object a moment ago, and none has it.
    pub(crate) fn has<'a>(
        &self,
        kind: ObjectKind,
        id: &str,
        nodes: impl Iterator<Item = &'a str>,
    ) -> bool {
        if !is_lasting(kind, id) {
            return false;
        }
        let key = self.key(kind, id, nodes);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&key).is_some_and(|at| at.elapsed() < AGE)
    }

    /// Records that all of these nodes have answered that they do not have the object.
    pub(crate) fn saw<'a>(&self, kind: ObjectKind, id: &str, nodes: impl Iterator<Item = &'a str>) {
        if !is_lasting(kind, id) {
            return;
        }
        let key = self.key(kind, id, nodes);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.retain(|_, at| at.elapsed() < AGE);
        }
        if seen.len() < MOST {
            seen.insert(key, Instant::now());
        }
    }

    /// A node that joins may have the object, so the nodes are a part of the key.
    fn key<'a>(&self, kind: ObjectKind, id: &str, nodes: impl Iterator<Item = &'a str>) -> u64 {
        let mut hasher = self.order.build_hasher();
        matches!(kind, ObjectKind::Exec).hash(&mut hasher);
        id.hash(&mut hasher);
        nodes.for_each(|node| node.hash(&mut hasher));
        hasher.finish()
    }
}

/// Whether an object of this kind that does not exist by this id is never going to.
fn is_lasting(kind: ObjectKind, id: &str) -> bool {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    matches!(kind, ObjectKind::Container | ObjectKind::Exec)
        && id.len() == 64
        && id.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn id(n: usize) -> String {
        format!("{n:064x}")
    }

    const NODES: [&str; 2] = ["n1", "n2"];

    #[tokio::test(start_paused = true)]
    async fn only_a_full_id_of_a_container_or_an_exec_is_missed_and_not_for_long() {
        for (kind, name, is_missed) in [
            (ObjectKind::Container, id(1), true),
            (ObjectKind::Exec, id(1), true),
            (ObjectKind::Container, "web".to_owned(), false),
            (ObjectKind::Container, id(1)[..12].to_owned(), false),
            (ObjectKind::Container, "A".repeat(64), false),
            (ObjectKind::Image, id(1), false),
            (ObjectKind::Volume, id(1), false),
            (ObjectKind::Network, id(1), false),
        ] {
            let misses = Misses::default();
            let has = |nodes: &[&'static str]| misses.has(kind, &name, nodes.iter().copied());
            assert!(!has(&NODES));
            misses.saw(kind, &name, NODES.into_iter());
            assert_eq!(has(&NODES), is_missed, "{kind:?} {name}");
            // Another node may have it.
            assert!(!has(&["n1", "n2", "n3"]));
            assert!(!has(&["n1"]));
            advance(AGE).await;
            assert!(!has(&NODES));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_misses_is_bounded() {
        let misses = Misses::default();
        let kind = ObjectKind::Container;
        for n in 0..2 * MOST {
            misses.saw(kind, &id(n), NODES.into_iter());
        }
        assert_eq!(misses.seen.lock().unwrap().len(), MOST);
        advance(AGE).await;
        misses.saw(kind, &id(0), NODES.into_iter());
        assert_eq!(misses.seen.lock().unwrap().len(), 1);
    }
}
