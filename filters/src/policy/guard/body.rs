//! Judges the body of a request against the guarded objects.
//!
//! Nothing in a body is inspected: a text that is the beginning of a guarded
//! id is denied, because another object of that name could be renamed before
//! the engine reads the body. The full id of that object always works.

use super::{Guarded, Guarding, Likeness, Thing, head, stack};
use crate::endpoint::{Body, BodyCheck, HeadCheck, Kind, Match, Reach};
use crate::json::{Fields, Json, quoted, text_of};
use crate::policy::body::mounts::bound;
use crate::policy::scope::named_in;
use crate::policy::verdict::{Denied, Judged};

/// The part of a body that may name something of an agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What the body of a create of this kind names.
    Object(Kind),
    /// The specification of a cluster volume.
    ClusterVolume,
    /// Labels and nothing else.
    Labels,
    /// A config, which has a name and labels.
    Config,
}

/// The form of a body in which something may be named; `None` where nothing can be.
pub(super) fn form(found: &Match) -> Option<Form> {
    let kind = match found.endpoint.body_check() {
        BodyCheck::ContainerCreate => Kind::Container,
        BodyCheck::ServiceSpec => Kind::Service,
        BodyCheck::NetworkCreate | BodyCheck::NetworkConnect => Kind::Network,
        BodyCheck::VolumeCreate => Kind::Volume,
        BodyCheck::CheckpointCreate => Kind::Exec,
        BodyCheck::VolumeUpdate => return Some(Form::ClusterVolume),
        BodyCheck::Labels => {
            return Some(match found.endpoint.scope {
                Reach::Create(Kind::Config) => Form::Config,
                _ => Form::Labels,
            });
        }
        BodyCheck::Nothing => match (found.endpoint.scope, found.endpoint.head) {
            // `/networks/{id}/disconnect` grants nothing, but names a container.
            (Reach::NetworkAndContainer, _) => Kind::Network,
            // A commit has the configuration of the image's containers.
            (_, HeadCheck::NamesImage) if found.endpoint.body == Body::Json(BodyCheck::Nothing) => {
                return Some(Form::Labels);
            }
            _ => return None,
        },
        BodyCheck::ContainerUpdate | BodyCheck::ExecCreate | BodyCheck::RegistryAuth => {
            return None;
        }
    };
    Some(Form::Object(kind))
}

/// Judges a body.
pub(super) fn judge(guarded: &Guarded, form: Form, body: &Json<'_>) -> Judged<Guarding> {
    let body = Fields::of(body, "body")?;
    let kind = match form {
        Form::Object(kind) => kind,
        Form::ClusterVolume => return cluster_volume(guarded, &body.object("Spec")?),
        Form::Config => {
            let name = body.text("Name")?;
            if super::is_people(name) {
                return Ok(Guarding::Denied(format!(
                    "the config {} would be one of the list of people, which only the agents keep",
                    quoted(name)
                )));
            }
            return stack::labels(guarded, &body);
        }
        Form::Labels => return stack::labels(guarded, &body),
    };
    let mut outcome = Guarding::Clear;
    named_in(kind, body, &mut |kind, name| {
        if outcome == Guarding::Clear && guarded.likeness(kind, name) != Likeness::None {
            outcome = Guarding::NoSuch(Thing::Object(kind), name.to_owned());
        }
        Ok(())
    })?;
    if outcome != Guarding::Clear {
        return Ok(outcome);
    }
    match kind {
        Kind::Container => container(guarded, &body),
        Kind::Service => service(guarded, &body),
        Kind::Volume => volume(guarded, &body),
        Kind::Network => network(guarded, &body),
        Kind::Exec => Ok(at_path(guarded, body.text("CheckpointDir")?)),
        Kind::Task | Kind::Secret | Kind::Config => Ok(Guarding::Clear),
    }
}

fn container(guarded: &Guarded, body: &Fields<'_>) -> Judged<Guarding> {
    let marked = labels(guarded, body)?;
    if marked != Guarding::Clear {
        return Ok(marked);
    }
    for host in [*body, body.object("HostConfig")?] {
        let sources = bound(&host)?;
        if let Some(source) = sources.into_iter().find(|source| guarded.touches(source)) {
            return Ok(head::path(source));
        }
        let mounted = mounts(guarded, &host, false)?;
        if mounted != Guarding::Clear {
            return Ok(mounted);
        }
    }
    image(guarded, body, &["Cmd", "Entrypoint", "Healthcheck"])
}

