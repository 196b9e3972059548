//! Judges the confinement of processes: seccomp, AppArmor, SELinux,
//! `no-new-privileges`, masked paths, kernel parameters.

use super::{Check, demand, honours, listed_by_prefix};
use crate::endpoint::ApiVersion;
use crate::json::{Fields, Json, quoted};
use crate::policy::effective_api::Release;
use crate::policy::verdict::Judged;

/// The paths that every engine hides by default. A list with all that this engine
/// hides, as in the inspect of a container, needs no grant.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

/// The paths that engines hide since a release, and the releases of older lines
/// that hide them too (moby `daemon/pkg/oci/defaults.go`). Since 28.0.2 engines also
/// hide a folder for each processor that has `thermal_throttle`: which ones there are
/// is not known here, so a list needs none of them.
const MASKED_SINCE: [(&str, &[Release]); 2] = [
    (
        "/sys/devices/virtual/powercap",
        &[
            Release(20, 10, 27),
            Release(23, 0, 8),
            Release(24, 0, 7),
            Release(25, 0, 0),
        ],
    ),
    ("/proc/interrupts", &[Release(28, 0, 2)]),
];

const READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

pub(super) fn host(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    for option in host.texts("SecurityOpt")? {
        self::option(check, option)?;
    }
    let masked = MASKED.into_iter().chain(masked_since(check));
    system_paths(check, host, "MaskedPaths", masked)?;
    system_paths(check, host, "ReadonlyPaths", READONLY.into_iter())
}

/// The newer paths that this engine hides; all of them if its release is not known.
fn masked_since(check: &Check<'_>) -> impl Iterator<Item = &'static str> {
    let release = check.api.release;
    let hides = move |since: &[Release]| {
        release.is_none_or(|own| {
            let Some(newest) = since.last() else {
                return false;
            };
            let same_line = |r: &&Release| (r.0, r.1) == (own.0, own.1);
            own >= *newest || since.iter().find(same_line).is_some_and(|r| own >= *r)
        })
    };
    let all = MASKED_SINCE.into_iter();
    all.filter(move |(_, since)| hides(since))
        .map(|(path, _)| path)
}

/// Whether `no-new-privileges` is on.
pub(super) fn is_confined(host: &Fields<'_>) -> Judged<bool> {
    // The last one wins (moby `parseSecurityOpt`).
    let options = host.texts("SecurityOpt")?.into_iter();
    let mut values = options.filter_map(|option| match parts(option) {
        ("no-new-privileges", value) => Some(is_true(value)),
        _ => None,
    });
    Ok(values.next_back().unwrap_or(false))
}

/// One entry of `SecurityOpt`.
pub(super) fn option(check: &Check<'_>, option: &str) -> Judged {
    let (key, value) = parts(option);
    let tightens = match key {
        "no-new-privileges" => is_true(value),
        "seccomp" => value == "builtin",
        "apparmor" => value == "docker-default",
        _ => false,
    };
    let granted = check.may.security_options.iter();
    let granted = granted
        .map(String::as_str)
        .any(|own| own == "*" || parts(own) == (key, value));
    check.grant(tightens || granted, "may.security_options", || {
        format!("SecurityOpt asks for {}", quoted(option))
    })
}

pub(super) fn sysctls<'n>(check: &Check<'_>, names: impl Iterator<Item = &'n str>) -> Judged {
    for name in names {
        // The kernel accepts both separators (sysctl.d(5)).
        let dotted = name.replace('/', ".");
        let granted = listed_by_prefix(&check.may.sysctls, &dotted);
        check.grant(granted, "may.sysctls", || {
            format!("the kernel parameter {}", quoted(name))
        })?;
    }
    Ok(())
}

/// The version of the API in which services have `NoNewPrivileges`.
const NO_NEW_PRIVILEGES: ApiVersion = ApiVersion::new(1, 44);

/// `ContainerSpec.Privileges` of a service.
pub(super) fn privileges(check: &Check<'_>, privileges: &Fields<'_>) -> Judged {
    check.knows(
        privileges,
        &[
            "CredentialSpec",
            "SELinuxContext",
            "Seccomp",
            "AppArmor",
            "NoNewPrivileges",
        ],
    )?;
    let on = privileges.flag("NoNewPrivileges")?;
    demand(
        on || !check.must.no_new_privileges,
        "must.no_new_privileges",
        || "Privileges.NoNewPrivileges is not on".into(),
    )?;
    if check.must.no_new_privileges {
        let field = "Privileges.NoNewPrivileges";
        honours(check, "must.no_new_privileges", field, NO_NEW_PRIVILEGES)?;
    }
    let selinux = privileges.object("SELinuxContext")?;
    check.knows(&selinux, &["Disable", "User", "Role", "Type", "Level"])?;
    check.knows_in(privileges, "Seccomp", &["Mode", "Profile"])?;
    check.knows_in(privileges, "AppArmor", &["Mode"])?;
    let mut options = Vec::new();
    if selinux.flag("Disable")? {
        options.push("label=disable".to_owned());
    }
    for (field, name) in [
        ("User", "user"),
        ("Role", "role"),
        ("Type", "type"),
        ("Level", "level"),
    ] {
        let value = selinux.text(field)?;
        if !value.is_empty() {
            options.push(format!("label={name}:{value}"));
        }
    }
    let seccomp = privileges.object("Seccomp")?;
    match seccomp.text("Mode")? {
        "" | "default" if seccomp.get("Profile").is_empty() => {}
        mode => options.push(format!("seccomp={mode}")),
    }
    match privileges.object("AppArmor")?.text("Mode")? {
        "" | "default" => {}
        "disabled" => options.push("apparmor=unconfined".into()),
        mode => options.push(format!("apparmor={mode}")),
    }
    if !privileges.get("CredentialSpec").is_empty() {
        options.push("credentialspec".into());
    }
    options
        .iter()
        .try_for_each(|option| self::option(check, option))
}

/// Denies a container without `no-new-privileges`, if the policy demands it.
pub(super) fn confined(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    let met = !check.must.no_new_privileges || is_confined(host)?;
    demand(met, "must.no_new_privileges", || {
        "SecurityOpt has no no-new-privileges".into()
    })
}

fn system_paths(
    check: &Check<'_>,
    host: &Fields<'_>,
    field: &str,
    mut own: impl Iterator<Item = &'static str>,
) -> Judged {
    if matches!(host.get(field), Json::Null) {
        return Ok(());
    }
    let paths = host.texts(field)?;
    match own.find(|path| !paths.contains(path)) {
        None => Ok(()),
        Some(path) => check.grant(check.may.system_paths, "may.system_paths", || {
            format!("{field} has no {path}, which this engine protects by default")
        }),
    }
}

/// Key and value at the first `=`, or `:` if there is none.
fn parts(option: &str) -> (&str, &str) {
    match option.split_once('=').or_else(|| option.split_once(':')) {
        Some(parts) => parts,
        None if option == "no-new-privileges" => (option, "true"),
        None => (option, ""),
    }
}

/// As in Go's `strconv.ParseBool`.
fn is_true(value: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&value)
}
