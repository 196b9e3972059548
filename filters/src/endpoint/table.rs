//! The endpoint table: one line per endpoint of the Engine API.
//!
//! Rows are those of API 1.56 (moby `daemon/server/router/**` and
//! `api/swagger.yaml`), named by the swagger's operation ids. The count of
//! 122 is its 108 operations plus 14 that it leaves out: three checkpoint
//! routes, `/build/cancel`, `/grpc`, OPTIONS, seven debug routes, and HTTP/2
//! by prior knowledge. The last has no path; its row is there for its group
//! and is never the result of [`classify`](super::classify). `/networks` and
//! `/networks/` are one row. The agent's own rows come on top.
//!
//! How a row is matched, merged or permitted is not written here.

use super::Endpoint;
use super::class::{Class, ObjectIn};
use super::form::{Body, Method, Wire};
use super::pattern::object_in_path;
use super::version::ApiVersion;

/// Reads rows of the form
/// `Id: Method "pattern", Class [by ObjectIn], "group", Body => Wire, minor;`
/// where `minor` is that of the API version 1.x that brought the endpoint.
macro_rules! endpoints {
    ($(
        $id:ident: $method:ident $pattern:literal, $class:ident $(by $at:ident($field:literal))?,
        $group:literal, $body:ident => $wire:ident, $minor:literal;
    )*) => {
        /// The name of a table row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EndpointId {
            $(#[doc = concat!("`", stringify!($method), " ", $pattern, "`")] $id,)*
        }

        /// In the order of [`EndpointId`], so that an id is an index.
        static TABLE: &[Endpoint] = &[$(Endpoint {
            id: EndpointId::$id,
            method: Method::$method,
            pattern: $pattern,
            class: Class::$class,
            object: endpoints!(@object $pattern $(, $at($field))?),
            group: $group,
            body: Body::$body,
            wire: Wire::$wire,
            since: ApiVersion::new(1, $minor),
        },)*];
    };
    (@object $pattern:literal) => { object_in_path($pattern) };
    (@object $pattern:literal, $at:ident($field:literal)) => { Some(ObjectIn::$at($field)) };
}

/// Every endpoint: the Engine API's 122 and the agent's own.
pub fn all() -> &'static [Endpoint] {
    TABLE
}

impl EndpointId {
    /// The row of this id.
    pub fn endpoint(self) -> &'static Endpoint {
        &TABLE[self as usize]
    }

    /// Whether the agent of the node that is asked answers it, and no engine.
    pub fn is_own(self) -> bool {
        self >= Self::AgentIdentity
    }
}

