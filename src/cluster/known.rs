//! Remembers the node of each container and exec seen last, in bounded memory,
//! so that a client that inspects many containers in a row does not make this
//! agent ask every node for each of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ids in one generation. Two of them are kept: at most 131,072 ids, about 10 MB.
const GENERATION: usize = 65_536;

/// The most node ids to share between the ids on them.
const NODES: usize = 4096;

type Id = [u8; 32];

/// Node ids by container and exec id.
#[derive(Default)]
pub(crate) struct Known {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    young: HashMap<Id, Arc<str>>,
    old: HashMap<Id, Arc<str>>,
    nodes: HashSet<Arc<str>>,
}

impl Known {
    /// `None` also for anything but a full id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<str>> {
        let id = parse(id)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.young.get(&id).or_else(|| seen.old.get(&id)).cloned()
    }

    /// Records the node of a container or exec; ignores anything but a full id.
    pub(crate) fn saw(&self, id: &str, node: &str) {
        let Some(id) = parse(id).filter(|_| !node.is_empty()) else {
            return;
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let node = seen.shared(node);
        seen.put(id, node);
    }

    pub(crate) fn forget(&self, id: &str) {
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

/// A full id. Engines write its digits in lower case, and take upper case for a
/// name.
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

/// How long, and for how many pulls, a node without the image is remembered: the
/// client is going to pull it next.
const PULL: Duration = Duration::from_secs(120);
const PULLS: usize = 1024;

/// The nodes that lacked an image: pulls by caller and image.
#[derive(Default)]
pub(crate) struct Pulls(Mutex<HashMap<(String, String), (String, Instant)>>);

impl Pulls {
    /// Records that this node lacked the image that the caller asked for.
    pub(crate) fn expect(&self, caller: &str, image: &str, node: &str) {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        pulls.retain(|_, (_, since)| now - *since < PULL);
        if pulls.len() < PULLS {
            let key = (caller.to_owned(), image.to_owned());
            pulls.insert(key, (node.to_owned(), now));
        }
    }

    /// The node that lacked the image, for this caller's first pull of it only.
    pub(crate) fn take(&self, caller: &str, image: &str) -> Option<String> {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (node, since) = pulls.remove(&(caller.to_owned(), image.to_owned()))?;
        (since.elapsed() < PULL).then_some(node)
    }
}

/// The same name for `app`, `app:latest` and `docker.io/library/app`.
pub(crate) fn image_name(image: &str) -> String {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
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
    fn an_id_seen_again_stays_and_the_others_are_bounded() {
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

    #[test]
    fn a_pull_is_sent_once_to_the_node_that_lacked_the_image() {
        let pulls = Pulls::default();
        pulls.expect("ci", "app:latest", "n2");
        assert_eq!(pulls.take("else", "app:latest"), None);
        assert_eq!(pulls.take("ci", "app:latest").as_deref(), Some("n2"));
        assert_eq!(pulls.take("ci", "app:latest"), None);
    }

    #[test]
    fn pulls_that_never_come_are_bounded() {
        let pulls = Pulls::default();
        for n in 0..2 * PULLS {
            pulls.expect("ci", &n.to_string(), "n2");
        }
        assert_eq!(pulls.0.lock().unwrap().len(), PULLS);
    }

    #[test]
    fn every_spelling_of_an_image_has_the_same_name() {
        for (written, name) in [
            ("app", "app:latest"),
            ("docker.io/library/app", "app:latest"),
            ("library/app:2", "app:2"),
            ("reg:5000/app", "reg:5000/app:latest"),
            ("app@sha256:0a", "app@sha256:0a"),
        ] {
            assert_eq!(image_name(written), name, "{written}");
        }
    }
}
