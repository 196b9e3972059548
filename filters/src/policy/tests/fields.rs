//! Tests that skep has a decision about every field of the bodies of the newest
//! API: `moby-fields-1.56.txt` lists the names, and a field without a decision
//! here fails.
//!
//! For a newer API, replace the list by one of that version, and decide about
//! each new field: add it to the known fields of its inspector, and to the tables
//! here. A field that no inspector knows is refused with its name.

use super::*;
use std::collections::BTreeMap;

const LIST: &str = include_str!("moby-fields-1.56.txt");

/// A type, a request with a body that has a field of this type in place of `$`,
/// and the decisions about its fields.
struct Type {
    name: &'static str,
    request: &'static str,
    body: &'static str,
    /// Fields that need no grant whatever their value is.
    harmless: &'static str,
    /// Fields with an inspector of their own.
    nested: &'static str,
    /// A value that is denied, with the rule that denies it.
    granted: &'static [(&'static str, &'static str, &'static str)],
    /// Fields that a policy can demand a value of.
    demanded: &'static str,
}

const ORDINARY: Type = Type {
    name: "",
    request: CREATE,
    body: "{$}",
    harmless: "",
    nested: "",
    granted: &[],
    demanded: "",
};

const UPDATE: &str = "POST /containers/a/update";
const NETWORK: &str = "POST /networks/create";
const VOLUME: &str = "POST /volumes/create";