endpoints! {
    // Containers and their execs: rows 1-32.
    ContainerList: Get "/containers/json", Everyone, "containers.read", None => Json, 24;
    ContainerCreate: Post "/containers/create", Node, "containers.write", Json => Json, 24;
    ContainerInspect: Get "/containers/{name:.*}/json", Container, "containers.read", None => Json, 24;
    ContainerTop: Get "/containers/{name:.*}/top", Container, "containers.read", None => Json, 24;
    ContainerLogs: Get "/containers/{name:.*}/logs", Container, "containers.logs", None => Stream, 24;
    ContainerChanges: Get "/containers/{name:.*}/changes", Container, "containers.read", None => Json, 24;
    ContainerExport: Get "/containers/{name:.*}/export", Container, "containers.archive", None => Tar, 24;
    ContainerStats: Get "/containers/{name:.*}/stats", Container, "containers.read", None => Stream, 24;
    ContainerResize: Post "/containers/{name:.*}/resize", Container, "attach", None => Empty, 24;
    ContainerStart: Post "/containers/{name:.*}/start", Container, "containers.lifecycle", None => Empty, 24;
    ContainerStop: Post "/containers/{name:.*}/stop", Container, "containers.lifecycle", None => Empty, 24;
    ContainerRestart: Post "/containers/{name:.*}/restart", Container, "containers.lifecycle", None => Empty, 24;
    ContainerKill: Post "/containers/{name:.*}/kill", Container, "containers.lifecycle", None => Empty, 24;
    ContainerUpdate: Post "/containers/{name:.*}/update", Container, "containers.write", Json => Json, 24;
    ContainerRename: Post "/containers/{name:.*}/rename", Container, "containers.write", None => Empty, 24;
    ContainerPause: Post "/containers/{name:.*}/pause", Container, "containers.lifecycle", None => Empty, 24;
    ContainerUnpause: Post "/containers/{name:.*}/unpause", Container, "containers.lifecycle", None => Empty, 24;
    ContainerAttach: Post "/containers/{name:.*}/attach", Container, "attach", None => Hijack, 24;
    ContainerAttachWebsocket: Get "/containers/{name:.*}/attach/ws", Container, "attach", None => WebSocket, 24;
    ContainerWait: Post "/containers/{name:.*}/wait", Container, "containers.read", None => Stream, 24;
    ContainerDelete: Delete "/containers/{name:.*}", Container, "containers.write", None => Empty, 24;
    ContainerArchiveInfo: Head "/containers/{name:.*}/archive", Container, "containers.archive", None => Empty, 24;
    ContainerArchive: Get "/containers/{name:.*}/archive", Container, "containers.archive", None => Tar, 24;
    PutContainerArchive: Put "/containers/{name:.*}/archive", Container, "containers.archive", Stream => Empty, 24;
    ContainerPrune: Post "/containers/prune", Everyone, "containers.write", None => Json, 25;
    ContainerExec: Post "/containers/{name:.*}/exec", Container, "exec", Json => Json, 24;
    ExecStart: Post "/exec/{name:.*}/start", Exec, "exec", Json => Hijack, 24;
    ExecResize: Post "/exec/{name:.*}/resize", Exec, "exec", None => Empty, 24;
    ExecInspect: Get "/exec/{id:.*}/json", Exec, "exec", None => Json, 24;
    CheckpointList: Get "/containers/{name:.*}/checkpoints", Container, "containers.read", None => Json, 25;
    CheckpointCreate: Post "/containers/{name:.*}/checkpoints", Container, "containers.write", Json => Empty, 25;
    CheckpointDelete: Delete "/containers/{name}/checkpoints/{checkpoint}", Container, "containers.write", None => Empty, 25;

    // Images: rows 33-46.
    ImageList: Get "/images/json", Everyone, "images.read", None => Json, 24;
    ImageInspect: Get "/images/{name:.*}/json", Image, "images.read", None => Json, 24;
    ImageHistory: Get "/images/{name:.*}/history", Image, "images.read", None => Json, 24;
    ImageAttestations: Get "/images/{name:.*}/attestations", Image, "images.read", None => Json, 55;
    ImageGet: Get "/images/{name:.*}/get", Image, "images.archive", None => Tar, 24;
    ImageGetAll: Get "/images/get", Image by Query("names"), "images.archive", None => Tar, 24;
    ImagePush: Post "/images/{name:.*}/push", Image, "images.push", None => Stream, 24;
    ImageTag: Post "/images/{name:.*}/tag", Image, "images.write", None => Empty, 24;
    ImageDelete: Delete "/images/{name:.*}", Image, "images.write", None => Json, 24;
    // Pulls with `fromImage`; with `fromSrc` it imports the body, which a policy for pulling must tell apart.
    ImageCreate: Post "/images/create", Node, "images.pull", Stream => Stream, 24;
    ImageLoad: Post "/images/load", Node, "images.write", Stream => Stream, 24;
    ImageSearch: Get "/images/search", Any, "registry", None => Json, 24;
    ImagePrune: Post "/images/prune", Everyone, "images.write", None => Json, 25;
    ImageCommit: Post "/commit", Container by Query("container"), "images.write", Json => Json, 24;

    // Build: rows 47-52. Session, gRPC and HTTP/2 reach all of BuildKit.
    ImageBuild: Post "/build", Node, "build", Stream => Stream, 24;
    BuildPrune: Post "/build/prune", Everyone, "build", None => Json, 31;
    BuildCancel: Post "/build/cancel", Node, "build", None => Empty, 38;
    Session: Post "/session", Node, "build", None => Hijack, 31;
    Grpc: Post "/grpc", Node, "build", None => Hijack, 40;
    Http2Preface: Preface "*", Node, "build", Stream => Hijack, 53;

    // Volumes: rows 53-58.
    VolumeList: Get "/volumes", Everyone, "volumes.read", None => Json, 24;
    VolumeCreate: Post "/volumes/create", Node, "volumes.write", Json => Json, 24;
    VolumeInspect: Get "/volumes/{name:.*}", Volume, "volumes.read", None => Json, 24;
    VolumeUpdate: Put "/volumes/{name:.*}", Manager, "volumes.write", Json => Empty, 42;
    VolumeDelete: Delete "/volumes/{name:.*}", Volume, "volumes.write", None => Empty, 24;
    VolumePrune: Post "/volumes/prune", Everyone, "volumes.write", None => Json, 25;

    // Networks: rows 59-65. Connecting is done by the container's node, whatever the network's scope.
    NetworkList: Get "/networks{/}", Everyone, "networks.read", None => Json, 24;
    NetworkInspect: Get "/networks/{id:.+}", Network, "networks.read", None => Json, 24;
    NetworkCreate: Post "/networks/create", Node, "networks.write", Json => Json, 24;
    NetworkDelete: Delete "/networks/{id:.*}", Network, "networks.write", None => Empty, 24;
    NetworkConnect: Post "/networks/{id:.*}/connect", Container by Body("Container"), "networks.write", Json => Empty, 24;
    NetworkDisconnect: Post "/networks/{id:.*}/disconnect", Container by Body("Container"), "networks.write", Json => Empty, 24;
    NetworkPrune: Post "/networks/prune", Everyone, "networks.write", None => Json, 25;

    // System: rows 66-81. Group `ping` is what clients need to negotiate a version.
    SystemPing: Get "/_ping", Node, "ping", None => Text, 24;
    SystemPingHead: Head "/_ping", Node, "ping", None => Empty, 40;
    SystemVersion: Get "/version", Node, "ping", None => Json, 24;
    SystemInfo: Get "/info", Node, "system.read", None => Json, 24;
    SystemEvents: Get "/events", Everyone, "events", None => Stream, 24;
    SystemDataUsage: Get "/system/df", Everyone, "system.read", None => Json, 25;
    SystemAuth: Post "/auth", Any, "registry", Json => Json, 24;
    DistributionInspect: Get "/distribution/{name:.*}/json", Any, "registry", None => Json, 30;
    Options: Options "/{anyroute:.*}", Node, "ping", None => Empty, 24;
    DebugVars: Any "/debug/vars", Node, "debug", None => Json, 24;
    DebugPprofIndex: Any "/debug/pprof/", Node, "debug", None => Text, 24;
    DebugPprofCmdline: Any "/debug/pprof/cmdline", Node, "debug", None => Text, 24;
    DebugPprofProfile: Any "/debug/pprof/profile", Node, "debug", None => Stream, 24;
    DebugPprofSymbol: Any "/debug/pprof/symbol", Node, "debug", None => Text, 24;
    DebugPprofTrace: Any "/debug/pprof/trace", Node, "debug", None => Stream, 24;
    DebugPprofNamed: Any "/debug/pprof/{name}", Node, "debug", None => Stream, 24;

    // Plugins: rows 82-93, of which the reference numbers one twice.
    PluginList: Get "/plugins", Node, "plugins.read", None => Json, 25;
    GetPluginPrivileges: Get "/plugins/privileges", Any, "plugins.read", None => Json, 25;
    PluginPull: Post "/plugins/pull", Node, "plugins.write", Json => Stream, 25;
    PluginInspect: Get "/plugins/{name:.*}/json", Node, "plugins.read", None => Json, 25;
    PluginDelete: Delete "/plugins/{name:.*}", Node, "plugins.write", None => Json, 25;
    PluginEnable: Post "/plugins/{name:.*}/enable", Node, "plugins.write", None => Empty, 25;
    PluginDisable: Post "/plugins/{name:.*}/disable", Node, "plugins.write", None => Empty, 25;
    PluginUpgrade: Post "/plugins/{name:.*}/upgrade", Node, "plugins.write", Json => Stream, 26;
    PluginPush: Post "/plugins/{name:.*}/push", Node, "plugins.write", None => Stream, 25;
    PluginSet: Post "/plugins/{name:.*}/set", Node, "plugins.write", Json => Empty, 25;
    PluginCreate: Post "/plugins/create", Node, "plugins.write", Stream => Empty, 25;

    // Swarm: rows 94-100. Two of the reads hand out keys (join tokens, unlock key): no `.read` group has them.
    SwarmInspect: Get "/swarm", Manager, "swarm.tokens", None => Json, 24;
    SwarmInit: Post "/swarm/init", Itself, "swarm.write", Json => Json, 24;
    SwarmJoin: Post "/swarm/join", Itself, "swarm.write", Json => Empty, 24;
    SwarmLeave: Post "/swarm/leave", Itself, "swarm.write", None => Empty, 24;
    SwarmUpdate: Post "/swarm/update", Manager, "swarm.write", Json => Empty, 24;
    SwarmUnlockkey: Get "/swarm/unlockkey", Manager, "swarm.tokens", None => Json, 25;
    SwarmUnlock: Post "/swarm/unlock", Itself, "swarm.write", Json => Empty, 25;

    // Nodes, services, tasks: rows 101-113.
    NodeList: Get "/nodes", Manager, "nodes.read", None => Json, 24;
    NodeInspect: Get "/nodes/{id}", Manager, "nodes.read", None => Json, 24;
    NodeDelete: Delete "/nodes/{id}", Manager, "nodes.write", None => Empty, 24;
    NodeUpdate: Post "/nodes/{id}/update", Manager, "nodes.write", Json => Empty, 24;
    ServiceList: Get "/services", Manager, "services.read", None => Json, 24;
    ServiceCreate: Post "/services/create", Manager, "services.write", Json => Json, 24;
    ServiceInspect: Get "/services/{id}", Manager, "services.read", None => Json, 24;
    ServiceDelete: Delete "/services/{id}", Manager, "services.write", None => Empty, 24;
    ServiceUpdate: Post "/services/{id}/update", Manager, "services.write", Json => Json, 24;
    ServiceLogs: Get "/services/{id}/logs", Manager, "services.logs", None => Stream, 25;
    TaskList: Get "/tasks", Manager, "tasks.read", None => Json, 24;
    TaskInspect: Get "/tasks/{id}", Manager, "tasks.read", None => Json, 24;
    TaskLogs: Get "/tasks/{id}/logs", Manager, "tasks.logs", None => Stream, 29;

    // Secrets and configs: rows 114-123.
    SecretList: Get "/secrets", Manager, "secrets.read", None => Json, 25;
    SecretCreate: Post "/secrets/create", Manager, "secrets.write", Json => Json, 25;
    SecretInspect: Get "/secrets/{id}", Manager, "secrets.read", None => Json, 25;
    SecretDelete: Delete "/secrets/{id}", Manager, "secrets.write", None => Empty, 25;
    SecretUpdate: Post "/secrets/{id}/update", Manager, "secrets.write", Json => Empty, 25;
    ConfigList: Get "/configs", Manager, "configs.read", None => Json, 30;
    ConfigCreate: Post "/configs/create", Manager, "configs.write", Json => Json, 30;
    ConfigInspect: Get "/configs/{id}", Manager, "configs.read", None => Json, 30;
    ConfigDelete: Delete "/configs/{id}", Manager, "configs.write", None => Empty, 30;
    ConfigUpdate: Post "/configs/{id}/update", Manager, "configs.write", Json => Empty, 30;

    // The agent's own, not part of the Engine API.
    AgentIdentity: Get "/skep/v1/identity", Agent, "agent", None => Json, 24;
    AgentNodes: Get "/skep/v1/nodes", Agent, "agent", None => Json, 24;
    AgentHealth: Get "/skep/v1/health", Agent, "agent", None => Json, 24;
    AgentPortainer: Get "/skep/v1/portainer", Agent, "agent", None => Json, 24;
    NodeMetrics: Get "/skep/v1/metrics", Agent, "metrics", None => Json, 24;
    Metrics: Get "/metrics", Agent, "metrics", None => Text, 24;

    // Those of the Portainer agent. A console is an attach or an exec, and so are its groups.
    PortainerPing: Get "{/v2}/ping", Agent, "portainer.ping", None => Empty, 24;
    PortainerKey: Get "/key", Agent, "portainer.ping", None => Json, 24;
    PortainerSetKey: Post "/key", Agent, "portainer.ping", Json => Empty, 24;
    PortainerAgents: Get "{/v1|/v2}/agents", Agent, "portainer.agents", None => Json, 24;
    HostInfo: Get "{/v1|/v2}/host/info", Node, "portainer.host", None => Json, 24;
    BrowseList: Get "{/v2}/browse/ls", Volume by Query("volumeID"), "browse.read", None => Json, 24;
    BrowseGet: Get "{/v2}/browse/get", Volume by Query("volumeID"), "browse.read", None => Stream, 24;
    BrowseDelete: Delete "{/v2}/browse/delete", Volume by Query("volumeID"), "browse.write", None => Empty, 24;
    BrowseRename: Put "{/v2}/browse/rename", Volume by Query("volumeID"), "browse.write", Json => Empty, 24;
    BrowsePut: Post "{/v2}/browse/put", Volume by Query("volumeID"), "browse.write", Stream => Empty, 24;
    BrowseVolumeList: Get "/v1/browse/{id}/ls", Volume, "browse.read", None => Json, 24;
    BrowseVolumeGet: Get "/v1/browse/{id}/get", Volume, "browse.read", None => Stream, 24;
    BrowseVolumeDelete: Delete "/v1/browse/{id}/delete", Volume, "browse.write", None => Empty, 24;
    BrowseVolumeRename: Put "/v1/browse/{id}/rename", Volume, "browse.write", Json => Empty, 24;
    BrowseVolumePut: Post "/v1/browse/{id}/put", Volume, "browse.write", Stream => Empty, 24;
    ConsoleAttach: Get "{/v1|/v2}/websocket/attach", Container by Query("id"), "attach", None => WebSocket, 24;
    ConsoleExec: Get "{/v1|/v2}/websocket/exec", Exec by Query("id"), "exec", None => WebSocket, 24;
    HubLimits: Post "/v2/dockerhub", Agent, "registry", Json => Json, 24;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_engine_has_122_endpoints_and_the_agent_24() {
        let (own, engine): (Vec<_>, Vec<_>) = all().iter().partition(|e| e.id.is_own());
        assert_eq!((engine.len(), own.len()), (122, 24));
        assert!(engine.iter().all(|e| e.class != Class::Agent));
    }

    #[test]
    fn an_id_finds_its_own_row() {
        for endpoint in all() {
            assert_eq!(endpoint.id.endpoint().id, endpoint.id);
        }
    }

    #[test]
    fn no_two_rows_have_the_same_method_and_pattern() {
        let rows: HashSet<_> = all().iter().map(ToString::to_string).collect();
        assert_eq!(rows.len(), all().len());
    }

    #[test]
    fn a_class_that_routes_by_an_object_says_where_it_is_named() {
        for endpoint in all() {
            let by_object = matches!(
                endpoint.class,
                Class::Container | Class::Exec | Class::Image | Class::Volume | Class::Network
            );
            assert!(!by_object || endpoint.object.is_some(), "{endpoint}");
        }
        let named = |id: EndpointId| id.endpoint().object;
        assert_eq!(
            named(EndpointId::ImageCommit),
            Some(ObjectIn::Query("container"))
        );
        assert_eq!(
            named(EndpointId::NetworkConnect),
            Some(ObjectIn::Body("Container"))
        );
        assert_eq!(named(EndpointId::ServiceInspect), Some(ObjectIn::Path));
        assert_eq!(named(EndpointId::ContainerList), None);
        assert_eq!(named(EndpointId::Options), None);
    }

    #[test]
    fn reading_groups_change_nothing() {
        for endpoint in all().iter().filter(|e| e.group.ends_with(".read")) {
            let waits = endpoint.id == EndpointId::ContainerWait;
            assert!(endpoint.method == Method::Get || waits, "{endpoint}");
        }
    }

    #[test]
    fn no_row_is_newer_than_the_api_the_table_was_made_from() {
        let newest = ApiVersion::new(1, 56);
        for endpoint in all() {
            assert!(
                (ApiVersion::FLOOR..=newest).contains(&endpoint.since),
                "{endpoint}"
            );
        }
    }
}
