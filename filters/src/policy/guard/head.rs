//! Judges the path and the query of a request against the guarded objects.

use super::{Guarded, Guarding, Likeness, Thing, stack};
use crate::endpoint::{
    BodyCheck, Endpoint, HeadCheck, Kind, Match, NameFreed, ObjectIn, Reach, query,
};
use crate::json::quoted;
use crate::policy::body::image;
use crate::policy::helper;
use crate::policy::request::imports;

/// Groups whose endpoints show an object and change nothing. Files are not
/// among them, because a secret may be a file; nor are streams into a container.
const SHOW: [&str; 13] = [
    "containers.read",
    "containers.logs",
    "images.read",
    "images.archive",
    "images.push",
    "volumes.read",
    "networks.read",
    "services.read",
    "services.logs",
    "tasks.read",
    "tasks.logs",
    "secrets.read",
    "configs.read",
];

/// Judges all but the body.
pub(super) fn judge(guarded: &Guarded, found: &Match, raw_query: &str) -> Guarding {
    let endpoint = found.endpoint;
    if endpoint.body_check() == BodyCheck::ContainerCreate
        || endpoint.frees == Some(NameFreed::Renamed)
    {
        let named = helper_name(raw_query).unwrap_or(guarded.marks.container(raw_query));
        if named != Guarding::Clear {
            return named;
        }
    }
    if SHOW.contains(&endpoint.group) {
        return Guarding::Clear;
    }
    match endpoint.head {
        HeadCheck::Build => return build(guarded, raw_query),
        HeadCheck::NamesImage => {
            let named = names_image(guarded, raw_query);
            if named != Guarding::Clear {
                return named;
            }
        }
        HeadCheck::PullOrImport if imports(raw_query) => return names_image(guarded, raw_query),
        HeadCheck::PullOrImport => return pull(guarded, raw_query),
        HeadCheck::CheckpointDir(parameter) => {
            for dir in query::all(raw_query, parameter) {
                if guarded.touches(&dir) {
                    return path(&dir);
                }
            }
        }
        HeadCheck::Nothing
        | HeadCheck::LoadsImages
        | HeadCheck::UsesImage
        | HeadCheck::Port
        | HeadCheck::BuildKit
        | HeadCheck::Plugin
        | HeadCheck::NetworkName
        | HeadCheck::EndsContainer
        | HeadCheck::EndsContainers
        | HeadCheck::NetworkRemoval
        | HeadCheck::LookUp(_)
        | HeadCheck::Search
        | HeadCheck::Rollback
        | HeadCheck::PsArguments => {}
    }
    let kind = match endpoint.scope {
        Reach::Object(kind) | Reach::Replace(kind) => kind,
        Reach::NetworkAndContainer => Kind::Network,
        Reach::Unscoped if endpoint.group == "images.write" => {
            return match &found.object {
                Some(name) if guarded.has_image(name) => {
                    Guarding::NoSuch(Thing::Image, name.clone())
                }
                _ => Guarding::Clear,
            };
        }
        Reach::Unscoped | Reach::Build | Reach::List | Reach::Create(_) | Reach::Forbidden => {
            return Guarding::Clear;
        }
    };
    let judged = match endpoint.object {
        Some(ObjectIn::Query(parameter) | ObjectIn::EachQuery(parameter)) => {
            let names: Vec<_> = query::all(raw_query, parameter).collect();
            match names.as_slice() {
                [] => Guarding::Clear,
                [name] => object(guarded, kind, name),
                // The engine takes the first one, but no client needs the others.
                [first, rest @ ..] if rest.iter().all(|name| name == first) => {
                    object(guarded, kind, first)
                }
                _ => Guarding::Denied(format!("{parameter} is given more than once")),
            }
        }
        // A connection names its container in the body, and its network in the path.
        Some(ObjectIn::Path | ObjectIn::Body(_)) | None => match &found.object {
            Some(name) => object(guarded, kind, name),
            None => Guarding::Clear,
        },
    };
    match judged {
        // The id that was found could not take the place of the name.
        Guarding::Inspect(kind, name)
            if kind != Kind::Exec
                && (keeps_its_name(endpoint) || endpoint.scope == Reach::NetworkAndContainer) =>
        {
            Guarding::NoSuch(Thing::Object(kind), name)
        }
        judged => judged,
    }
}

