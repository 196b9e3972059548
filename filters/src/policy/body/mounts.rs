//! Judges the mounts of containers and services, in both notations.

mod read_only;

use read_only::{Bind, DEEP_SINCE, FLAT_CONTAINER, FLAT_SERVICE};

use super::mount_options::mode::Mode;
use super::mount_options::propagation::Propagation;
use super::mount_options::{option, propagation, tmpfs};
use super::{Check, host_path, image, volume};
use crate::endpoint::ApiVersion;
use crate::json::{Fields, quoted, text_of};
use crate::policy::verdict::{Denied, Judged};

const KNOWN: [&str; 10] = [
    "Type",
    "Source",
    "Target",
    "ReadOnly",
    "Consistency",
    "BindOptions",
    "VolumeOptions",
    "ImageOptions",
    "TmpfsOptions",
    "ClusterOptions",
];

const BIND_OPTIONS: [&str; 5] = [
    "Propagation",
    "NonRecursive",
    "CreateMountpoint",
    "ReadOnlyNonRecursive",
    "ReadOnlyForceRecursive",
];

const VOLUME_OPTIONS: [&str; 4] = ["NoCopy", "Labels", "DriverConfig", "Subpath"];

/// The object that has the mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Container,
    Service,
}

impl Owner {
    /// The API version in which its binds have `NonRecursive`.
    const fn flat_since(self) -> ApiVersion {
        match self {
            Self::Container => FLAT_CONTAINER,
            Self::Service => FLAT_SERVICE,
        }
    }
}

/// `HostConfig.Binds`: `source:target[:options]`; and the options in `VolumesFrom`.
pub(super) fn binds(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    for text in host.texts("Binds")? {
        bind(check, "Binds", text)?;
    }
    for from in host.texts("VolumesFrom")? {
        let (_, options) = from.split_once(':').unwrap_or((from, ""));
        if let Err(error) = Mode::parse(options) {
            option(check, "VolumesFrom", error.option())?;
        }
    }
    Ok(())
}

/// `Volumes` of a container. moby takes each name for a folder of the container, and
/// Podman for a bind if it has a colon.
pub(super) fn volumes_of_image(check: &Check<'_>, container: &Fields<'_>) -> Judged {
    let names = container.map("Volumes")?.iter();
    names
        .filter(|(name, _)| is_bind(name))
        .try_for_each(|(name, _)| bind(check, "Volumes", name))
}

/// `source:target[:options]`
fn bind(check: &Check<'_>, field: &str, text: &str) -> Judged {
    let (source, options) = parts(text)?;
    let is_windows = host_path::is_windows(source);
    let mode = if is_windows {
        Mode::parse_windows(options)
    } else {
        Mode::parse(options)
    };
    let mode =
        mode.or_else(|error| option(check, field, error.option()).map(|()| Mode::default()))?;
    let bind = Bind {
        read_only: mode.read_only && !mode.relabels,
        propagation: mode.propagation,
        ..Bind::default()
    };
    propagation(check, mode.propagation)?;
    match is_volume(source) {
        true => Ok(()),
        false => path(check, field, source, &bind, Owner::Container),
    }
}

/// `Mounts`.
pub(super) fn mounts(check: &Check<'_>, fields: &Fields<'_>, owner: Owner) -> Judged {
    for mount in fields.list("Mounts")? {
        let mount = Fields::of(mount, "Mounts")?;
        check.knows(&mount, &KNOWN)?;
        check.knows_in(&mount, "ImageOptions", &["Subpath"])?;
        check.knows_in(&mount, "ClusterOptions", &[])?;
        let options = mount.object("VolumeOptions")?;
        check.knows(&options, &VOLUME_OPTIONS)?;
        let driver = options.object("DriverConfig")?;
        check.knows(&driver, &["Name", "Options"])?;
        volume::driver(check, driver.text("Name")?, driver.map("Options")?)?;
        tmpfs::options(check, &mount.object("TmpfsOptions")?)?;
        let options = mount.object("BindOptions")?;
        check.knows(&options, &BIND_OPTIONS)?;
        let bind = Bind {
            read_only: mount.flag("ReadOnly")?,
            non_recursive: options.flag("NonRecursive")?,
            read_only_top: options.flag("ReadOnlyNonRecursive")?,
            propagation: named_propagation(check, options.text("Propagation")?)?,
        };
        // Of a wrong type it would be refused by the engine; so it is here.
        options.flag("ReadOnlyForceRecursive")?;
        propagation(check, bind.propagation)?;

        let source = mount.text("Source")?;
        for (field, text) in [
            ("Source", source),
            ("Target", mount.text("Target")?),
            ("Consistency", mount.text("Consistency")?),
            ("Subpath", mount.object("VolumeOptions")?.text("Subpath")?),
        ] {
            plain(check, field, text)?;
        }
        match mount.text("Type")? {
            "bind" | "npipe" => path(check, "Mounts", source, &bind, owner)?,
            "image" => image::judge(check, "the image of a mount", source)?,
            "volume" | "cluster" if source.is_empty() || is_volume(source) => {}
            "tmpfs" if source.is_empty() => {}
            kind => check.grant(false, "may.binds", || {
                format!("a mount of type {} from {}", quoted(kind), quoted(source))
            })?,
        }
    }
    Ok(())
}

/// Denies a text that has several readings in a list of options, which Podman makes of
/// a mount: `/x,source=/etc`.
fn plain(check: &Check<'_>, field: &str, text: &str) -> Judged {
    match text.contains([',', '"', '\r', '\n']) {
        true => option(check, field, text),
        false => Ok(()),
    }
}

