//! The endpoint table: one row for each endpoint of the Engine API.
//!
//! Everything that is decided by endpoint is a column here: who answers, how
//! answers are merged, what a policy checks, what a scope reaches. To add an
//! endpoint, add a row; the compiler asks for each column that has no default.
//!
//! Rows are those of API 1.56 (moby `daemon/server/router/**` and
//! `api/swagger.yaml`), named by the swagger's operation ids. The count of
//! 122 is its 108 operations plus 14 that it leaves out: three checkpoint
//! routes, `/build/cancel`, `/grpc`, OPTIONS, seven debug routes, and HTTP/2
//! by prior knowledge. The last has no path; its row is there for its group
//! and is never the result of [`classify`](super::classify). `/networks` and
//! `/networks/` are one row. The agent's own rows follow.

mod parameters;

use super::check::{BodyCheck, HeadCheck};
use super::form::{Body, Method, Wire};
use super::pattern::object_in_path;
use super::reach::Reach;
use super::route::{ObjectIn, Route};
use super::version::ApiVersion;
use super::{AllNodes, Endpoint, Parameters};

/// Reads sections of rows of the form
/// ```text
/// Id: Method "pattern", minor, Body => Wire, "group",
///     route Route, object ObjectIn, scope Reach, column: value, …;
/// ```
/// where `minor` is that of the API version 1.x that brought the endpoint.
/// `parameters.rs` has the column `parameters`, which is long.
/// `object` is omitted if the path names the object, or nothing does. The
/// columns with a name are those of [`ORDINARY`].
macro_rules! endpoints {
    ($($title:literal {$(
        $id:ident: $method:ident $pattern:literal, $minor:literal, $body:expr => $wire:ident, $group:literal,
        route $route:expr, $(object $at:ident($field:literal),)? scope $scope:expr
        $(, $column:ident: $value:expr)*;
    )*})*) => {
        /// The name of a table row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EndpointId {
            $($(#[doc = concat!("`", stringify!($method), " ", $pattern, "`")] $id,)*)*
        }

        impl EndpointId {
            /// The number of rows.
            pub const COUNT: usize = [$($(Self::$id,)*)*].len();

            /// The name of this row in the audit log: the swagger's operation id.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$id => stringify!($id),)*)*
                }
            }
        }

        /// In the order of [`EndpointId`], so that an id is an index.
        #[allow(unused_imports, reason = "not every row has a value of every enum")]
        static TABLE: [Endpoint; EndpointId::COUNT] = [$($(Endpoint {
            id: EndpointId::$id,
            section: $title,
            method: Method::$method,
            pattern: $pattern,
            since: ApiVersion::new(1, $minor),
            body: { use super::{check::BodyCheck::*, form::Body::*}; $body },
            wire: Wire::$wire,
            group: $group,
            route: {
                use super::route::{Announcement::*, Merge::*, ObjectKind::*, Route::*, SwarmObject::*};
                $route
            },
            object: endpoints!(@object $pattern $(, $at($field))?),
            scope: { use super::reach::{Kind::*, Reach::*}; $scope },
            parameters: parameters::of(EndpointId::$id),
            $($column: {
                use super::check::HeadCheck::*;
                use super::mapping::Mapping;
                use super::object_columns::{LabelsAt::*, NameFreed::*, TaskUse::*};
                use super::own::{Browse::*, Console::*, Own::*, PortainerEndpoint::*};
                use super::own;
                use super::route::Broadcast::*;
                $value
            },)*
            ..ORDINARY
        },)*)*];
    };
    (@object $pattern:literal) => { object_in_path($pattern) };
    (@object $pattern:literal, $at:ident($field:literal)) => { Some(ObjectIn::$at($field)) };
}

/// The columns that few rows set.
const ORDINARY: Endpoint = Endpoint {
    own: None,
    broadcast: None,
    head: HeadCheck::Nothing,
    import_group: None,
    remember: false,
    open: false,
    routine: false,
    internal: false,
    task: None,
    frees: None,
    labels: None,
    mapping: None,
    // Every row sets these.
    id: EndpointId::Options,
    section: "",
    method: Method::Options,
    pattern: "",
    since: ApiVersion::FLOOR,
    body: Body::None,
    wire: Wire::Empty,
    group: "",
    route: Route::ThisNode,
    object: None,
    scope: Reach::Forbidden,
    parameters: Parameters::single(&[]),
};

