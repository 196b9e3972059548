//! The agents' own objects, on which only an admin may act, and the marks of
//! containers that listeners know, which only an admin may give.
//!
//! A caller who takes over the agent's container, or who mounts its volume or
//! its secret elsewhere, has the cluster's secret and with it every right. So
//! for a policy with limits these objects are shown, but cannot be used:
//! [`RuleSet::judge_guarded`](super::RuleSet::judge_guarded) judges a request
//! by its path, query and body against a [`Guarded`], which the agent reads
//! from its engine.
//!
//! Names are compared as engines look them up: a full id, a name, the beginning
//! of an id. A text that may be the beginning of a guarded id, or the name of
//! another object, is [`Guarding::Inspect`] in a path, and denied in a body.

mod body;
mod head;
mod marks;
mod stack;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use marks::{LabelMark, Marks};
pub use stack::Stack;

use super::body::host_path::{self, Clean};
use super::body::image;
use super::request::BodyOf;
use super::verdict::{Denied, Judged};
use crate::endpoint::{Kind, Match};
use crate::json::{Fields, Json};

/// An object with an id and the names under which an engine finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The full id.
    pub id: String,
    /// The names, without a leading slash.
    pub names: Vec<String>,
}

/// The objects that belong to agents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guarded {
    /// The containers in which agents run.
    pub containers: Vec<Named>,
    /// Their images: the id, tags and digests.
    pub images: Vec<Named>,
    /// The named volumes that they mount.
    pub volumes: Vec<String>,
    /// The networks that they are attached to.
    pub networks: Vec<Named>,
    /// The services that they are tasks of.
    pub services: Vec<Named>,
    /// The Swarm secrets of these services.
    pub secrets: Vec<Named>,
    /// The Swarm configs of these services.
    pub configs: Vec<Named>,
    /// Paths of the host where agents keep secrets and settings.
    pub paths: Vec<String>,
    /// The stacks and projects that their containers belong to.
    pub stacks: Vec<Stack>,
    /// What tells listeners without TLS which caller a container is.
    pub marks: Marks,
}

/// What the guard says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guarding {
    /// It acts on no guarded object.
    Clear,
    /// It may act on one: inspect the object, compare it with
    /// [`Guarded::has_id`], and send the request with the id that was found.
    Inspect(Kind, String),
    /// It acts on a guarded object, which does not exist for the caller.
    NoSuch(Thing, String),
    /// It asks for something else that belongs to an agent, or cannot be judged.
    Denied(String),
}

/// What does not exist for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An object with labels.
    Object(Kind),
    /// An image.
    Image,
}

/// How a text relates to a guarded object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// It names another object.
    None,
    /// It is the beginning of the id, or has another form that only the engine resolves.
    Possible,
    /// It is the id or a name.
    Same,
}

/// Whether a request has a body in which a guarded object may be named.
pub(super) fn reads(found: &Match) -> bool {
    body::form(found).is_some()
}

/// Whether a request acts on something that could be guarded.
pub(super) fn acts(found: &Match) -> bool {
    head::acts(found) || reads(found)
}

/// Judges a container, from the answer to its inspect, as if it were to be created
/// again as it is.
pub(super) fn again(guarded: &Guarded, inspect: &Json<'_>) -> Judged<Guarding> {
    let inspect = Fields::of(inspect, "container")?;
    let named = guarded.marks.name(inspect.text("Name")?);
    if named != Guarding::Clear {
        return Ok(named);
    }
    body::labels(guarded, &inspect.object("Config")?)
}

/// Judges a request by its path, query and body.
pub(super) fn judge(guarded: &Guarded, found: &Match, query: &str, body: &BodyOf<'_>) -> Guarding {
    let head = head::judge(guarded, found, query);
    let (Guarding::Clear | Guarding::Inspect(..), Some(form)) = (&head, body::form(found)) else {
        return head;
    };
    if body.is_empty() {
        return head;
    }
    // An engine may read something from a body that cannot be read here.
    let judged = body
        .read()
        .map_err(Denied::from)
        .and_then(|json| body::judge(guarded, form, json));
    match judged {
        Ok(Guarding::Clear) => head,
        Ok(named) => named,
        Err(denied) => Guarding::Denied(denied.reason.to_string()),
    }
}

impl Guarded {
    /// Adds the objects of another agent.
    pub fn add(&mut self, other: &Self) {
        unite(&mut self.containers, &other.containers);
        unite(&mut self.images, &other.images);
        unite(&mut self.volumes, &other.volumes);
        unite(&mut self.networks, &other.networks);
        unite(&mut self.services, &other.services);
        unite(&mut self.secrets, &other.secrets);
        unite(&mut self.configs, &other.configs);
        unite(&mut self.paths, &other.paths);
        unite(&mut self.stacks, &other.stacks);
        self.marks.add(&other.marks);
    }

