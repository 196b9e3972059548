//! What each endpoint reaches, and how it is kept within a scope.

use crate::endpoint::EndpointId;

/// What has to be done to keep a request within a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: it is not about objects with an owner.
    Free,
    /// Narrow its query: [`Scope::narrow`](super::Scope::narrow).
    List,
    /// Inspect the object first: [`Scope::holds`](super::Scope::holds).
    Object(Kind),
    /// Inspect the object first, and put the labels into the body.
    Replace(Kind),
    /// Put the labels into the body: [`Scope::stamp`](super::Scope::stamp). What
    /// it names has to be in scope: [`Scope::references`](super::Scope::references).
    Create(Kind),
    /// Inspect the network, and the container that the body names.
    NetworkAndContainer,
    /// Refuse it: it shows or changes what belongs to others.
    Closed,
}

/// Kinds of objects with labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// An exec: it is its container's, which its inspect names in `ContainerID`.
    Exec,
    /// A volume.
    Volume,
    /// A network.
    Network,
    /// A service.
    Service,
    /// A service's task.
    Task,
    /// A secret.
    Secret,
    /// A config.
    Config,
}

impl Reach {
    /// Of an endpoint. There is no rule for "the others": a new row of the
    /// table has to be thought about here.
    pub fn of(id: EndpointId) -> Self {
        use EndpointId::*;
        use Kind::*;
        match id {
            ContainerList | ContainerPrune | VolumeList | VolumePrune | NetworkList
            | NetworkPrune | ServiceList | TaskList | SecretList | ConfigList | SystemEvents => {
                Self::List
            }
            ContainerCreate => Self::Create(Container),
            ContainerInspect
            | ContainerTop
            | ContainerLogs
            | ContainerChanges
            | ContainerExport
            | ContainerStats
            | ContainerResize
            | ContainerStart
            | ContainerStop
            | ContainerRestart
            | ContainerKill
            | ContainerUpdate
            | ContainerRename
            | ContainerPause
            | ContainerUnpause
            | ContainerAttach
            | ContainerAttachWebsocket
            | ContainerWait
            | ContainerDelete
            | ContainerArchiveInfo
            | ContainerArchive
            | PutContainerArchive
            | ContainerExec
            | CheckpointList
            | CheckpointCreate
            | CheckpointDelete
            | ConsoleAttach
            | ImageCommit => Self::Object(Container),
            ExecStart | ExecResize | ExecInspect | ConsoleExec => Self::Object(Exec),
            VolumeCreate => Self::Create(Volume),
            VolumeInspect | VolumeUpdate | VolumeDelete | BrowseList | BrowseGet | BrowseDelete
            | BrowseRename | BrowsePut | BrowseVolumeList | BrowseVolumeGet
            | BrowseVolumeDelete | BrowseVolumeRename | BrowseVolumePut => Self::Object(Volume),
            NetworkCreate => Self::Create(Network),
            NetworkInspect | NetworkDelete => Self::Object(Network),
            NetworkConnect | NetworkDisconnect => Self::NetworkAndContainer,
            ServiceCreate => Self::Create(Service),
            ServiceUpdate => Self::Replace(Service),
            ServiceInspect | ServiceDelete | ServiceLogs => Self::Object(Service),
            TaskInspect | TaskLogs => Self::Object(Task),
            SecretCreate => Self::Create(Secret),
            SecretUpdate => Self::Replace(Secret),
            SecretInspect | SecretDelete => Self::Object(Secret),
            ConfigCreate => Self::Create(Config),
            ConfigUpdate => Self::Replace(Config),
            ConfigInspect | ConfigDelete => Self::Object(Config),
            ImageList | ImageInspect | ImageHistory | ImageAttestations | ImageGet
            | ImageGetAll | ImagePush | ImageTag | ImageDelete | ImageCreate | ImageLoad
            | ImageSearch | ImageBuild | BuildCancel | SystemPing | SystemPingHead
            | SystemVersion | SystemInfo | SystemAuth | DistributionInspect | Options
            | AgentHealth | PortainerPing | PortainerKey | PortainerSetKey | HubLimits => {
                Self::Free
            }
            ImagePrune | BuildPrune | Session | Grpc | Http2Preface | SystemDataUsage
            | DebugVars | DebugPprofIndex | DebugPprofCmdline | DebugPprofProfile
            | DebugPprofSymbol | DebugPprofTrace | DebugPprofNamed | PluginList
            | GetPluginPrivileges | PluginPull | PluginInspect | PluginDelete | PluginEnable
            | PluginDisable | PluginUpgrade | PluginPush | PluginSet | PluginCreate
            | SwarmInspect | SwarmInit | SwarmJoin | SwarmLeave | SwarmUpdate | SwarmUnlockkey
            | SwarmUnlock | NodeList | NodeInspect | NodeDelete | NodeUpdate | AgentIdentity
            | AgentNodes | AgentPortainer | NodeMetrics | Metrics | PortainerAgents | HostInfo => {
                Self::Closed
            }
        }
    }
}