/// Every endpoint: the Engine API's 122 and the agent's own.
pub fn all() -> &'static [Endpoint] {
    &TABLE
}

impl EndpointId {
    /// The row of this id.
    pub fn endpoint(self) -> &'static Endpoint {
        &TABLE[self as usize]
    }
}

impl Endpoint {
    /// Whether the agent answers it, and no engine.
    pub const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The policy's check of the body.
    pub const fn body_check(&self) -> BodyCheck {
        match self.body {
            Body::Json(check) => check,
            Body::None | Body::Stream | Body::Form => BodyCheck::Nothing,
        }
    }

    /// The meaning of `Skep-Target: *` for it.
    pub const fn all_nodes(&self) -> AllNodes {
        if let Some(broadcast) = self.broadcast {
            return AllNodes::Broadcast(broadcast);
        }
        match self.route {
            Route::Prune => AllNodes::Prune,
            Route::EveryNode(_) | Route::Events | Route::Negotiation(_) | Route::Info => {
                AllNodes::AsUsual
            }
            Route::Manager
            | Route::Itself
            | Route::Owner(_)
            | Route::NetworkInspect
            | Route::Placement
            | Route::Pull
            | Route::ThisNode
            | Route::ThisNodeOrManager(_)
            | Route::AnyNode
            | Route::Agent
            | Route::AgentOrTarget
            | Route::EveryAgent => AllNodes::Refused,
        }
    }
}