    /// Whether a guarded object of this kind has this full id.
    pub fn has_id(&self, kind: Kind, id: &str) -> bool {
        self.of_kind(kind).iter().any(|own| own.id == id)
    }

    fn of_kind(&self, kind: Kind) -> &[Named] {
        match kind {
            Kind::Container => &self.containers,
            Kind::Network => &self.networks,
            Kind::Service => &self.services,
            Kind::Secret => &self.secrets,
            Kind::Config => &self.configs,
            // Volumes have names only; an exec is judged by its container, and
            // no endpoint acts on a task.
            Kind::Volume | Kind::Exec | Kind::Task => &[],
        }
    }

    fn likeness(&self, kind: Kind, text: &str) -> Likeness {
        if kind == Kind::Volume {
            // A file system that ignores case would give both the same folder.
            let same = |own: &String| own.eq_ignore_ascii_case(text);
            return match self.volumes.iter().any(same) {
                true => Likeness::Same,
                false => Likeness::None,
            };
        }
        if kind == Kind::Config && is_people(text) {
            return Likeness::Same;
        }
        let text = match kind {
            Kind::Container => text.trim_start_matches('/'),
            _ => text,
        };
        let own = self.of_kind(kind).iter();
        let likeness = own.map(|own| own.likeness(kind, text)).max();
        likeness.unwrap_or(Likeness::None)
    }

    /// Whether a text names the image of an agent.
    fn has_image(&self, text: &str) -> bool {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let begins = |id: &str| {
            let id = id.strip_prefix("sha256:").unwrap_or(id);
            !digits.is_empty() && id.starts_with(&digits.to_ascii_lowercase())
        };
        self.images
            .iter()
            .any(|own| begins(&own.id) || own.names.iter().any(|name| image::is_same(text, name)))
    }

    /// Whether an image that gets this name takes that of an agent's.
    fn has_image_name(&self, name: &str) -> bool {
        self.image_names().any(|own| image::takes(name, own))
    }

    /// Whether a name is that of an agent's image, whatever its tag.
    fn has_repository(&self, name: &str) -> bool {
        self.image_names()
            .any(|own| image::is_same_repository(name, own))
    }

    fn image_names(&self) -> impl Iterator<Item = &str> {
        let images = self.images.iter();
        images.flat_map(|own| own.names.iter().map(String::as_str))
    }

    /// Whether a path of the host is one of an agent's, or is below it.
    pub fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|own| host_path::is_below(path, own))
    }

    /// Whether a path of the host is one of an agent's, is below it, or has it below.
    pub fn touches(&self, path: &str) -> bool {
        let Some(path) = Clean::of(path) else {
            return false;
        };
        if path.is_link_of_a_process() {
            return !self.paths.is_empty();
        }
        let mut own = self.paths.iter().filter_map(|own| Clean::of(own));
        own.any(|own| path.is_below(&own) || own.is_below(&path))
    }
}

impl Named {
    fn likeness(&self, kind: Kind, text: &str) -> Likeness {
        if text.is_empty() {
            return Likeness::None;
        }
        // Names in a Swarm are unique whatever their case, those of an engine are not.
        let in_swarm = matches!(kind, Kind::Service | Kind::Secret | Kind::Config);
        let same = |own: &String| own == text || in_swarm && own.eq_ignore_ascii_case(text);
        if self.id == text || self.names.iter().any(same) {
            return Likeness::Same;
        }
        let begins = text.len() < self.id.len()
            && self.id.as_bytes()[..text.len()].eq_ignore_ascii_case(text.as_bytes());
        // `/web/db` is the container that `web` has linked as `db`.
        let linked = kind == Kind::Container && text.contains('/');
        match begins || linked {
            true => Likeness::Possible,
            false => Likeness::None,
        }
    }
}

/// The beginnings of the names of configs that have the list of people, and of those
/// that record used invitations.
const PEOPLE: [&str; 2] = ["skep-people-", "skep-joined-"];

/// Whether a config of this name belongs to the list of people. Names in a Swarm are
/// unique whatever their case.
fn is_people(name: &str) -> bool {
    let begins = |own: &&str| {
        let beginning = name.as_bytes().get(..own.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(own.as_bytes()))
    };
    PEOPLE.iter().any(begins)
}

fn unite<T: Clone + PartialEq>(all: &mut Vec<T>, others: &[T]) {
    for other in others {
        if !all.contains(other) {
            all.push(other.clone());
        }
    }
}
