//! Remembers the node of each container and exec seen last, in bounded memory,
//! so that a client that inspects many containers in a row does not make this
//! agent ask every node for each of them.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ids in one generation. Two of them are kept: at most 131,072 ids, about 10 MB.
const GENERATION: usize = 65_536;

/// The most node ids to share between the ids on them.
const NODES: usize = 16_384;

type Id = [u8; 32];

/// The nodes and names of containers and execs, by id.
#[derive(Default)]
pub(crate) struct Known {
    seen: Mutex<Seen>,
    /// Hashes names, so that an entry has the same size for each.
    names: RandomState,
}

#[derive(Default)]
struct Seen {
    young: HashMap<Id, Entry>,
    old: HashMap<Id, Entry>,
    nodes: HashSet<Arc<str>>,
}

#[derive(Clone)]
struct Entry {
    node: Arc<str>,
    /// The hash of the container's name, once it was seen.
    name: Option<u64>,
}

impl Known {
    /// `None` also for anything but a full id.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<str>> {
        let id = parse(id)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Some(seen.get(&id)?.node.clone())
    }

    /// Records the node of a container or exec; ignores anything but a full id.
    pub(crate) fn saw(&self, id: &str, node: &str) {
        self.put(id, node, None);
    }

    /// Records the node and the name of a container; ignores anything but a full id.
    pub(crate) fn saw_named(&self, id: &str, name: &str, node: &str) {
        self.put(id, node, Some(name));
    }

    fn put(&self, id: &str, node: &str, name: Option<&str>) {
        let Some(id) = parse(id).filter(|_| !node.is_empty()) else {
            return;
        };
        let name = name.map(|name| self.hash(name));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let node = seen.shared(node);
        let name = name.or_else(|| seen.get(&id)?.name);
        seen.put(id, Entry { node, name });
    }

    fn hash(&self, name: &str) -> u64 {
        self.names.hash_one(name.trim_start_matches('/'))
    }

    /// The ids and nodes of the containers and execs that `asked` may mean: by full
    /// id, by name, or by the beginning of an id. It looks at all of them, so it is
    /// for the rare case that no node has the object.
    pub(crate) fn meant(&self, asked: &str) -> Vec<(String, Arc<str>)> {
        let (name, prefix) = (self.hash(asked), digits(asked));
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = |(id, entry): &(&Id, &Entry)| {
            let begins = || {
                prefix
                    .as_ref()
                    .is_some_and(|prefix| begins_with(id, prefix))
            };
            entry.name == Some(name) || begins()
        };
        let old = seen
            .old
            .iter()
            .filter(|(id, _)| !seen.young.contains_key(*id));
        let found = seen.young.iter().chain(old).filter(meant);
        found
            .map(|(id, entry)| (text(id), entry.node.clone()))
            .collect()
    }

    pub(crate) fn forget(&self, id: &str) {
        let Some(id) = parse(id) else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.young.remove(&id);
        seen.old.remove(&id);
    }
}

impl Seen {
    fn get(&self, id: &Id) -> Option<&Entry> {
        self.young.get(id).or_else(|| self.old.get(id))
    }

    fn put(&mut self, id: Id, entry: Entry) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, entry);
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

/// A full id.
fn parse(id: &str) -> Option<Id> {
    let digits = digits(id).filter(|digits| digits.len() == 64)?;
    let mut parsed = [0; 32];
    for (byte, [high, low]) in parsed.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = high << 4 | low;
    }
    Some(parsed)
}

/// The digits of a full id or of its beginning. Engines write them in lower case,
/// and take upper case for a name.
fn digits(id: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let fits = (1..=64).contains(&id.len());
    fits.then(|| id.bytes().map(digit).collect())?
}

fn begins_with(id: &Id, digits: &[u8]) -> bool {
    let all = id.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    all.zip(digits).all(|(have, want)| have == *want)
}

fn text(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
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
    fn a_container_is_meant_by_its_id_name_or_the_beginning_of_its_id() {
        let known = Known::default();
        let id = "ab12".repeat(16);
        known.saw_named(&id, "/web", "n3");
        // An event does not say the name again.
        known.saw(&id, "n3");
        for asked in [id.as_str(), "web", "/web", "a", "ab1", "ab12ab12ab12"] {
            assert_eq!(known.meant(asked), [(id.clone(), "n3".into())], "{asked}");
        }
        let longer = format!("{id}a");
        for asked in ["", "we", "WEB", "AB12", "ab13", "b", longer.as_str()] {
            assert!(known.meant(asked).is_empty(), "{asked}");
        }
        known.saw_named(&id, "renamed", "n3");
        assert!(known.meant("web").is_empty());
        known.forget(&id);
        assert!(known.meant("renamed").is_empty());
        assert!(known.meant(&id).is_empty());
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
