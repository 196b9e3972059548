//! Judges the confinement of processes: seccomp, AppArmor, SELinux,
//! `no-new-privileges`, masked paths, kernel parameters.

use super::{Check, demand};
use crate::json::{Fields, Json, quoted};
use crate::policy::verdict::Judged;

/// The paths that every engine hides by default. A list with all of them, as in
/// the inspect of a container, needs no grant.
const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
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
    system_paths(check, host, "MaskedPaths", &MASKED)?;
    system_paths(check, host, "ReadonlyPaths", &READONLY)
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
        let granted = check
            .may
            .sysctls
            .iter()
            .any(|own| match own.strip_suffix('*') {
                Some(prefix) => dotted.starts_with(prefix),
                None => dotted == *own,
            });
        check.grant(granted, "may.sysctls", || {
            format!("the kernel parameter {}", quoted(name))
        })?;
    }
    Ok(())
}

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
    let selinux = privileges.object("SELinuxContext")?;
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

fn system_paths(check: &Check<'_>, host: &Fields<'_>, field: &str, own: &[&str]) -> Judged {
    if matches!(host.get(field), Json::Null) {
        return Ok(());
    }
    let paths = host.texts(field)?;
    let covers = own.iter().all(|path| paths.contains(path));
    let granted = covers || check.may.system_paths;
    check.grant(granted, "may.system_paths", || {
        format!("{field} does not hide every default path")
    })
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
