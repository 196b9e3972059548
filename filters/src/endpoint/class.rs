//! How a cluster answers an endpoint: the router's half of a table row.
//!
//! A class says what kind of destination answers, not which node it is.

/// What kind of destination answers an endpoint in a cluster. Outside a Swarm
/// everything but [`Class::Agent`] is local.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A collection of which each node has a part: ask every node and merge.
    /// A prune is of one node, unless the caller names all.
    Everyone,
    /// Swarm state: this node if it is an active manager, else a healthy one.
    Manager,
    /// A Swarm call that acts on the addressed engine itself (init, join,
    /// leave, unlock): never sent to another node unasked.
    Itself,
    /// About one container: the node that has it.
    Container,
    /// About one exec: the node that made it. Exec ids match whole, never by prefix.
    Exec,
    /// About one image: any node that has it, the targeted node first.
    Image,
    /// About one volume: the node that has it; a cluster volume: a manager.
    Volume,
    /// About one network: the node that has it; Swarm scope: a manager.
    Network,
    /// Has a meaning on one engine only: the targeted node, else this one.
    /// `SystemInfo`, `VolumeCreate` and `NetworkCreate` may still need a
    /// manager, and `ContainerCreate` the node of what it names, which only
    /// their request shows; an `ImageCreate` may follow that one.
    Node,
    /// Answered alike by every engine, mostly out of a registry: any node.
    Any,
    /// Answered by the agent; never forwarded to an engine.
    Agent,
}

/// Where a request names the object that its [`Class`] routes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectIn {
    /// In the path: [`Match::object`](super::Match::object).
    Path,
    /// In this query parameter. `names` of [`EndpointId::ImageGetAll`](super::EndpointId::ImageGetAll)
    /// may repeat, and one node must have them all.
    Query(&'static str),
    /// In this top-level field of the JSON body.
    Body(&'static str),
}
