//! Judges `HostConfig`: the access of a container to its host.

use super::{
    Check, capability, demand, devices, host_path, listed, listed_by_prefix, log, mount_options,
    mounts, namespaces, ports, security, volume,
};
use crate::json::{Fields, quoted};
use crate::policy::verdict::Judged;

/// The fields that engines of API 1.24 to 1.56 have.
pub(super) const KNOWN: &[&str] = &[
    "CpuShares",
    "Memory",
    "NanoCpus",
    "CgroupParent",
    "BlkioWeight",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpusetCpus",
    "CpusetMems",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "OomKillDisable",
    "PidsLimit",
    "Ulimits",
    "CpuCount",
    "CpuPercent",
    "IOMaximumIOps",
    "IOMaximumBandwidth",
    "Binds",
    "ContainerIDFile",
    "LogConfig",
    "NetworkMode",
    "PortBindings",
    "RestartPolicy",
    "AutoRemove",
    "VolumeDriver",
    "VolumesFrom",
    "ConsoleSize",
    "Annotations",
    "CapAdd",
    "CapDrop",
    "CgroupnsMode",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IpcMode",
    "Cgroup",
    "Links",
    "OomScoreAdj",
    "PidMode",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyRootfs",
    "SecurityOpt",
    "StorageOpt",
    "Tmpfs",
    "UTSMode",
    "UsernsMode",
    "ShmSize",
    "Sysctls",
    "Runtime",
    "Umask",
    "Isolation",
    "Mounts",
    "MaskedPaths",
    "ReadonlyPaths",
    "Init",
    // Of engines that are no longer supported.
    "KernelMemory",
    "KernelMemoryTCP",
    "DiskQuota",
];

const RUNTIMES: [&str; 3] = ["", "runc", "io.containerd.runc.v2"];

/// Judges everything that needs a grant.
pub(super) fn judge(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    let may = check.may;
    if host.is_empty() {
        return Ok(());
    }
    let privileged = host.flag("Privileged")?;
    check.grant(!privileged || may.privileged, "may.privileged", || {
        "a privileged container".into()
    })?;
    capability::added(check, &host.texts("CapAdd")?)?;
    namespaces::judge(check, host)?;
    mounts::binds(check, host)?;
    mounts::mounts(check, host, mounts::Owner::Container)?;
    mount_options::tmpfs::map(check, host.map("Tmpfs")?)?;
    volume::driver(check, host.text("VolumeDriver")?, &[])?;
    devices::judge(check, host)?;
    security::host(check, host)?;
    security::sysctls(
        check,
        host.map("Sysctls")?.iter().map(|(name, _)| name.as_ref()),
    )?;
    groups(check, &host.texts("GroupAdd")?)?;
    ports::container(check, host)?;
    check.knows_in(host, "RestartPolicy", &["Name", "MaximumRetryCount"])?;

    let runtime = host.text("Runtime")?;
    let granted = RUNTIMES.contains(&runtime) || listed(&may.runtimes, runtime);
    check.grant(granted, "may.runtimes", || {
        format!("the runtime {}", quoted(runtime))
    })?;
    cgroup_parent(check, host.text("CgroupParent")?)?;
    log::judge(check, &host.object("LogConfig")?, "Type", "Config")?;
    annotations(check, host)?;
    let avoids_oom = host.flag("OomKillDisable")? || host.int("OomScoreAdj")? < 0;
    check.grant(!avoids_oom || may.oom, "may.oom", || {
        "OomKillDisable or a negative OomScoreAdj".into()
    })
}

pub(super) fn restart(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    let name = match host.object("RestartPolicy")?.text("Name")? {
        "" => "no",
        name => name,
    };
    let allowed = &check.must.restart;
    demand(
        allowed.is_empty() || listed(allowed, name),
        "must.restart",
        || format!("the restart policy {}", quoted(name)),
    )
}

/// Runtimes obey some of them: crun runs the handler that one names.
fn annotations(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    let names = host.map("Annotations")?.iter().map(|(name, _)| name);
    for name in names {
        let granted = listed_by_prefix(&check.may.annotations, name);
        check.grant(granted, "may.annotations", || {
            format!("the annotation {}", quoted(name))
        })?;
    }
    Ok(())
}

pub(super) fn groups(check: &Check<'_>, groups: &[&str]) -> Judged {
    groups.iter().try_for_each(|group| {
        check.grant(listed(&check.may.groups, group), "may.groups", || {
            format!("the group {}", quoted(group))
        })
    })
}

/// A slice of systemd (`team.slice`) or a path.
pub(super) fn cgroup_parent(check: &Check<'_>, parent: &str) -> Judged {
    let below = |own: &String| {
        let own = own.trim_start_matches('/');
        host_path::is_below(&format!("/{parent}"), &format!("/{own}"))
    };
    let parents = &check.may.cgroup_parents;
    let granted = parent.is_empty() || listed(parents, parent) || parents.iter().any(below);
    check.grant(granted, "may.cgroup_parents", || {
        format!("the cgroup {}", quoted(parent))
    })
}
