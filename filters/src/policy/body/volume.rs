//! Judges the drivers of volumes and their options.

use std::borrow::Cow;

use super::{Check, host_path, labels, listed};
use crate::json::{Fields, Json, quoted, same_field, text_of};
use crate::policy::verdict::{Denied, Judged};

/// `POST /volumes/create`.
pub(super) fn create(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let volume = Fields::of(body, "body")?;
    driver(check, volume.text("Driver")?, volume.map("DriverOpts")?)?;
    labels::judge(check, &volume)
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
        let field = match name.as_ref() {
            name if same_field(name, "type") => &mut kind,
            name if same_field(name, "device") => &mut device,
            name if same_field(name, "o") => &mut flags,
            name if same_field(name, "size") => continue,
            name => {
                check.grant(check.may.unknown_fields, "may.unknown_fields", || {
                    format!("the volume option {}", quoted(name))
                })?;
                continue;
            }
        };
        if !field.is_empty() {
            return Err(Denied::shape(format!(
                "the volume option {} is given twice",
                quoted(name)
            )));
        }
        *field = value;
    }
    let flags: Vec<_> = flags.split(',').map(str::trim).collect();
    let has = |flag: &str| flags.iter().any(|own| own.eq_ignore_ascii_case(flag));
    let binds = has("bind") || has("rbind") || has("move");
    let propagates = has("shared") || has("rshared");
    check.grant(
        !propagates || check.may.propagation,
        "may.propagation",
        || "a volume asks for shared propagation".into(),
    )?;
    match kind.trim() {
        _ if binds => bind(check, device, !has("ro")),
        "" if device.is_empty() => Ok(()),
        "" | "none" | "bind" => bind(check, device, !has("ro")),
        "tmpfs" => Ok(()),
        kind => check.grant(
            listed(&check.may.filesystems, kind),
            "may.filesystems",
            || format!("a volume asks for the file system {}", quoted(kind)),
        ),
    }
}

/// The kernel follows links before it goes up, so `..` could lead anywhere.
fn bind(check: &Check<'_>, device: &str, writable: bool) -> Judged {
    if host_path::has_dots(device) {
        return check.grant(false, "may.binds", || {
            format!("a volume's device {} has `.` or `..`", quoted(device))
        });
    }
    host_path::bind(check, "a volume", device, writable)
}
