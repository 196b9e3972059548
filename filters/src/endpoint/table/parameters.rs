//! Lists the query parameters of each row.
//!
//! The names are those that moby's routers read (`daemon/server/router/**`) and
//! its swagger has, in API 1.24 to 1.56, and those that common clients send
//! although moby reads none of them.

use super::EndpointId;
use crate::endpoint::{Parameters, port};

const fn single(names: &'static [&'static str]) -> Parameters {
    Parameters::single(names)
}

const NONE: Parameters = single(&[]);
const FILTERS: Parameters = single(&["filters"]);
/// dockerode passes the options of a list on: Homepage's `all` for containers goes to
/// the list of services too.
const LIST: Parameters = FILTERS.and_unread(&["all"]);
const FORCE: Parameters = single(&["force"]);
const VERSION: Parameters = single(&["version"]);
const SIZE_OF_TERMINAL: Parameters = single(&["h", "w"]);
const STOP: Parameters = single(&["signal", "t"]);
const ARCHIVE: Parameters = single(&["path"]);
/// dockerode passes its own option on.
const ATTACH: Parameters =
    single(&["detachKeys", "logs", "stream", "stdin", "stdout", "stderr"]).and_unread(&["hijack"]);
const SWARM_LOGS: Parameters = single(&[
    "details",
    "follow",
    "stdout",
    "stderr",
    "since",
    "timestamps",
    "tail",
]);
const BROWSE: Parameters = single(&["volumeID", "path"]);
const BROWSE_VOLUME: Parameters = single(&["path"]);
/// Portainer passes on the query of the browser, with its own parameters.
const CONSOLE: Parameters = single(&["id"]).and_unread(&["endpointId", "nodeName", "token"]);
const PROFILE: Parameters = single(&["seconds"]);

// dockerode repeats the fields of the body in the query of these requests.
const CONTAINER_FIELDS: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "HostConfig",
    "NetworkingConfig",
];
const VOLUME_FIELDS: &[&str] = &[
    "Name",
    "Driver",
    "DriverOpts",
    "Labels",
    "ClusterVolumeSpec",
];
const NETWORK_FIELDS: &[&str] = &[
    "Name",
    "CheckDuplicate",
    "Driver",
    "Scope",
    "EnableIPv4",
    "EnableIPv6",
    "IPAM",
    "Internal",
    "Attachable",
    "Ingress",
    "ConfigOnly",
    "ConfigFrom",
    "Options",
    "Labels",
];
const SERVICE_FIELDS: &[&str] = &[
    "Name",
    "Labels",
    "TaskTemplate",
    "Mode",
    "UpdateConfig",
    "RollbackConfig",
    "Networks",
    "EndpointSpec",
];
const SECRET_FIELDS: &[&str] = &["Name", "Labels", "Data", "Driver", "Templating"];
const CONFIG_FIELDS: &[&str] = &["Name", "Labels", "Data", "Templating"];
const NODE_FIELDS: &[&str] = &["Name", "Labels", "Role", "Availability"];
const SWARM_FIELDS: &[&str] = &[
    "Name",
    "Labels",
    "Orchestration",
    "Raft",
    "Dispatcher",
    "CAConfig",
    "TaskDefaults",
    "EncryptionConfig",
];

