//! Judges the body of a request against the guarded objects.
//!
//! Nothing in a body is inspected: a text that is the beginning of a guarded
//! id is denied, because another object of that name could be renamed before
//! the engine reads the body. The full id of that object always works.

use super::{Guarded, Guarding, Likeness, Thing, head};
use crate::endpoint::{BodyCheck, Kind, Match, Reach};
use crate::json::{Fields, Json, text_of};
use crate::policy::scope::named_in;
use crate::policy::verdict::{Denied, Judged};

/// The kind of body in which something may be named; `None` where nothing can be.
pub(super) fn kind(found: &Match) -> Option<Kind> {
    match found.endpoint.body_check() {
        BodyCheck::ContainerCreate => Some(Kind::Container),
        BodyCheck::ServiceSpec => Some(Kind::Service),
        BodyCheck::NetworkCreate | BodyCheck::NetworkConnect => Some(Kind::Network),
        BodyCheck::VolumeCreate => Some(Kind::Volume),
        BodyCheck::CheckpointCreate => Some(Kind::Exec),
        // `/networks/{id}/disconnect` grants nothing, but names a container.
        BodyCheck::Nothing => match found.endpoint.scope {
            Reach::NetworkAndContainer => Some(Kind::Network),
            _ => None,
        },
        BodyCheck::ContainerUpdate
        | BodyCheck::ExecCreate
        | BodyCheck::VolumeUpdate
        | BodyCheck::RegistryAuth
        | BodyCheck::Labels => None,
    }
}

/// Judges a body.
pub(super) fn judge(guarded: &Guarded, kind: Kind, body: &Json<'_>) -> Judged<Guarding> {
    let body = Fields::of(body, "body")?;
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
    let marked = guarded.marks.labels(body)?;
    if marked != Guarding::Clear {
        return Ok(marked);
    }
    for host in [*body, body.object("HostConfig")?] {
        for bind in host.texts("Binds")? {
            let source = bind.split(':').next().unwrap_or_default();
            if guarded.touches(source) {
                return Ok(head::path(source));
            }
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
    let marked = guarded.marks.labels(&container)?;
    if marked != Guarding::Clear {
        return Ok(marked);
    }
    let mounted = mounts(guarded, &container, true)?;
    if mounted != Guarding::Clear {
        return Ok(mounted);
    }
    image(guarded, &container, &["Command", "Args", "Healthcheck"])
}

fn volume(guarded: &Guarded, body: &Fields<'_>) -> Judged<Guarding> {
    let name = body.text("Name")?;
    if guarded.likeness(Kind::Volume, name) != Likeness::None {
        return Ok(Guarding::NoSuch(
            Thing::Object(Kind::Volume),
            name.to_owned(),
        ));
    }
    options(guarded, body, "DriverOpts")
}

/// Engines accept a second network of a name, which could then stand for the agents'.
fn network(guarded: &Guarded, body: &Fields<'_>) -> Judged<Guarding> {
    let name = body.text("Name")?;
    Ok(match guarded.likeness(Kind::Network, name) {
        Likeness::Same => Guarding::NoSuch(Thing::Object(Kind::Network), name.to_owned()),
        Likeness::None | Likeness::Possible => Guarding::Clear,
    })
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
        let driver = mount.object("VolumeOptions")?.object("DriverConfig")?;
        let judged = options(guarded, &driver, "Options")?;
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