/// Whether the id of an object cannot take the place of its name in the request.
fn keeps_its_name(endpoint: &Endpoint) -> bool {
    endpoint.is_own() && endpoint.object != Some(ObjectIn::Path)
}

/// Whether a request acts on an object that could be guarded.
pub(super) fn acts(found: &Match) -> bool {
    let by_query = !matches!(
        found.endpoint.head,
        HeadCheck::Nothing
            | HeadCheck::LookUp(_)
            | HeadCheck::Search
            | HeadCheck::UsesImage
            | HeadCheck::EndsContainers
    );
    let by_scope = matches!(
        found.endpoint.scope,
        Reach::Object(_) | Reach::Replace(_) | Reach::NetworkAndContainer
    );
    !SHOW.contains(&found.endpoint.group)
        && (by_query || by_scope || found.endpoint.group == "images.write")
}

/// An object that the request acts on.
fn object(guarded: &Guarded, kind: Kind, name: &str) -> Guarding {
    let name = || name.to_owned();
    if kind == Kind::Exec {
        // Only the engine knows its container.
        return match guarded.containers.is_empty() {
            true => Guarding::Clear,
            false => Guarding::Inspect(kind, name()),
        };
    }
    match guarded.likeness(kind, &name()) {
        Likeness::None => Guarding::Clear,
        Likeness::Possible => Guarding::Inspect(kind, name()),
        Likeness::Same => Guarding::NoSuch(Thing::Object(kind), name()),
    }
}

/// A caller that gives the name of an agent's image to another one replaces the
/// agent at its next start.
fn names_image(guarded: &Guarded, raw_query: &str) -> Guarding {
    for repo in query::all(raw_query, "repo") {
        let mut tags: Vec<_> = query::all(raw_query, "tag").collect();
        if tags.is_empty() {
            tags.push("".into());
        }
        for tag in tags {
            let whole = image::with_tag(&repo, &tag);
            if guarded.has_image(&whole) || guarded.has_image_name(&whole) {
                return own_image(&whole);
            }
        }
    }
    stack::of_image(guarded, raw_query)
}

/// A pull gives its name to what the registry has by now. Without a tag, engines pull
/// every tag of the repository.
fn pull(guarded: &Guarded, raw_query: &str) -> Guarding {
    for name in query::all(raw_query, "fromImage") {
        let name = name.strip_suffix(':').unwrap_or(&name);
        let mut tags: Vec<_> = query::all(raw_query, "tag").collect();
        if tags.is_empty() {
            tags.push("".into());
        }
        for tag in tags {
            // A digest in place of the tag gives no name.
            if tag.contains(':') {
                continue;
            }
            let whole = image::with_tag(name, &tag);
            let moves = match image::is_bare(&whole) {
                true => guarded.has_repository(&whole),
                false => guarded.has_image_name(&whole),
            };
            if moves {
                return own_image(&whole);
            }
        }
    }
    Guarding::Clear
}

fn build(guarded: &Guarded, raw_query: &str) -> Guarding {
    for name in query::all(raw_query, "t") {
        if guarded.has_image(&name) || guarded.has_image_name(&name) {
            return own_image(&name);
        }
    }
    for mode in query::all(raw_query, "networkmode") {
        let (kind, name) = match mode.strip_prefix("container:") {
            Some(name) => (Kind::Container, name),
            None => (Kind::Network, mode.as_ref()),
        };
        if guarded.likeness(kind, name) != Likeness::None {
            return Guarding::NoSuch(Thing::Object(kind), name.to_owned());
        }
    }
    stack::of_image(guarded, raw_query)
}

/// The containers with such a name are in no list of a caller with limits, so that
/// such a caller cannot hide one of its own.
fn helper_name(raw_query: &str) -> Option<Guarding> {
    let mut given = query::all(raw_query, "name");
    let name = given.find(|name| helper::is_name(name))?;
    Some(Guarding::Denied(format!(
        "the name {} is for containers that an agent makes for itself",
        quoted(&name)
    )))
}

fn own_image(name: &str) -> Guarding {
    Guarding::Denied(format!("{} is the image of the agent", quoted(name)))
}

pub(super) fn path(path: &str) -> Guarding {
    Guarding::Denied(format!(
        "{} is a path of the host where the agent keeps its secrets and settings",
        quoted(path)
    ))
}
