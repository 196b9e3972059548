//! Refuses options of mounts that no engine of a known version has.

use super::Check;
use crate::json::Fields;
use crate::policy::verdict::Judged;

/// Each object of options in a mount, with its fields.
const KNOWN: [(&str, &[&str]); 5] = [
    (
        "BindOptions",
        &[
            "Propagation",
            "NonRecursive",
            "CreateMountpoint",
            "ReadOnlyNonRecursive",
            "ReadOnlyForceRecursive",
        ],
    ),
    (
        "VolumeOptions",
        &["NoCopy", "Labels", "Subpath", "DriverConfig"],
    ),
    ("ImageOptions", &["Subpath"]),
    ("TmpfsOptions", &["SizeBytes", "Mode", "Options"]),
    ("ClusterOptions", &[]),
];

/// The options of all `Mounts`.
pub(super) fn known(check: &Check<'_>, fields: &Fields<'_>) -> Judged {
    for mount in fields.list("Mounts")? {
        let mount = Fields::of(mount, "Mounts")?;
        for (name, known) in KNOWN {
            check.knows_in(&mount, name, known)?;
        }
        let volume = mount.object("VolumeOptions")?;
        check.knows_in(&volume, "DriverConfig", &["Name", "Options"])?;
    }
    Ok(())
}