/// Judges the path of a bind, for reading if nothing of it can be written.
fn path(check: &Check<'_>, field: &str, source: &str, bind: &Bind, owner: Owner) -> Judged {
    // Windows has no mounts below a folder that a bind would bring along.
    let read_only = if host_path::is_windows(source) {
        bind.read_only
    } else {
        read_only::is_read_only(bind, check.api.version, owner.flat_since())
    };
    host_path::bind(check, field, source, !read_only).map_err(|denied| {
        match bind.read_only && !read_only && host_path::bind(check, field, source, false).is_ok() {
            true => Denied::asks(denied.rule, why_writable(field, source, bind)),
            false => denied,
        }
    })
}

/// Why a read-only bind counts as writable.
fn why_writable(field: &str, source: &str, bind: &Bind) -> String {
    let source = quoted(source);
    let why = if bind.propagation != Propagation::Private {
        "mounts that the host adds later are writable: leave out the propagation".to_owned()
    } else if bind.read_only_top {
        "ReadOnlyNonRecursive leaves the mounts below it writable".to_owned()
    } else {
        format!(
            "the mounts below it stay writable before API {DEEP_SINCE}: \
             use a mount with BindOptions.NonRecursive"
        )
    };
    format!("{field} asks for the path {source} of the host, and {why}")
}

fn named_propagation(check: &Check<'_>, name: &str) -> Judged<Propagation> {
    match Propagation::parse(name) {
        _ if name.is_empty() => Ok(Propagation::Private),
        Some(propagation) => Ok(propagation),
        None => option(check, "Propagation", name).map(|()| Propagation::Shared),
    }
}

/// Denies templates in the mounts of a service. Managers expand them after the
/// policy has judged them (swarmkit `template.ExpandContainerSpec`), so
/// `{{"bi"}}nd` would be judged as one text and mounted as another.
pub(super) fn templates(check: &Check<'_>, fields: &Fields<'_>) -> Judged {
    for mount in fields.list("Mounts")? {
        let mount = Fields::of(mount, "Mounts")?;
        let options = mount.object("VolumeOptions")?;
        let driver = options.object("DriverConfig")?;
        let maps = [options.map("Labels")?, driver.map("Options")?];
        let mut texts = vec![mount.text("Source")?, mount.text("Target")?];
        texts.extend(maps.into_iter().flatten().filter_map(|(_, v)| text_of(v)));
        template(check, "Mounts", texts)?;
    }
    Ok(())
}

/// Denies templates in texts.
pub(super) fn template<'t>(
    check: &Check<'_>,
    at: &str,
    texts: impl IntoIterator<Item = &'t str>,
) -> Judged {
    match texts.into_iter().find(|text| text.contains("{{")) {
        None => Ok(()),
        Some(text) => check.grant(false, "may.everything", || {
            format!(
                "{at} has a template, {}, which managers expand later",
                quoted(text)
            )
        }),
    }
}

/// The sources of `Binds`, and of binds in `Volumes`: paths, and names of volumes.
pub(in crate::policy) fn bound<'j>(fields: &Fields<'j>) -> Judged<Vec<&'j str>> {
    let binds = fields.texts("Binds")?;
    let volumes = fields.map("Volumes")?.iter().map(|(name, _)| name.as_ref());
    let volumes = volumes.filter(|name| is_bind(name));
    let all = binds.into_iter().chain(volumes);
    all.map(|bind| Ok(parts(bind)?.0)).collect()
}

/// Whether a name in `Volumes` is more than a folder of the container.
fn is_bind(name: &str) -> bool {
    match host_path::is_windows(name) {
        true => name.get(2..).is_some_and(|rest| rest.contains(':')),
        false => name.contains(':'),
    }
}

/// The volumes that `Binds`, `Volumes` and `Mounts` name.
pub(crate) fn volumes<'j>(fields: &Fields<'j>) -> Judged<Vec<&'j str>> {
    let mut volumes = bound(fields)?;
    for mount in fields.list("Mounts")? {
        volumes.push(Fields::of(mount, "Mounts")?.text("Source")?);
    }
    volumes.retain(|source| is_volume(source) && !source.is_empty());
    Ok(volumes)
}

/// Source and options of a bind; a volume without a name has no source.
fn parts(bind: &str) -> Judged<(&str, &str)> {
    if host_path::is_windows(bind) {
        // The first colon is the drive's.
        let colon = bind.get(2..).and_then(|rest| rest.find(':'));
        let source = colon.map_or(bind, |at| &bind[..at + 2]);
        let last = bind.rsplit(':').next().unwrap_or_default();
        // The last part may be the target, which is a path, too.
        let options = if last.starts_with(['/', '\\']) {
            ""
        } else {
            last
        };
        return Ok((source, options));
    }
    let mut parts = bind.split(':');
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    match (first, second, third, parts.next()) {
        (Some(_), None, ..) => Ok(("", "")),
        (Some(source), Some(_), options, None) => Ok((source, options.unwrap_or_default())),
        _ => Err(Denied::shape(format!("Binds has {}", quoted(bind)))),
    }
}

/// Whether a source is empty, or the name of a volume (moby
/// `names.RestrictedNamePattern`). Anything else is taken for a path.
fn is_volume(source: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    source.is_empty()
        || source.starts_with(|c: char| c.is_ascii_alphanumeric()) && source.bytes().all(is_plain)
}