/// The column of a row.
pub(super) const fn of(row: EndpointId) -> Parameters {
    use EndpointId::*;
    match row {
        // `since` and `before` until API 1.24; docker-py sends `trunc_cmd`.
        ContainerList => single(&["all", "limit", "size", "filters", "since", "before"])
            .and_unread(&["trunc_cmd"]),
        ContainerCreate => single(&["name", "platform"]).and_unread(CONTAINER_FIELDS),
        ContainerInspect => single(&["size"]),
        ContainerTop => single(&["ps_args"]),
        ContainerLogs => single(&[
            "follow",
            "stdout",
            "stderr",
            "since",
            "until",
            "timestamps",
            "tail",
            "details",
            "format",
        ]),
        ContainerChanges | ContainerExport => NONE,
        ContainerStats => single(&["stream", "one-shot"]),
        ContainerResize | ExecResize => SIZE_OF_TERMINAL,
        ContainerStart => single(&["detachKeys", "checkpoint", "checkpoint-dir"]),
        ContainerStop | ContainerRestart => STOP,
        ContainerKill => single(&["signal"]),
        ContainerUpdate => NONE,
        ContainerRename => single(&["name"]),
        ContainerPause | ContainerUnpause => NONE,
        ContainerAttach | ContainerAttachWebsocket => ATTACH,
        ContainerWait => single(&["condition"]),
        ContainerDelete => single(&["v", "force", "link"]),
        ContainerArchiveInfo | ContainerArchive => ARCHIVE,
        PutContainerArchive => single(&["path", "noOverwriteDirNonDir", "copyUIDGID"]),
        ContainerPrune => FILTERS,
        ContainerExec | ExecStart | ExecInspect => NONE,
        CheckpointList | CheckpointDelete => single(&["dir"]),
        CheckpointCreate => NONE,

        // `filter` until API 1.40; docker-py sends `only_ids`.
        ImageList => single(&[
            "all",
            "filters",
            "filter",
            "shared-size",
            "digests",
            "manifests",
            "identity",
        ])
        .and_unread(&["only_ids"]),
        ImageInspect => single(&["manifests", "platform"]),
        ImageHistory => single(&["platform"]),
        ImageAttestations => single(&["platform", "statement"]).and_repeated(&["type"]),
        ImageGet => NONE.and_repeated(&["platform"]),
        ImageGetAll => NONE.and_repeated(&["names", "platform"]),
        // go-dockerclient sends the other two.
        ImagePush => single(&["tag", "platform"]).and_unread(&["name", "registry"]),
        // `force` until API 1.23: docker-py, docker-java and Portainer still send it.
        ImageTag => single(&["repo", "tag"]).and_unread(&["force"]),
        ImageDelete => single(&["force", "noprune"]).and_repeated(&["platforms"]),
        // docker-java and go-dockerclient send `registry`.
        ImageCreate => single(&["fromImage", "fromSrc", "repo", "tag", "message", "platform"])
            .and_repeated(&["changes"])
            .and_unread(&["registry"]),
        ImageLoad => single(&["quiet"]).and_repeated(&["platform"]),
        ImageSearch => single(&["term", "limit", "filters"]),
        ImagePrune => FILTERS,
        ImageCommit => single(&["container", "repo", "tag", "comment", "author", "pause"])
            .and_repeated(&["changes"]),

        ImageBuild => single(&[
            "dockerfile",
            "remote",
            "q",
            "nocache",
            "cachefrom",
            "pull",
            "rm",
            "forcerm",
            "memory",
            "memswap",
            "cpushares",
            "cpusetcpus",
            "cpusetmems",
            "cpuperiod",
            "cpuquota",
            "cgroupparent",
            "buildargs",
            "shmsize",
            "ulimits",
            "squash",
            "labels",
            "networkmode",
            "platform",
            "target",
            "isolation",
            "outputs",
            "version",
            "session",
            "buildid",
        ])
        .and_repeated(&["t", "extrahosts", "securityopt"]),
        BuildPrune => single(&[
            "all",
            "filters",
            "keep-storage",
            "reserved-space",
            "max-used-space",
            "min-free-space",
        ]),
        BuildCancel => single(&["id"]),
        Session | Grpc | Http2Preface => NONE,

        VolumeList => LIST,
        VolumePrune => FILTERS,
        VolumeCreate => NONE.and_unread(VOLUME_FIELDS),
        VolumeInspect => NONE,
        VolumeUpdate => VERSION,
        VolumeDelete => FORCE,

        NetworkList => LIST,
        NetworkPrune => FILTERS,
        NetworkInspect => single(&["verbose", "scope"]),
        NetworkCreate => NONE.and_unread(NETWORK_FIELDS),
        NetworkDelete | NetworkConnect | NetworkDisconnect => NONE,

        SystemPing | SystemPingHead | SystemVersion | SystemInfo => NONE,
        SystemEvents => single(&["since", "until", "filters"]),
        SystemDataUsage => single(&["verbose"]).and_repeated(&["type"]),
        SystemAuth | DistributionInspect => NONE,
        Options => NONE,
        DebugVars | DebugPprofIndex | DebugPprofCmdline | DebugPprofSymbol => NONE,
        DebugPprofProfile | DebugPprofTrace => PROFILE,
        DebugPprofNamed => single(&["debug", "gc", "seconds"]),

        PluginList => LIST,
        // `name` in the swagger of API 1.25.
        GetPluginPrivileges => single(&["remote", "name"]),
        PluginPull => single(&["remote", "name"]),
        PluginInspect | PluginPush | PluginSet => NONE,
        PluginDelete | PluginDisable => FORCE,
        PluginEnable => single(&["timeout"]),
        PluginUpgrade => single(&["remote"]),
        PluginCreate => single(&["name"]),

        SwarmInspect | SwarmInit | SwarmJoin | SwarmUnlockkey | SwarmUnlock => NONE,
        SwarmLeave => FORCE,
        SwarmUpdate => single(&[
            "version",
            "rotateWorkerToken",
            "rotateManagerToken",
            "rotateManagerUnlockKey",
        ])
        .and_unread(SWARM_FIELDS),

        NodeList => LIST,
        NodeInspect => NONE,
        NodeDelete => FORCE,
        NodeUpdate => VERSION.and_unread(NODE_FIELDS),
        ServiceList => single(&["filters", "status"]).and_unread(&["all"]),
        ServiceCreate => NONE.and_unread(SERVICE_FIELDS),
        ServiceInspect => single(&["insertDefaults"]),
        ServiceDelete => NONE,
        ServiceUpdate => {
            single(&["version", "registryAuthFrom", "rollback"]).and_unread(SERVICE_FIELDS)
        }
        ServiceLogs | TaskLogs => SWARM_LOGS,
        TaskList => LIST,
        TaskInspect => NONE,

        SecretList | ConfigList => LIST,
        SecretCreate => NONE.and_unread(SECRET_FIELDS),
        ConfigCreate => NONE.and_unread(CONFIG_FIELDS),
        SecretInspect | ConfigInspect => NONE,
        SecretDelete | ConfigDelete => NONE,
        SecretUpdate => VERSION.and_unread(SECRET_FIELDS),
        ConfigUpdate => VERSION.and_unread(CONFIG_FIELDS),

        ImageSpread => single(&["from", "id"]).and_repeated(&["nodes"]),
        ContainerForward => single(&[port::PORT, port::CHECK]),
        AgentMembers => single(&["since", "wait", "changed", "people", "heard", "current"]),
        PeopleVersion => single(&["version"]),
        PeopleCurrent | PeopleUsers | PeopleJoined | PeopleChange | PeopleAuthority
        | PeopleJoin | PeopleRenew => NONE,
        AgentIdentity | AgentNodes | AgentHealth | AgentWhoami | AgentPortainer | ImageCopy
        | NodeMetrics | Metrics => NONE,

        PortainerPing | PortainerKey | PortainerSetKey | PortainerAgents | HostInfo | HubLimits => {
            NONE
        }
        BrowseList | BrowseGet | BrowseDelete => BROWSE,
        // The paths are in the body.
        BrowseRename | BrowsePut => single(&["volumeID"]),
        // The volume is in the path.
        BrowseVolumeList | BrowseVolumeGet | BrowseVolumeDelete => BROWSE_VOLUME,
        BrowseVolumeRename | BrowseVolumePut => NONE,
        ConsoleAttach | ConsoleExec => CONSOLE,
    }
}
