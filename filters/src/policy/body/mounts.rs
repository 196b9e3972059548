//! Judges the mounts of containers and services, in both notations.

use super::{Check, host_path, image, volume};
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

/// `HostConfig.Binds`: `source:target[:options]`.
pub(super) fn binds(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    for bind in host.texts("Binds")? {
        let (source, options) = parts(bind)?;
        let mut options = options.split(',');
        let read_only = options.clone().any(|option| option == "ro");
        let relabels = options.clone().any(|option| matches!(option, "z" | "Z"));
        let writable = !read_only || relabels || options.clone().any(|option| option == "rw");
        let shared = options.any(|option| matches!(option, "shared" | "rshared"));
        propagation(check, shared)?;
        if !is_volume(source) {
            host_path::bind(check, "Binds", source, writable)?;
        }
    }
    Ok(())
}

/// `Mounts`.
pub(super) fn mounts(check: &Check<'_>, fields: &Fields<'_>) -> Judged {
    for mount in fields.list("Mounts")? {
        let mount = Fields::of(mount, "Mounts")?;
        check.knows(&mount, &KNOWN)?;
        let options = mount.object("VolumeOptions")?;
        let driver = options.object("DriverConfig")?;
        volume::driver(check, driver.text("Name")?, driver.map("Options")?)?;
        let bind = mount.object("BindOptions")?;
        let shared = matches!(bind.text("Propagation")?, "shared" | "rshared");
        propagation(check, shared)?;

        let source = mount.text("Source")?;
        match mount.text("Type")? {
            "bind" | "npipe" => {
                // Mounts below a mount may be writable, unless it is read-only recursively.
                let deep = !bind.flag("ReadOnlyNonRecursive")?;
                let writable = !(mount.flag("ReadOnly")? && deep);
                host_path::bind(check, "Mounts", source, writable)?;
            }
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

/// The volumes that `Binds` and `Mounts` name.
pub(crate) fn volumes<'j>(fields: &Fields<'j>) -> Judged<Vec<&'j str>> {
    let mut volumes = Vec::new();
    for bind in fields.texts("Binds")? {
        volumes.push(parts(bind)?.0);
    }
    for mount in fields.list("Mounts")? {
        volumes.push(Fields::of(mount, "Mounts")?.text("Source")?);
    }
    volumes.retain(|source| is_volume(source) && !source.is_empty());
    Ok(volumes)
}

fn propagation(check: &Check<'_>, shared: bool) -> Judged {
    check.grant(!shared || check.may.propagation, "may.propagation", || {
        "a mount asks for shared propagation".into()
    })
}

/// Source and options of a bind; a volume without a name has no source.
fn parts(bind: &str) -> Judged<(&str, &str)> {
    if host_path::is_windows(bind) {
        // The first colon is the drive's.
        let colon = bind.get(2..).and_then(|rest| rest.find(':'));
        let source = colon.map_or(bind, |at| &bind[..at + 2]);
        let options = bind.rsplit(':').next().unwrap_or_default();
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