endpoints! {
    "Containers" {
        ContainerList: Get "/containers/json", 24, None => Json, "containers.read",
            route EveryNode(Containers), scope List;
        ContainerCreate: Post "/containers/create", 24, Json(ContainerCreate) => Json, "containers.write",
            route Placement, scope Create(Container), remember: true, mapping: Some(Mapping::ContainerCreate);
        ContainerInspect: Get "/containers/{name:.*}/json", 24, None => Json, "containers.read",
            route Owner(Container), scope Object(Container), internal: true, task: Some(Look), labels: Some(Config),
            mapping: Some(Mapping::Container);
        ContainerTop: Get "/containers/{name:.*}/top", 24, None => Json, "containers.read",
            route Owner(Container), scope Object(Container), head: PsArguments, task: Some(Run);
        ContainerLogs: Get "/containers/{name:.*}/logs", 24, None => Stream, "containers.logs",
            route Owner(Container), scope Object(Container), task: Some(Read);
        ContainerChanges: Get "/containers/{name:.*}/changes", 24, None => Json, "containers.read",
            route Owner(Container), scope Object(Container), task: Some(Read);
        ContainerExport: Get "/containers/{name:.*}/export", 24, None => Tar, "containers.archive",
            route Owner(Container), scope Object(Container), task: Some(Read);
        ContainerStats: Get "/containers/{name:.*}/stats", 24, None => Stream, "containers.read",
            route Owner(Container), scope Object(Container), task: Some(Run);
        ContainerResize: Post "/containers/{name:.*}/resize", 24, None => Empty, "attach",
            route Owner(Container), scope Object(Container), task: Some(Run);
        ContainerStart: Post "/containers/{name:.*}/start", 24, None => Empty, "containers.lifecycle",
            route Owner(Container), scope Object(Container), head: CheckpointDir("checkpoint-dir");
        ContainerStop: Post "/containers/{name:.*}/stop", 24, None => Empty, "containers.lifecycle",
            route Owner(Container), scope Object(Container), task: Some(Control), head: EndsContainer;
        ContainerRestart: Post "/containers/{name:.*}/restart", 24, None => Empty, "containers.lifecycle",
            route Owner(Container), scope Object(Container), task: Some(Control);
        ContainerKill: Post "/containers/{name:.*}/kill", 24, None => Empty, "containers.lifecycle",
            route Owner(Container), scope Object(Container), task: Some(Control), head: EndsContainer;
        ContainerUpdate: Post "/containers/{name:.*}/update", 24, Json(ContainerUpdate) => Json, "containers.write",
            route Owner(Container), scope Object(Container);
        ContainerRename: Post "/containers/{name:.*}/rename", 24, None => Empty, "containers.write",
            route Owner(Container), scope Object(Container), frees: Some(Renamed);
        ContainerPause: Post "/containers/{name:.*}/pause", 24, None => Empty, "containers.lifecycle",
            route Owner(Container), scope Object(Container), task: Some(Control);
        ContainerUnpause: Post "/containers/{name:.*}/unpause", 24, None => Empty, "containers.lifecycle",
            route Owner(Container), scope Object(Container), task: Some(Control);
        ContainerAttach: Post "/containers/{name:.*}/attach", 24, None => Hijack, "attach",
            route Owner(Container), scope Object(Container), task: Some(Run);
        ContainerAttachWebsocket: Get "/containers/{name:.*}/attach/ws", 24, None => WebSocket, "attach",
            route Owner(Container), scope Object(Container), task: Some(Run);
        ContainerWait: Post "/containers/{name:.*}/wait", 24, None => Stream, "containers.read",
            route Owner(Container), scope Object(Container), task: Some(Control);
        ContainerDelete: Delete "/containers/{name:.*}", 24, None => Empty, "containers.write",
            route Owner(Container), scope Object(Container), frees: Some(Removed), head: EndsContainer;
        ContainerArchiveInfo: Head "/containers/{name:.*}/archive", 24, None => Empty, "containers.archive",
            route Owner(Container), scope Object(Container), task: Some(Read);
        ContainerArchive: Get "/containers/{name:.*}/archive", 24, None => Tar, "containers.archive",
            route Owner(Container), scope Object(Container), task: Some(Read);
        PutContainerArchive: Put "/containers/{name:.*}/archive", 24, Stream => Empty, "containers.archive",
            route Owner(Container), scope Object(Container), task: Some(Run);
        ContainerPrune: Post "/containers/prune", 25, None => Json, "containers.write",
            route Prune, scope List, head: EndsContainers;
        ContainerExec: Post "/containers/{name:.*}/exec", 24, Json(ExecCreate) => Json, "exec",
            route Owner(Container), scope Object(Container), remember: true, task: Some(Run);
        ExecStart: Post "/exec/{name:.*}/start", 24, Json(Nothing) => Hijack, "exec",
            route Owner(Exec), scope Object(Exec);
        ExecResize: Post "/exec/{name:.*}/resize", 24, None => Empty, "exec",
            route Owner(Exec), scope Object(Exec);
        ExecInspect: Get "/exec/{id:.*}/json", 24, None => Json, "exec",
            route Owner(Exec), scope Object(Exec), internal: true;
        CheckpointList: Get "/containers/{name:.*}/checkpoints", 25, None => Json, "containers.read",
            route Owner(Container), scope Object(Container), head: CheckpointDir("dir");
        CheckpointCreate: Post "/containers/{name:.*}/checkpoints", 25, Json(CheckpointCreate) => Empty, "containers.write",
            route Owner(Container), scope Object(Container);
        CheckpointDelete: Delete "/containers/{name}/checkpoints/{checkpoint}", 25, None => Empty, "containers.write",
            route Owner(Container), scope Object(Container), head: CheckpointDir("dir");
    }
    "Images" {
        ImageList: Get "/images/json", 24, None => Json, "images.read",
            route EveryNode(Images), scope Unscoped, mapping: Some(Mapping::Images);
        ImageInspect: Get "/images/{name:.*}/json", 24, None => Json, "images.read",
            route Owner(Image), scope Unscoped, internal: true, labels: Some(Config), mapping: Some(Mapping::Image);
        ImageHistory: Get "/images/{name:.*}/history", 24, None => Json, "images.read",
            route Owner(Image), scope Unscoped;
        ImageAttestations: Get "/images/{name:.*}/attestations", 55, None => Json, "images.read",
            route Owner(Image), scope Unscoped;
        ImageGet: Get "/images/{name:.*}/get", 24, None => Tar, "images.archive",
            route Owner(Image), scope Unscoped;
        ImageGetAll: Get "/images/get", 24, None => Tar, "images.archive",
            route Owner(Image), object EachQuery("names"), scope Unscoped;
        ImagePush: Post "/images/{name:.*}/push", 24, None => Stream, "images.push",
            route Owner(Image), scope Unscoped;
        ImageTag: Post "/images/{name:.*}/tag", 24, None => Empty, "images.write",
            route Owner(Image), scope Unscoped, broadcast: Some(Answer), head: NamesImage;
        ImageDelete: Delete "/images/{name:.*}", 24, None => Json, "images.write",
            route Owner(Image), scope Unscoped, broadcast: Some(Answer), mapping: Some(Mapping::ImageRemoval);
        // Pulls with `fromImage`; without it, it imports the body.
        ImageCreate: Post "/images/create", 24, Stream => Stream, "images.pull",
            route Pull, scope Unscoped, broadcast: Some(Progress), import_group: Some("images.write"), head: PullOrImport;
        ImageLoad: Post "/images/load", 24, Stream => Stream, "images.write",
            route ThisNode, scope Unscoped, broadcast: Some(Progress), head: LoadsImages;
        ImageSearch: Get "/images/search", 24, None => Json, "registry",
            route AnyNode, scope Unscoped, head: Search;
        ImagePrune: Post "/images/prune", 25, None => Json, "images.write",
            route Prune, scope Forbidden;
        ImageCommit: Post "/commit", 24, Json(Nothing) => Json, "images.write",
            route Owner(Container), object Query("container"), scope Object(Container), head: NamesImage;
    }
    "Build" {
        // Session, gRPC and HTTP/2 reach all of BuildKit.
        ImageBuild: Post "/build", 24, Stream => Stream, "build",
            route ThisNode, scope Build, head: Build;
        BuildPrune: Post "/build/prune", 31, None => Json, "build",
            route Prune, scope Forbidden, mapping: Some(Mapping::BuildPrune);
        BuildCancel: Post "/build/cancel", 38, None => Empty, "build",
            route ThisNode, scope Unscoped;
        Session: Post "/session", 31, None => Http2, "build",
            route ThisNode, scope Forbidden, head: BuildKit;
        Grpc: Post "/grpc", 40, None => Http2, "build",
            route ThisNode, scope Forbidden, head: BuildKit;
        Http2Preface: Preface "*", 53, Stream => Http2, "build",
            route ThisNode, scope Forbidden, head: BuildKit;
    }
    "Volumes" {
        VolumeList: Get "/volumes", 24, None => Json, "volumes.read",
            route EveryNode(Volumes), scope List;
        VolumeCreate: Post "/volumes/create", 24, Json(VolumeCreate) => Json, "volumes.write",
            route ThisNodeOrManager(ClusterVolume), scope Create(Volume), mapping: Some(Mapping::VolumeCreate);
        VolumeInspect: Get "/volumes/{name:.*}", 24, None => Json, "volumes.read",
            route Owner(Volume), scope Object(Volume), internal: true, labels: Some(Top);
        VolumeUpdate: Put "/volumes/{name:.*}", 42, Json(VolumeUpdate) => Empty, "volumes.write",
            route Manager, scope Object(Volume);
        VolumeDelete: Delete "/volumes/{name:.*}", 24, None => Empty, "volumes.write",
            route Owner(Volume), scope Object(Volume);
        VolumePrune: Post "/volumes/prune", 25, None => Json, "volumes.write",
            route Prune, scope List, mapping: Some(Mapping::VolumePrune);
    }
    "Networks" {
        // The container's node connects and disconnects it, for a network of any scope.
        NetworkList: Get "/networks{/}", 24, None => Json, "networks.read",
            route EveryNode(Networks), scope List;
        NetworkInspect: Get "/networks/{id:.+}", 24, None => Json, "networks.read",
            route NetworkInspect, scope Object(Network), internal: true, labels: Some(Top);
        NetworkCreate: Post "/networks/create", 24, Json(NetworkCreate) => Json, "networks.write",
            route ThisNodeOrManager(OverlayNetwork), scope Create(Network), mapping: Some(Mapping::NetworkCreate);
        NetworkDelete: Delete "/networks/{id:.*}", 24, None => Empty, "networks.write",
            route Owner(Network), scope Object(Network), head: NetworkRemoval;
        NetworkConnect: Post "/networks/{id:.*}/connect", 24, Json(NetworkConnect) => Empty, "networks.write",
            route Owner(Container), object Body("Container"), scope NetworkAndContainer, head: NetworkName;
        NetworkDisconnect: Post "/networks/{id:.*}/disconnect", 24, Json(Nothing) => Empty, "networks.write",
            route Owner(Container), object Body("Container"), scope NetworkAndContainer;
        NetworkPrune: Post "/networks/prune", 25, None => Json, "networks.write",
            route Prune, scope List;
    }
    "System" {
        // Clients need the group `ping` to negotiate a version.
        SystemPing: Get "/_ping", 24, None => Text, "ping",
            route Negotiation(Header), scope Unscoped;
        SystemPingHead: Head "/_ping", 40, None => Empty, "ping",
            route Negotiation(Header), scope Unscoped;
        SystemVersion: Get "/version", 24, None => Json, "ping",
            route Negotiation(Body), scope Unscoped;
        SystemInfo: Get "/info", 24, None => Json, "system.read",
            route Info, scope Unscoped;
        SystemEvents: Get "/events", 24, None => Stream, "events",
            route Events, scope List, mapping: Some(Mapping::Events);
        SystemDataUsage: Get "/system/df", 25, None => Json, "system.read",
            route EveryNode(DataUsage), scope Forbidden, mapping: Some(Mapping::DataUsage);
        SystemAuth: Post "/auth", 24, Json(RegistryAuth) => Json, "registry",
            route AnyNode, scope Unscoped;
        DistributionInspect: Get "/distribution/{name:.*}/json", 30, None => Json, "registry",
            route AnyNode, scope Unscoped, head: LookUp(ObjectIn::Path);
        Options: Options "/{anyroute:.*}", 24, None => Empty, "ping",
            route ThisNode, scope Unscoped;
        DebugVars: Any "/debug/vars", 24, None => Json, "debug",
            route ThisNode, scope Forbidden;
        DebugPprofIndex: Any "/debug/pprof/", 24, None => Text, "debug",
            route ThisNode, scope Forbidden;
        DebugPprofCmdline: Any "/debug/pprof/cmdline", 24, None => Text, "debug",
            route ThisNode, scope Forbidden;
        DebugPprofProfile: Any "/debug/pprof/profile", 24, None => Stream, "debug",
            route ThisNode, scope Forbidden;
        DebugPprofSymbol: Any "/debug/pprof/symbol", 24, None => Text, "debug",
            route ThisNode, scope Forbidden;
        DebugPprofTrace: Any "/debug/pprof/trace", 24, None => Stream, "debug",
            route ThisNode, scope Forbidden;
        DebugPprofNamed: Any "/debug/pprof/{name}", 24, None => Stream, "debug",
            route ThisNode, scope Forbidden;
    }
    "Plugins" {
        PluginList: Get "/plugins", 25, None => Json, "plugins.read",
            route ThisNode, scope Forbidden;
        GetPluginPrivileges: Get "/plugins/privileges", 25, None => Json, "plugins.read",
            route AnyNode, scope Forbidden, head: LookUp(ObjectIn::Query("remote"));
        PluginPull: Post "/plugins/pull", 25, Json(Nothing) => Stream, "plugins.write",
            route ThisNode, scope Forbidden, head: Plugin;
        PluginInspect: Get "/plugins/{name:.*}/json", 25, None => Json, "plugins.read",
            route ThisNode, scope Forbidden;
        PluginDelete: Delete "/plugins/{name:.*}", 25, None => Json, "plugins.write",
            route ThisNode, scope Forbidden;
        PluginEnable: Post "/plugins/{name:.*}/enable", 25, None => Empty, "plugins.write",
            route ThisNode, scope Forbidden, head: Plugin;
        PluginDisable: Post "/plugins/{name:.*}/disable", 25, None => Empty, "plugins.write",
            route ThisNode, scope Forbidden;
        PluginUpgrade: Post "/plugins/{name:.*}/upgrade", 26, Json(Nothing) => Stream, "plugins.write",
            route ThisNode, scope Forbidden, head: Plugin;
        PluginPush: Post "/plugins/{name:.*}/push", 25, None => Stream, "plugins.write",
            route ThisNode, scope Forbidden;
        PluginSet: Post "/plugins/{name:.*}/set", 25, Json(Nothing) => Empty, "plugins.write",
            route ThisNode, scope Forbidden, head: Plugin;
        PluginCreate: Post "/plugins/create", 25, Stream => Empty, "plugins.write",
            route ThisNode, scope Forbidden, head: Plugin;
    }
    "Swarm" {
        // Two of the reads return keys (join tokens, unlock key): they are in no `.read` group.
        SwarmInspect: Get "/swarm", 24, None => Json, "swarm.tokens",
            route Manager, scope Forbidden;
        SwarmInit: Post "/swarm/init", 24, Json(Nothing) => Json, "swarm.write",
            route Itself, scope Forbidden;
        SwarmJoin: Post "/swarm/join", 24, Json(Nothing) => Empty, "swarm.write",
            route Itself, scope Forbidden;
        SwarmLeave: Post "/swarm/leave", 24, None => Empty, "swarm.write",
            route Itself, scope Forbidden;
        SwarmUpdate: Post "/swarm/update", 24, Json(Nothing) => Empty, "swarm.write",
            route Manager, scope Forbidden;
        SwarmUnlockkey: Get "/swarm/unlockkey", 25, None => Json, "swarm.tokens",
            route Manager, scope Forbidden;
        SwarmUnlock: Post "/swarm/unlock", 25, Json(Nothing) => Empty, "swarm.write",
            route Itself, scope Forbidden;
    }
    "Nodes, services, tasks" {
        NodeList: Get "/nodes", 24, None => Json, "nodes.read",
            route Manager, scope Forbidden, internal: true;
        NodeInspect: Get "/nodes/{id}", 24, None => Json, "nodes.read",
            route Manager, scope Forbidden;
        NodeDelete: Delete "/nodes/{id}", 24, None => Empty, "nodes.write",
            route Manager, scope Forbidden;
        NodeUpdate: Post "/nodes/{id}/update", 24, Json(Nothing) => Empty, "nodes.write",
            route Manager, scope Forbidden;
        ServiceList: Get "/services", 24, None => Json, "services.read",
            route Manager, scope List;
        ServiceCreate: Post "/services/create", 24, Json(ServiceSpec) => Json, "services.write",
            route Manager, scope Create(Service);
        ServiceInspect: Get "/services/{id}", 24, None => Json, "services.read",
            route Manager, scope Object(Service), internal: true;
        ServiceDelete: Delete "/services/{id}", 24, None => Empty, "services.write",
            route Manager, scope Object(Service);
        ServiceUpdate: Post "/services/{id}/update", 24, Json(ServiceSpec) => Json, "services.write",
            route Manager, scope Replace(Service), head: Rollback;
        ServiceLogs: Get "/services/{id}/logs", 25, None => Stream, "services.logs",
            route Manager, scope Object(Service);
        TaskList: Get "/tasks", 24, None => Json, "tasks.read",
            route Manager, scope List, internal: true;
        TaskInspect: Get "/tasks/{id}", 24, None => Json, "tasks.read",
            route Manager, scope Object(Task), internal: true;
        TaskLogs: Get "/tasks/{id}/logs", 29, None => Stream, "tasks.logs",
            route Manager, scope Object(Task);
    }
    "Secrets and configs" {
        SecretList: Get "/secrets", 25, None => Json, "secrets.read",
            route Manager, scope List;
        SecretCreate: Post "/secrets/create", 25, Json(Labels) => Json, "secrets.write",
            route Manager, scope Create(Secret);
        SecretInspect: Get "/secrets/{id}", 25, None => Json, "secrets.read",
            route Manager, scope Object(Secret), internal: true;
        SecretDelete: Delete "/secrets/{id}", 25, None => Empty, "secrets.write",
            route Manager, scope Object(Secret);
        SecretUpdate: Post "/secrets/{id}/update", 25, Json(Labels) => Empty, "secrets.write",
            route Manager, scope Replace(Secret);
        ConfigList: Get "/configs", 30, None => Json, "configs.read",
            route Manager, scope List;
        ConfigCreate: Post "/configs/create", 30, Json(Labels) => Json, "configs.write",
            route Manager, scope Create(Config);
        ConfigInspect: Get "/configs/{id}", 30, None => Json, "configs.read",
            route Manager, scope Object(Config), internal: true;
        ConfigDelete: Delete "/configs/{id}", 30, None => Empty, "configs.write",
            route Manager, scope Object(Config);
        ConfigUpdate: Post "/configs/{id}/update", 30, Json(Labels) => Empty, "configs.write",
            route Manager, scope Replace(Config);
    }
    "The agent's own" {
        AgentIdentity: Get "/skep/v1/identity", 24, None => Json, "agent",
            route Agent, scope Forbidden, own: Some(Identity), internal: true;
        AgentNodes: Get "/skep/v1/nodes", 24, None => Json, "agent",
            route Agent, scope Forbidden, own: Some(Nodes);
        // Waits for a change.
        AgentMembers: Get "/skep/v1/members", 24, None => Json, "agent",
            route Agent, scope Forbidden, own: Some(Members), internal: true;
        AgentHealth: Get "/skep/v1/health", 24, None => Json, "agent",
            route Agent, scope Unscoped, own: Some(Health), routine: true;
        // Every authenticated caller may ask, unless its policy denies it.
        AgentWhoami: Get "/skep/v1/whoami", 24, None => Json, "agent",
            route Agent, scope Unscoped, own: Some(Whoami);
        AgentPortainer: Get "/skep/v1/portainer", 24, None => Json, "agent",
            route Agent, scope Forbidden, own: Some(Portainer(PinnedKey)), internal: true;
        // For the container that the caller creates on another node.
        ImageCopy: Get "/skep/v1/images/{name:.*}/copy", 24, None => Tar, "containers.write",
            route Agent, scope Unscoped, own: Some(ImageCopy), head: UsesImage;
        ImageSpread: Post "/skep/v1/images/{name:.*}/spread", 24, None => Stream, "images.write",
            route Agent, scope Unscoped, own: Some(ImageSpread), head: NamesImage;
        ContainerForward: Post "/skep/v1/containers/{name:.*}/forward", 24, None => Hijack, "forward",
            route Owner(Container), scope Object(Container), own: Some(Forward), head: Port, task: Some(Connect);
        // Agents ask each other for the list.
        PeopleCurrent: Get "/skep/v1/people", 24, None => Json, "people.read",
            route Agent, scope Forbidden, own: Some(People(own::People::Current)), internal: true;
        PeopleUsers: Get "/skep/v1/people/users", 24, None => Json, "people.read",
            route AgentOrTarget, scope Forbidden, own: Some(People(own::People::Users));
        PeopleVersion: Get "/skep/v1/people/versions", 24, None => Json, "people.read",
            route Manager, scope Forbidden, own: Some(People(own::People::Version));
        PeopleJoined: Get "/skep/v1/people/joined", 24, None => Json, "people.read",
            route Manager, scope Forbidden, own: Some(People(own::People::Joined));
        PeopleChange: Post "/skep/v1/people", 24, Json(Nothing) => Json, "people.write",
            route Manager, scope Forbidden, own: Some(People(own::People::Change));
        // These three are answered before the caller is authenticated.
        PeopleAuthority: Get "/skep/v1/ca", 24, None => Text, "people.join",
            route Agent, scope Unscoped, own: Some(People(own::People::Authority));
        PeopleJoin: Post "/skep/v1/join", 24, Json(Nothing) => Json, "people.join",
            route Agent, scope Unscoped, own: Some(People(own::People::Join));
        PeopleRenew: Post "/skep/v1/renew", 24, Json(Nothing) => Json, "people.join",
            route Agent, scope Unscoped, own: Some(People(own::People::Renew));
        NodeMetrics: Get "/skep/v1/metrics", 24, None => Json, "metrics",
            route EveryAgent, scope Forbidden, own: Some(NodeMetrics);
        Metrics: Get "/metrics", 24, None => Text, "metrics",
            route AgentOrTarget, scope Forbidden, own: Some(Prometheus);
    }
    "The Portainer agent's, if `auth.portainer` is set" {
        // A console is an attach or an exec, and so are the groups.
        PortainerPing: Get "{/v2}/ping", 24, None => Empty, "portainer.ping",
            route Agent, scope Unscoped, own: Some(Portainer(Ping)), open: true;
        PortainerKey: Get "/key", 24, None => Json, "portainer.ping",
            route Agent, scope Unscoped, own: Some(Portainer(EdgeKey)), open: true;
        PortainerSetKey: Post "/key", 24, Json(Nothing) => Empty, "portainer.ping",
            route Agent, scope Unscoped, own: Some(Portainer(EdgeKey)), open: true;
        PortainerAgents: Get "{/v1|/v2}/agents", 24, None => Json, "portainer.agents",
            route Agent, scope Forbidden, own: Some(Portainer(Agents));
        HostInfo: Get "{/v1|/v2}/host/info", 24, None => Json, "portainer.host",
            route ThisNode, scope Forbidden, own: Some(Portainer(HostInfo));
        BrowseList: Get "{/v2}/browse/ls", 24, None => Json, "browse.read",
            route Owner(Volume), object Query("volumeID"), scope Object(Volume), own: Some(Portainer(Browse(List)));
        BrowseGet: Get "{/v2}/browse/get", 24, None => Stream, "browse.read",
            route Owner(Volume), object Query("volumeID"), scope Object(Volume), own: Some(Portainer(Browse(Get)));
        BrowseDelete: Delete "{/v2}/browse/delete", 24, None => Empty, "browse.write",
            route Owner(Volume), object Query("volumeID"), scope Object(Volume), own: Some(Portainer(Browse(Delete)));
        BrowseRename: Put "{/v2}/browse/rename", 24, Json(Nothing) => Empty, "browse.write",
            route Owner(Volume), object Query("volumeID"), scope Object(Volume), own: Some(Portainer(Browse(Rename)));
        BrowsePut: Post "{/v2}/browse/put", 24, Form => Empty, "browse.write",
            route Owner(Volume), object Query("volumeID"), scope Object(Volume), own: Some(Portainer(Browse(Put)));
        BrowseVolumeList: Get "/v1/browse/{id}/ls", 24, None => Json, "browse.read",
            route Owner(Volume), scope Object(Volume), own: Some(Portainer(Browse(List)));
        BrowseVolumeGet: Get "/v1/browse/{id}/get", 24, None => Stream, "browse.read",
            route Owner(Volume), scope Object(Volume), own: Some(Portainer(Browse(Get)));
        BrowseVolumeDelete: Delete "/v1/browse/{id}/delete", 24, None => Empty, "browse.write",
            route Owner(Volume), scope Object(Volume), own: Some(Portainer(Browse(Delete)));
        BrowseVolumeRename: Put "/v1/browse/{id}/rename", 24, Json(Nothing) => Empty, "browse.write",
            route Owner(Volume), scope Object(Volume), own: Some(Portainer(Browse(Rename)));
        BrowseVolumePut: Post "/v1/browse/{id}/put", 24, Form => Empty, "browse.write",
            route Owner(Volume), scope Object(Volume), own: Some(Portainer(Browse(Put)));
        ConsoleAttach: Get "{/v1|/v2}/websocket/attach", 24, None => WebSocket, "attach",
            route Owner(Container), object Query("id"), scope Object(Container), own: Some(Portainer(Console(Attach)));
        ConsoleExec: Get "{/v1|/v2}/websocket/exec", 24, None => WebSocket, "exec",
            route Owner(Exec), object Query("id"), scope Object(Exec), own: Some(Portainer(Console(Exec)));
        HubLimits: Post "/v2/dockerhub", 24, Json(Nothing) => Json, "registry",
            route Agent, scope Unscoped, own: Some(Portainer(HubLimits));
    }
}

#[cfg(test)]
mod tests;