static TYPES: &[Type] = &[
    Type {
        name: "ContainerConfig",
        harmless: "Hostname Domainname AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin \
            StdinOnce Env Cmd Healthcheck ArgsEscaped Volumes WorkingDir Entrypoint NetworkDisabled OnBuild \
            StopSignal StopTimeout Shell",
        demanded: "User Image Labels",
        ..ORDINARY
    },
    Type {
        name: "ContainerCreate",
        nested: "HostConfig NetworkingConfig",
        ..ORDINARY
    },
    Type {
        name: "HostConfig",
        body: r#"{"HostConfig":{$}}"#,
        // Engines ignore `ContainerIDFile`; `Isolation` and `ConsoleSize` are Windows' own, or a terminal's; a process
        // sets its `Umask` itself.
        harmless: "ContainerIDFile AutoRemove ConsoleSize CapDrop Dns DnsOptions DnsSearch ExtraHosts StorageOpt \
            Tmpfs ShmSize Isolation Init Umask",
        nested: "LogConfig Mounts",
        granted: &[
            ("Binds", r#"["/:/x"]"#, "may.binds"),
            ("NetworkMode", r#""host""#, "may.namespaces"),
            ("VolumeDriver", r#""x""#, "may.volume_drivers"),
            ("VolumesFrom", r#"["a"]"#, "may.share"),
            ("Annotations", r#"{"a":"b"}"#, "may.annotations"),
            ("CapAdd", r#"["ALL"]"#, "may.capabilities"),
            ("CgroupnsMode", r#""host""#, "may.namespaces"),
            ("GroupAdd", r#"["0"]"#, "may.groups"),
            ("IpcMode", r#""host""#, "may.namespaces"),
            ("Cgroup", r#""container:a""#, "may.share"),
            ("Links", r#"["a:b"]"#, "may.share"),
            ("OomScoreAdj", "-1", "may.oom"),
            ("PidMode", r#""host""#, "may.namespaces"),
            ("Privileged", "true", "may.privileged"),
            (
                "SecurityOpt",
                r#"["seccomp=unconfined"]"#,
                "may.security_options",
            ),
            ("UTSMode", r#""host""#, "may.namespaces"),
            ("UsernsMode", r#""host""#, "may.namespaces"),
            ("Sysctls", r#"{"a":"b"}"#, "may.sysctls"),
            ("Runtime", r#""kata""#, "may.runtimes"),
            ("MaskedPaths", "[]", "may.system_paths"),
            ("ReadonlyPaths", "[]", "may.system_paths"),
        ],
        demanded: "PortBindings PublishAllPorts RestartPolicy ReadonlyRootfs",
        ..ORDINARY
    },
    Type {
        name: "HostResources",
        body: r#"{"HostConfig":{$}}"#,
        harmless: "CpuShares BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps \
            BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus CpusetMems \
            MemoryReservation MemorySwappiness Ulimits CpuCount CpuPercent IOMaximumIOps IOMaximumBandwidth",
        granted: &[
            ("CgroupParent", r#""/a""#, "may.cgroup_parents"),
            ("Devices", r#"[{"PathOnHost":"/dev/sda"}]"#, "may.devices"),
            ("DeviceCgroupRules", r#"["a *:* rwm"]"#, "may.device_rules"),
            ("DeviceRequests", "[{}]", "may.device_requests"),
            ("OomKillDisable", "true", "may.oom"),
        ],
        demanded: "Memory NanoCpus CpuPeriod CpuQuota MemorySwap PidsLimit",
        ..ORDINARY
    },
    Type {
        name: "ContainerUpdate",
        request: UPDATE,
        demanded: "RestartPolicy",
        ..ORDINARY
    },
    Type {
        name: "LogConfig",
        body: r#"{"HostConfig":{"LogConfig":{$}}}"#,
        granted: &[
            ("Type", r#""gelf""#, "may.log_drivers"),
            ("Config", r#"{"syslog-address":"x"}"#, "may.log_drivers"),
        ],
        ..ORDINARY
    },
    Type {
        name: "RestartPolicy",
        body: r#"{"HostConfig":{"RestartPolicy":{$}}}"#,
        harmless: "MaximumRetryCount",
        demanded: "Name",
        ..ORDINARY
    },
    Type {
        name: "DeviceMapping",
        body: r#"{"HostConfig":{"Devices":[{$}]}}"#,
        // A mapping has no device without `PathOnHost`, which every policy has to grant.
        nested: "PathInContainer CgroupPermissions",
        granted: &[("PathOnHost", r#""/dev/sda""#, "may.devices")],
        ..ORDINARY
    },
    Type {
        name: "DeviceRequest",
        body: r#"{"HostConfig":{"DeviceRequests":[{$}]}}"#,
        // Every request needs the grant of its driver.
        granted: &[
            ("Driver", r#""x""#, "may.device_requests"),
            ("Count", "-1", "may.device_requests"),
            ("DeviceIDs", r#"["0"]"#, "may.device_requests"),
            ("Capabilities", r#"[["gpu"]]"#, "may.device_requests"),
            ("Options", r#"{"a":"b"}"#, "may.device_requests"),
        ],
        ..ORDINARY
    },
    Type {
        name: "ExecCreate",
        request: "POST /containers/a/exec",
        harmless: "Tty ConsoleSize AttachStdin AttachStderr AttachStdout DetachKeys Env WorkingDir Cmd",
        granted: &[("Privileged", "true", "may.privileged")],
        demanded: "User",
        ..ORDINARY
    },
    Type {
        name: "CheckpointCreate",
        request: "POST /containers/a/checkpoints",
        harmless: "CheckpointID Exit",
        granted: &[("CheckpointDir", r#""/etc""#, "may.binds")],
        ..ORDINARY
    },
    Type {
        name: "NetworkCreate",
        request: NETWORK,
        harmless: "Name Scope EnableIPv4 EnableIPv6 Internal Attachable",
        nested: "IPAM ConfigFrom",
        granted: &[
            ("Driver", r#""macvlan""#, "may.network_drivers"),
            ("Ingress", "true", "may.ingress"),
            ("ConfigOnly", "true", "may.ingress"),
            ("Options", r#"{"parent":"eth0"}"#, "may.network_options"),
        ],
        demanded: "Labels",
        ..ORDINARY
    },
    Type {
        name: "NetworkingConfig",
        body: r#"{"NetworkingConfig":{$}}"#,
        nested: "EndpointsConfig",
        ..ORDINARY
    },
    Type {
        name: "IPAM",
        request: NETWORK,
        body: r#"{"IPAM":{$}}"#,
        nested: "Config",
        granted: &[
            ("Driver", r#""dhcp""#, "may.network_drivers"),
            ("Options", r#"{"a":"b"}"#, "may.network_options"),
        ],
        ..ORDINARY
    },
    Type {
        name: "IPAMConfig",
        request: NETWORK,
        body: r#"{"IPAM":{"Config":[{$}]}}"#,
        granted: &[
            ("Subnet", r#""10.0.0.0/8""#, "may.subnets"),
            ("IPRange", r#""10.0.0.0/8""#, "may.subnets"),
            ("Gateway", r#""10.0.0.1""#, "may.subnets"),
            ("AuxiliaryAddresses", r#"{"a":"10.0.0.2"}"#, "may.subnets"),
        ],
        ..ORDINARY
    },
    Type {
        name: "NetworkConfigFrom",
        request: NETWORK,
        body: r#"{"ConfigFrom":{$}}"#,
        granted: &[("Network", r#""a""#, "may.ingress")],
        ..ORDINARY
    },
    Type {
        name: "EndpointSettings",
        body: r#"{"NetworkingConfig":{"EndpointsConfig":{"app":{$}}}}"#,
        harmless: "Aliases GwPriority NetworkID EndpointID IPPrefixLen GlobalIPv6PrefixLen DNSNames",
        nested: "IPAMConfig",
        granted: &[
            ("Links", r#"["a:b"]"#, "may.share"),
            (
                "DriverOpts",
                r#"{"com.docker.network.endpoint.sysctls":"a=1"}"#,
                "may.sysctls",
            ),
            ("Gateway", r#""10.0.0.1""#, "may.subnets"),
            ("IPAddress", r#""10.0.0.1""#, "may.subnets"),
            ("MacAddress", r#""02:42:ac:11:00:02""#, "may.subnets"),
            ("IPv6Gateway", r#""fd00::1""#, "may.subnets"),
            ("GlobalIPv6Address", r#""fd00::1""#, "may.subnets"),
        ],
        ..ORDINARY
    },
    Type {
        name: "EndpointIPAMConfig",
        request: "POST /networks/app/connect",
        body: r#"{"EndpointConfig":{"IPAMConfig":{$}}}"#,
        granted: &[
            ("IPv4Address", r#""10.0.0.1""#, "may.subnets"),
            ("IPv6Address", r#""fd00::1""#, "may.subnets"),
            ("LinkLocalIPs", r#"["169.254.1.1"]"#, "may.subnets"),
        ],
        ..ORDINARY
    },
    Type {
        name: "NetworkConnect",
        request: "POST /networks/app/connect",
        harmless: "Container",
        nested: "EndpointConfig",
        ..ORDINARY
    },
    Type {
        name: "PortBinding",
        body: r#"{"HostConfig":{"PortBindings":{"80/tcp":[{$}]}}}"#,
        harmless: "HostPort",
        demanded: "HostIp",
        ..ORDINARY
    },
    Type {
        name: "VolumeCreate",
        request: VOLUME,
        harmless: "Name",
        nested: "ClusterVolumeSpec",
        granted: &[
            ("Driver", r#""x""#, "may.volume_drivers"),
            (
                "DriverOpts",
                r#"{"type":"none","o":"bind","device":"/"}"#,
                "may.binds",
            ),
        ],
        demanded: "Labels",
        ..ORDINARY
    },
    Type {
        name: "ClusterVolumeSpec",
        request: VOLUME,
        body: r#"{"ClusterVolumeSpec":{$}}"#,
        harmless: "Group AccessMode AccessibilityRequirements CapacityRange Availability",
        nested: "Secrets",
        ..ORDINARY
    },
    Type {
        name: "ClusterVolumeSecret",
        request: "PUT /volumes/v?version=1",
        body: r#"{"Spec":{"Secrets":[{$}]}}"#,
        nested: "Key",
        granted: &[("Secret", r#""db""#, "may.secrets")],
        ..ORDINARY
    },
    Type {
        name: "AccessMode",
        request: VOLUME,
        body: r#"{"ClusterVolumeSpec":{"AccessMode":{$}}}"#,
        harmless: "Scope Sharing MountVolume BlockVolume",
        ..ORDINARY
    },
    Type {
        name: "TypeMount",
        request: VOLUME,
        body: r#"{"ClusterVolumeSpec":{"AccessMode":{"MountVolume":{$}}}}"#,
        // For the volume's driver, which needs a grant.
        harmless: "FsType MountFlags",
        ..ORDINARY
    },
    Type {
        name: "Mount",
        body: r#"{"HostConfig":{"Mounts":[{"Type":"volume",$}]}}"#,
        harmless: "Target ReadOnly Consistency",
        nested: "Type BindOptions VolumeOptions ImageOptions TmpfsOptions ClusterOptions",
        granted: &[("Source", r#""/etc""#, "may.binds")],
        ..ORDINARY
    },
    Type {
        name: "BindOptions",
        body: r#"{"HostConfig":{"Mounts":[{"Type":"volume","BindOptions":{$}}]}}"#,
        // They change a bind, whose path needs a grant.
        harmless: "NonRecursive CreateMountpoint ReadOnlyNonRecursive ReadOnlyForceRecursive",
        granted: &[("Propagation", r#""shared""#, "may.propagation")],
        ..ORDINARY
    },
    Type {
        name: "VolumeOptions",
        body: r#"{"HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{$}}]}}"#,
        harmless: "NoCopy Labels Subpath",
        nested: "DriverConfig",
        ..ORDINARY
    },
    Type {
        name: "ImageOptions",
        body: r#"{"HostConfig":{"Mounts":[{"Type":"image","ImageOptions":{$}}]}}"#,
        harmless: "Subpath",
        ..ORDINARY
    },
    Type {
        name: "VolumeDriver",
        body: r#"{"HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{$}}}]}}"#,
        granted: &[
            ("Name", r#""x""#, "may.volume_drivers"),
            ("Options", r#"{"o":"bind","device":"/"}"#, "may.binds"),
        ],
        ..ORDINARY
    },
    Type {
        name: "TmpfsOptions",
        body: r#"{"HostConfig":{"Mounts":[{"Type":"tmpfs","TmpfsOptions":{$}}]}}"#,
        harmless: "SizeBytes Mode Options",
        ..ORDINARY
    },
    Type {
        name: "ServiceSpec",
        request: SERVICE,
        harmless: "Mode UpdateConfig RollbackConfig",
        nested: "TaskTemplate EndpointSpec",
        ..ORDINARY
    },
    Type {
        name: "ServiceAnnotations",
        request: SERVICE,
        harmless: "Name",
        demanded: "Labels",
        ..ORDINARY
    },
    Type {
        name: "TaskSpec",
        request: SERVICE,
        body: r#"{"TaskTemplate":{$}}"#,
        // Managers use `NetworkAttachmentSpec` only with its runtime.
        harmless: "NetworkAttachmentSpec RestartPolicy Placement ForceUpdate",
        nested: "ContainerSpec Resources LogDriver",
        granted: &[
            ("PluginSpec", r#"{"remote":"x"}"#, "may.plugins"),
            ("Runtime", r#""attachment""#, "may.plugins"),
            ("Networks", r#"[{"Target":"host"}]"#, "may.namespaces"),
        ],
        ..ORDINARY
    },
    Type {
        name: "ContainerSpec",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{$}}}"#,
        harmless: "Labels Command Args Hostname Env Dir Init StopSignal TTY OpenStdin StopGracePeriod Healthcheck \
            Hosts DNSConfig Isolation CapabilityDrop Ulimits",
        nested: "Privileges Mounts",
        granted: &[
            ("Groups", r#"["0"]"#, "may.groups"),
            ("Secrets", r#"[{"SecretName":"a"}]"#, "may.secrets"),
            ("Configs", r#"[{"ConfigName":"a"}]"#, "may.configs"),
            ("Sysctls", r#"{"a":"b"}"#, "may.sysctls"),
            ("CapabilityAdd", r#"["ALL"]"#, "may.capabilities"),
            ("OomScoreAdj", "-1", "may.oom"),
        ],
        demanded: "Image User ReadOnly",
    },
    Type {
        name: "Privileges",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{$}}}}"#,
        nested: "SELinuxContext Seccomp AppArmor",
        granted: &[("CredentialSpec", r#"{"File":"x"}"#, "may.security_options")],
        demanded: "NoNewPrivileges",
        ..ORDINARY
    },
    Type {
        name: "CredentialSpec",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{"CredentialSpec":{$}}}}}"#,
        granted: &[
            ("Config", r#""a""#, "may."),
            ("File", r#""a""#, "may.security_options"),
            ("Registry", r#""a""#, "may.security_options"),
        ],
        ..ORDINARY
    },
    Type {
        name: "SELinuxContext",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{"SELinuxContext":{$}}}}}"#,
        granted: &[
            ("Disable", "true", "may.security_options"),
            ("User", r#""a""#, "may.security_options"),
            ("Role", r#""a""#, "may.security_options"),
            ("Type", r#""a""#, "may.security_options"),
            ("Level", r#""a""#, "may.security_options"),
        ],
        ..ORDINARY
    },
    Type {
        name: "SeccompOpts",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{"Seccomp":{$}}}}}"#,
        granted: &[
            ("Mode", r#""unconfined""#, "may.security_options"),
            ("Profile", r#""e30=""#, "may.security_options"),
        ],
        ..ORDINARY
    },
    Type {
        name: "AppArmorOpts",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{"AppArmor":{$}}}}}"#,
        granted: &[("Mode", r#""disabled""#, "may.security_options")],
        ..ORDINARY
    },
    Type {
        name: "DNSConfig",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"DNSConfig":{$}}}}"#,
        harmless: "Nameservers Search Options",
        ..ORDINARY
    },
    Type {
        name: "ResourceRequirements",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Resources":{$}}}"#,
        harmless: "MemorySwappiness",
        nested: "Limits Reservations",
        demanded: "SwapBytes",
        ..ORDINARY
    },
    Type {
        name: "Reservations",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Resources":{"Reservations":{$}}}}"#,
        harmless: "NanoCPUs MemoryBytes",
        nested: "GenericResources",
        ..ORDINARY
    },
    Type {
        name: "Limit",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Resources":{"Limits":{$}}}}"#,
        demanded: "NanoCPUs MemoryBytes Pids",
        ..ORDINARY
    },
    Type {
        name: "GenericResource",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Resources":{"Reservations":{"GenericResources":[{$}]}}}}"#,
        granted: &[
            (
                "NamedResourceSpec",
                r#"{"Kind":"gpu"}"#,
                "may.device_requests",
            ),
            (
                "DiscreteResourceSpec",
                r#"{"Kind":"gpu"}"#,
                "may.device_requests",
            ),
        ],
        ..ORDINARY
    },
    Type {
        name: "NamedGenericResource",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Resources":{"Reservations":{"GenericResources":[{"NamedResourceSpec":{$}}]}}}}"#,
        granted: &[
            ("Kind", r#""gpu""#, "may.device_requests"),
            ("Value", r#""0""#, "may.device_requests"),
        ],
        ..ORDINARY
    },
    Type {
        name: "DiscreteGenericResource",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Resources":{"Reservations":{"GenericResources":[{"DiscreteResourceSpec":{$}}]}}}}"#,
        granted: &[
            ("Kind", r#""gpu""#, "may.device_requests"),
            ("Value", "1", "may.device_requests"),
        ],
        ..ORDINARY
    },
    Type {
        name: "Placement",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Placement":{$}}}"#,
        harmless: "Constraints Preferences MaxReplicas Platforms",
        ..ORDINARY
    },
    Type {
        name: "TaskRestartPolicy",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"RestartPolicy":{$}}}"#,
        harmless: "Condition Delay MaxAttempts Window",
        ..ORDINARY
    },
    Type {
        name: "NetworkAttachmentConfig",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"Networks":[{$}]}}"#,
        harmless: "Aliases",
        granted: &[
            ("Target", r#""host""#, "may.namespaces"),
            (
                "DriverOpts",
                r#"{"com.docker.network.endpoint.sysctls":"a=1"}"#,
                "may.sysctls",
            ),
        ],
        ..ORDINARY
    },
    Type {
        name: "EndpointSpec",
        request: SERVICE,
        body: r#"{"EndpointSpec":{$}}"#,
        harmless: "Mode",
        demanded: "Ports",
        ..ORDINARY
    },
    Type {
        name: "PortConfig",
        request: SERVICE,
        body: r#"{"EndpointSpec":{"Ports":[{$}]}}"#,
        // `must.publish_on` refuses every port of a service.
        harmless: "Name Protocol TargetPort PublishedPort PublishMode",
        ..ORDINARY
    },
    Type {
        name: "LogDriver",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"LogDriver":{$}}}"#,
        granted: &[
            ("Name", r#""gelf""#, "may.log_drivers"),
            ("Options", r#"{"gelf-address":"x"}"#, "may.log_drivers"),
        ],
        ..ORDINARY
    },
    Type {
        name: "SecretReference",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"Secrets":[{$}]}}}"#,
        granted: &[
            ("SecretName", r#""a""#, "may.secrets"),
            ("SecretID", r#""a""#, "may.secrets"),
            ("File", "{}", "may.secrets"),
        ],
        ..ORDINARY
    },
    Type {
        name: "ConfigReference",
        request: SERVICE,
        body: r#"{"TaskTemplate":{"ContainerSpec":{"Configs":[{$}]}}}"#,
        granted: &[
            ("ConfigName", r#""a""#, "may.configs"),
            ("ConfigID", r#""a""#, "may.configs"),
            ("File", "{}", "may.configs"),
            ("Runtime", "{}", "may.configs"),
        ],
        ..ORDINARY
    },
    Type {
        name: "ServiceUpdateConfig",
        request: SERVICE,
        body: r#"{"UpdateConfig":{$}}"#,
        // A failed update returns to the specification that it replaced.
        harmless: "Parallelism Delay FailureAction Monitor MaxFailureRatio Order",
        ..ORDINARY
    },
    Type {
        name: "AuthConfig",
        request: "POST /auth",
        harmless: "username password auth identitytoken registrytoken",
        granted: &[("serveraddress", r#""evil.io""#, "may.remote")],
        ..ORDINARY
    },
];

impl Type {
    fn body_with(&self, field: &str, value: &str) -> String {
        self.body.replace('$', &format!(r#""{field}":{value}"#))
    }

    /// Each field once for each decision about it.
    fn decided(&self) -> impl Iterator<Item = &'static str> {
        let words = [self.harmless, self.nested, self.demanded];
        let words = words.into_iter().flat_map(str::split_whitespace);
        words.chain(self.granted.iter().map(|(field, ..)| *field))
    }
}

fn listed() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once('.').unwrap())
}

#[test]
fn every_field_of_the_newest_api_has_one_decision() {
    let mut decisions: BTreeMap<_, usize> = listed().map(|field| (field, 0)).collect();
    for kind in TYPES {
        for field in kind.decided() {
            let count = decisions.get_mut(&(kind.name, field));
            let count = count.unwrap_or_else(|| panic!("{}.{field} is not listed", kind.name));
            *count += 1;
        }
    }
    let wrong: Vec<_> = decisions.iter().filter(|(_, count)| **count != 1).collect();
    assert!(wrong.is_empty(), "fields without one decision: {wrong:?}");
}

#[test]
fn a_field_that_needs_a_grant_is_denied_without_it() {
    for kind in TYPES {
        for (field, value, rule) in kind.granted {
            denies(&plain(), kind.request, &kind.body_with(field, value), rule);
        }
    }
}

#[test]
fn a_harmless_or_demanded_field_needs_no_grant() {
    let values = [
        r#""x""#,
        "1",
        "true",
        r#"["x"]"#,
        // `ro` is an option of a tmpfs, too.
        r#"{"x":"ro"}"#,
        "[]",
        "{}",
        "null",
    ];
    for kind in TYPES {
        let fields = [kind.harmless, kind.demanded];
        for field in fields.iter().flat_map(|words| words.split_whitespace()) {
            let judged =
                values.map(|value| judged(&plain(), kind.request, &kind.body_with(field, value)));
            // A value may have members that nothing knows, but the field itself is known.
            let own = format!("{field:?}");
            let denied = |outcome: &&Result<String, String>| match outcome {
                Err(why) if why.starts_with("may.unknown_fields") => why.contains(&own),
                Err(why) => why.starts_with("may."),
                Ok(_) => false,
            };
            let any = judged.iter().find(denied);
            // A value of another shape is refused; one has the right shape.
            let ok = judged[..judged.len() - 1].iter().any(Result::is_ok);
            assert!(any.is_none() && ok, "{}.{field}: {judged:?}", kind.name);
        }
    }
}

/// The types whose fields are read one by one have to know all of them.
#[test]
fn a_field_that_moby_gets_tomorrow_is_refused_with_its_name() {
    let open = [
        // Whatever else they have, the grant is for the whole object.
        "DeviceMapping",
        "DeviceRequest",
        "NamedGenericResource",
        "DiscreteGenericResource",
        "SecretReference",
        "ConfigReference",
        "ClusterVolumeSecret",
        // Every value of it needs a grant.
        "CredentialSpec",
    ];
    for kind in TYPES.iter().filter(|kind| !open.contains(&kind.name)) {
        let body = kind.body_with("Tomorrow", r#""x""#);
        match judged(&plain(), kind.request, &body) {
            Err(why) => assert!(
                why.starts_with("may.unknown_fields") && why.contains("Tomorrow"),
                "{}: {why}",
                kind.name
            ),
            Ok(_) => panic!("{}: an unknown field is allowed: {body}", kind.name),
        }
        let may = May {
            unknown_fields: true,
            ..May::default()
        };
        allows(&with(may, Must::default()), kind.request, &body);
    }
}
