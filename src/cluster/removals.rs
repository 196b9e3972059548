//! Remembers for a few minutes where containers were that callers removed or
//! renamed, in bounded memory: a tool that replaces a container removes it first
//! and creates it again a moment later.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use skep_filters::placement::Removed;

use crate::cluster::known::image_name;

/// How long a removal is remembered.
const FOR: Duration = Duration::from_secs(300);

/// The most removals, of one caller and of all.
const OF_CALLER: usize = 128;
const OF_ALL: usize = 2048;

/// The longest name or image that is remembered, in bytes.
const LONGEST: usize = 512;

/// The removals of the last minutes, the oldest first.
#[derive(Default)]
pub(crate) struct Removals(Mutex<VecDeque<Removal>>);

/// A container that a caller removed or renamed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Removal {
    caller: String,
    name: String,
    /// Its image, without tag and digest.
    repository: String,
    /// The id of its node.
    pub(crate) node: String,
    /// The hostname of its node, for a message.
    pub(crate) hostname: String,
    /// It had binds, local volumes or published ports.
    pub(crate) is_tied: bool,
    since: Instant,
}

impl Removals {
    /// Records that the caller removed this container of a node.
    pub(crate) fn remember(&self, caller: &str, node: &str, hostname: &str, removed: &Removed) {
        if removed.name.len() > LONGEST || removed.image.len() > LONGEST || node.is_empty() {
            return;
        }
        let mut removals = self.current();
        removals.retain(|r| !(r.caller == caller && r.name == removed.name));
        if removals.iter().filter(|r| r.caller == caller).count() >= OF_CALLER
            && let Some(oldest) = removals.iter().position(|r| r.caller == caller)
        {
            removals.remove(oldest);
        }
        if removals.len() >= OF_ALL {
            removals.pop_front();
        }
        removals.push_back(Removal {
            caller: caller.to_owned(),
            name: removed.name.clone(),
            repository: repository(&removed.image),
            node: node.to_owned(),
            hostname: hostname.to_owned(),
            is_tied: removed.is_tied,
            since: Instant::now(),
        });
    }

    /// The removal of the container that had this name.
    pub(crate) fn of_name(&self, caller: &str, name: &str) -> Option<Removal> {
        let removals = self.current();
        let mut own = removals.iter().filter(|r| r.caller == caller);
        own.find(|r| r.name == name).cloned()
    }

    /// The id of the node of the container of this image, in any version, that the
    /// caller removed last.
    pub(crate) fn of_image(&self, caller: &str, image: &str) -> Option<String> {
        let repository = repository(image);
        let removals = self.current();
        let mut own = removals.iter().rev().filter(|r| r.caller == caller);
        own.find(|r| r.repository == repository)
            .map(|r| r.node.clone())
    }

    /// Forgets a removal, because the container was created again.
    pub(crate) fn forget(&self, caller: &str, name: &str) {
        self.current()
            .retain(|r| !(r.caller == caller && r.name == name));
    }

    /// The removals that are not too old.
    fn current(&self) -> std::sync::MutexGuard<'_, VecDeque<Removal>> {
        let mut removals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while removals.front().is_some_and(|r| r.since.elapsed() >= FOR) {
            removals.pop_front();
        }
        removals
    }
}

/// An image's name without tag and digest; an id stays as it is.
fn repository(image: &str) -> String {
    if image.starts_with("sha256:") {
        return image.to_owned();
    }
    let name = image_name(image);
    let name = name.split('@').next().unwrap_or_default();
    let tag = name.rfind(':').filter(|at| !name[*at..].contains('/'));
    name[..tag.unwrap_or(name.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(name: &str, image: &str) -> Removed {
        Removed {
            name: name.to_owned(),
            image: image.to_owned(),
            is_tied: false,
        }
    }

    #[test]
    fn a_removal_is_known_to_its_caller_until_the_container_is_created_again() {
        let removals = Removals::default();
        removals.remember("ci", "n2", "two", &removed("web", "app:1"));
        assert_eq!(removals.of_name("ci", "web").unwrap().node, "n2");
        assert_eq!(removals.of_name("else", "web"), None);
        assert_eq!(removals.of_name("ci", "we"), None);
        removals.remember("ci", "n3", "three", &removed("web", "app:1"));
        assert_eq!(removals.of_name("ci", "web").unwrap().node, "n3");
        removals.forget("else", "web");
        assert!(removals.of_name("ci", "web").is_some());
        removals.forget("ci", "web");
        assert_eq!(removals.of_name("ci", "web"), None);
    }

    #[test]
    fn an_image_is_recognised_in_every_version_and_spelling() {
        for (had, asked, same) in [
            ("app:1", "app:2", true),
            ("app", "docker.io/library/app:2", true),
            ("app@sha256:0a", "app", true),
            ("reg:5000/a/app:1", "reg:5000/a/app", true),
            ("reg:5000/app", "app", false),
            ("app:1", "app2", false),
            ("sha256:0a", "sha256:0a", true),
            ("sha256:0a", "sha256:0b", false),
        ] {
            let removals = Removals::default();
            removals.remember("ci", "n2", "two", &removed("web", had));
            let node = removals.of_image("ci", asked);
            assert_eq!(node.is_some(), same, "{had} {asked}");
            assert_eq!(removals.of_image("else", asked), None);
        }
    }

    #[test]
    fn removals_are_bounded_and_a_caller_displaces_its_own_first() {
        let removals = Removals::default();
        removals.remember("quiet", "n2", "two", &removed("web", "app"));
        for n in 0..3 * OF_CALLER {
            removals.remember("busy", "n2", "two", &removed(&n.to_string(), "app"));
        }
        assert_eq!(removals.0.lock().unwrap().len(), OF_CALLER + 1);
        assert!(removals.of_name("quiet", "web").is_some());
        assert_eq!(removals.of_name("busy", "0"), None);
        for n in 0..2 * OF_ALL {
            removals.remember(&n.to_string(), "n2", "two", &removed("web", "app"));
        }
        assert_eq!(removals.0.lock().unwrap().len(), OF_ALL);
        let long = "a".repeat(LONGEST + 1);
        removals.remember("ci", "n2", "two", &removed(&long, "app"));
        assert_eq!(removals.of_name("ci", &long), None);
    }
}
