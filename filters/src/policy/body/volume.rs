//! Judges the drivers of volumes and their options.

mod filesystem;

use std::borrow::Cow;

use super::mount_options::flags::Flags;
use super::mount_options::propagation::Propagation;
use super::{Check, host_path, labels, listed, mount_options};
use crate::json::{Fields, Json, quoted, same_field, text_of};
use crate::policy::verdict::{Denied, Judged};

/// `POST /volumes/create`.
pub(super) fn create(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let volume = Fields::of(body, "body")?;
    let known = [
        "Name",
        "Driver",
        "DriverOpts",
        "Labels",
        "ClusterVolumeSpec",
    ];
    check.knows(&volume, &known)?;
    driver(check, volume.text("Driver")?, volume.map("DriverOpts")?)?;
    cluster(check, &volume.object("ClusterVolumeSpec")?)?;
    labels::judge(check, &volume)
}

/// `PUT /volumes/{name}`.
pub(super) fn update(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let update = Fields::of(body, "body")?;
    check.knows(&update, &["Spec"])?;
    cluster(check, &update.object("Spec")?)
}

/// A cluster volume: its driver gets the content of Swarm secrets.
fn cluster(check: &Check<'_>, spec: &Fields<'_>) -> Judged {
    check.knows(
        spec,
        &[
            "Group",
            "AccessMode",
            "AccessibilityRequirements",
            "CapacityRange",
            "Secrets",
            "Availability",
        ],
    )?;
    let mode = spec.object("AccessMode")?;
    check.knows(&mode, &["Scope", "Sharing", "MountVolume", "BlockVolume"])?;
    check.knows_in(&mode, "MountVolume", &["FsType", "MountFlags"])?;
    for secret in spec.list("Secrets")? {
        let name = Fields::of(secret, "Secrets")?.text("Secret")?;
        check.grant(listed(&check.may.secrets, name), "may.secrets", || {
            format!("a cluster volume with the secret {}", quoted(name))
        })?;
    }
    Ok(())
}

/// Judges a driver and its options, from any field that has them.
pub(super) fn driver(
    check: &Check<'_>,
    name: &str,
    options: &[(Cow<'_, str>, Json<'_>)],
) -> Judged {
    if !matches!(name, "" | "local") {
        return check.grant(
            listed(&check.may.volume_drivers, name),
            "may.volume_drivers",
            || format!("the volume driver {}", quoted(name)),
        );
    }
    local(check, options)
}

/// The `local` driver passes its options to mount(2): `o=bind` mounts a path of the
/// host, `type=ext4` a disk of the host.
fn local(check: &Check<'_>, options: &[(Cow<'_, str>, Json<'_>)]) -> Judged {
    let (mut kind, mut device, mut flags) = ("", "", "");
    for (name, value) in options {
        let value =
            text_of(value).ok_or_else(|| Denied::shape("an option is not a string".into()))?;
        let is = |own: &str| same_field(name, own);
        let (own, field) = match name.as_ref() {
            _ if is("type") => ("type", &mut kind),
            _ if is("device") => ("device", &mut device),
            _ if is("o") => ("o", &mut flags),
            _ if is("size") => continue,
            name => {
                check.grant(check.may.unknown_fields, "may.unknown_fields", || {
                    format!("the volume option {}", quoted(name))
                })?;
                continue;
            }
        };
        // moby refuses another case; Podman ignores case.
        if name != own {
            let name = quoted(name);
            let what = format!("the volume option {name} has to be spelled {own}");
            return Err(Denied::shape(what));
        }
        *field = value;
    }
    let flags = Flags::parse(flags);
    mount_options::propagation(check, flags.propagation())?;
    if flags.remounts() {
        mount_options::option(check, "a volume", "remount")?;
    }
    // Without a type, an engine may take the device for a path of the host.
    let is_path = matches!(kind, "" | "none" | "bind") && !device.is_empty();
    if flags.binds() || is_path {
        bind(check, device, &flags)?;
        // The kernel ignores data of a bind, and another engine may not.
        return match flags.data.first() {
            None => Ok(()),
            Some(word) => mount_options::option(check, "a volume", word),
        };
    }
    let granted = matches!(kind, "" | "tmpfs") || listed(&check.may.filesystems, kind);
    check.grant(granted, "may.filesystems", || {
        format!("a volume asks for the file system {}", quoted(kind))
    })?;
    // `mount -t` takes a list of types.
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    check.grant(kind.bytes().all(is_plain), "may.everything", || {
        format!("{} is not one file system", quoted(kind))
    })?;
    filesystem::data(check, kind, &flags.data)
}

/// Only the top of a bind becomes read-only, on every engine.
fn bind(check: &Check<'_>, device: &str, flags: &Flags<'_>) -> Judged {
    let is_private = flags.propagation() == Propagation::Private;
    let read_only = flags.binds() && flags.read_only() && !flags.recursive() && is_private;
    path(check, "a volume", device, !read_only)
}

/// The kernel follows links before it goes up, so `..` could lead anywhere.
fn path(check: &Check<'_>, at: &str, path: &str, writable: bool) -> Judged {
    if host_path::has_dots(path) {
        return check.grant(false, "may.binds", || {
            format!("{at} has the path {} with `.` or `..`", quoted(path))
        });
    }
    host_path::bind(check, at, path, writable)
}