fn service(guarded: &Guarded, body: &Fields<'_>) -> Judged<Guarding> {
    let container = body.object("TaskTemplate")?.object("ContainerSpec")?;
    let named = guarded.marks.service(body.text("Name")?);
    if named != Guarding::Clear {
        return Ok(named);
    }
    for labelled in [body, &container] {
        let marked = labels(guarded, labelled)?;
        if marked != Guarding::Clear {
            return Ok(marked);
        }
    }
    let mounted = mounts(guarded, &container, true)?;
    if mounted != Guarding::Clear {
        return Ok(mounted);
    }
    let named = container.text("Image")?;
    if guarded.has_image_name(named) {
        return Ok(Guarding::Denied(format!(
            "{} is the image of the agent, and the nodes of a service pull its image by that name",
            quoted(named)
        )));
    }
    image(guarded, &container, &["Command", "Args", "Healthcheck"])
}

/// The labels of a container: neither the mark of a caller nor the stack of an agent.
pub(super) fn labels(guarded: &Guarded, fields: &Fields<'_>) -> Judged<Guarding> {
    match guarded.marks.labels(fields)? {
        Guarding::Clear => stack::labels(guarded, fields),
        marked => Ok(marked),
    }
}

fn volume(guarded: &Guarded, body: &Fields<'_>) -> Judged<Guarding> {
    let name = body.text("Name")?;
    if guarded.likeness(Kind::Volume, name) != Likeness::None {
        return Ok(Guarding::NoSuch(
            Thing::Object(Kind::Volume),
            name.to_owned(),
        ));
    }
    let used = cluster_volume(guarded, &body.object("ClusterVolumeSpec")?)?;
    if used != Guarding::Clear {
        return Ok(used);
    }
    match options(guarded, body, "DriverOpts")? {
        Guarding::Clear => stack::labels(guarded, body),
        judged => Ok(judged),
    }
}

/// The driver of a cluster volume gets the content of its secrets.
fn cluster_volume(guarded: &Guarded, spec: &Fields<'_>) -> Judged<Guarding> {
    for secret in spec.list("Secrets")? {
        let name = Fields::of(secret, "Secrets")?.text("Secret")?;
        if guarded.likeness(Kind::Secret, name) != Likeness::None {
            let name = name.to_owned();
            return Ok(Guarding::NoSuch(Thing::Object(Kind::Secret), name));
        }
    }
    Ok(Guarding::Clear)
}

/// Engines accept a second network of a name, which could then stand for the agents'.
fn network(guarded: &Guarded, body: &Fields<'_>) -> Judged<Guarding> {
    let name = body.text("Name")?;
    match guarded.likeness(Kind::Network, name) {
        Likeness::Same => Ok(Guarding::NoSuch(
            Thing::Object(Kind::Network),
            name.to_owned(),
        )),
        Likeness::None | Likeness::Possible => stack::labels(guarded, body),
    }
}

/// `Mounts`; those of a service are expanded by managers after this.
fn mounts(guarded: &Guarded, fields: &Fields<'_>, templates: bool) -> Judged<Guarding> {
    for mount in fields.list("Mounts")? {
        let mount = Fields::of(mount, "Mounts")?;
        let source = mount.text("Source")?;
        let keeps = !guarded.volumes.is_empty() || !guarded.paths.is_empty();
        if templates && keeps && source.contains("{{") {
            return Ok(Guarding::Denied(
                "a template in the source of a mount could become the agent's".into(),
            ));
        }
        if guarded.touches(source) {
            return Ok(head::path(source));
        }
        let volume = mount.object("VolumeOptions")?;
        let judged = options(guarded, &volume.object("DriverConfig")?, "Options")?;
        if judged != Guarding::Clear {
            return Ok(judged);
        }
        let judged = stack::labels(guarded, &volume)?;
        if judged != Guarding::Clear {
            return Ok(judged);
        }
    }
    Ok(Guarding::Clear)
}

/// Options of a volume's driver: `device` is a path, `o` may have some.
fn options(guarded: &Guarded, fields: &Fields<'_>, name: &str) -> Judged<Guarding> {
    for (_, value) in fields.map(name)? {
        let value =
            text_of(value).ok_or_else(|| Denied::shape("an option is not a string".into()))?;
        let value = value.trim();
        let parts = value.split([',', ':', '=']).map(str::trim);
        let path = std::iter::once(value)
            .chain(parts)
            .find(|path| guarded.touches(path));
        if let Some(path) = path {
            return Ok(head::path(path));
        }
    }
    Ok(Guarding::Clear)
}

/// An agent's image with another command is the agent's program at the caller's service.
fn image(guarded: &Guarded, fields: &Fields<'_>, commands: &[&str]) -> Judged<Guarding> {
    let image = fields.text("Image")?;
    let changed = commands
        .iter()
        .find(|command| !fields.get(command).is_empty());
    match changed {
        Some(command) if guarded.has_image(image) => Ok(Guarding::Denied(format!(
            "{command} changes the command of the agent's image"
        ))),
        _ => Ok(Guarding::Clear),
    }
}

fn at_path(guarded: &Guarded, path: &str) -> Guarding {
    match guarded.touches(path) {
        true => head::path(path),
        false => Guarding::Clear,
    }
}
