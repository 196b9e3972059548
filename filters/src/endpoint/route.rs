//! Says which node answers an endpoint: the router's columns of a table row.
//!
//! A route says what kind of node answers, not which node that is: the agent
//! knows the nodes.

/// Which node answers when the request names none. Outside a Swarm this node
/// answers every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Every node has a part of the answer: ask all and merge.
    EveryNode(Merge),
    /// Every node sends its events: one stream of all.
    Events,
    /// This node prunes; with `Skep-Target: *` every node does. A caller never
    /// prunes a cluster by accident.
    Prune,
    /// The Swarm's state: this node if it is an active manager, else a healthy one.
    Manager,
    /// `/info`: a manager, because `docker stack deploy` asks here whether it
    /// talks to one; with `aggregate.info: cluster` the totals of every node.
    Info,
    /// Clients choose the API version of all their requests by the answer: this
    /// node's, or another's while this engine does not answer.
    Negotiation(Announcement),
    /// A Swarm call that acts on the addressed engine itself (init, join,
    /// leave, unlock): sent to another node only if the request names it.
    Itself,
    /// The node that has the object.
    Owner(ObjectKind),
    /// The node that has the network. A network of the Swarm is on every node,
    /// and each knows only its own containers in it (moby#24186): ask all and merge.
    NetworkInspect,
    /// The node that the new container needs: its body may name objects of one node.
    Placement,
    /// This node, or the one that lacked the image when this caller created a container.
    Pull,
    /// Has a meaning on one engine only: this one.
    ThisNode,
    /// This node; a manager if the body creates an object of the Swarm.
    ThisNodeOrManager(SwarmObject),
    /// Every engine gives the same answer, mostly from a registry: this one answers.
    AnyNode,
    /// The agent that receives the request, even if the request names a node.
    Agent,
    /// The agent that receives the request, or the agent of the node that it names.
    AgentOrTarget,
    /// Every agent, each about its own node; only one if the request names its node.
    EveryAgent,
}

impl Route {
    /// The word for it in the documentation.
    pub const fn class(self) -> &'static str {
        match self {
            Self::EveryNode(_) | Self::Events | Self::Prune => "everyone",
            Self::Manager => "manager",
            Self::Itself => "itself",
            Self::Owner(kind) => kind.name(),
            Self::NetworkInspect => ObjectKind::Network.name(),
            Self::Info
            | Self::Negotiation(_)
            | Self::Placement
            | Self::Pull
            | Self::ThisNode
            | Self::ThisNodeOrManager(_) => "node",
            Self::AnyNode => "any",
            Self::Agent | Self::AgentOrTarget | Self::EveryAgent => "agent",
        }
    }
}

/// How the lists of all nodes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// `GET /containers/json`.
    Containers,
    /// `GET /images/json`.
    Images,
    /// `GET /volumes`.
    Volumes,
    /// `GET /networks`.
    Networks,
    /// `GET /system/df`.
    DataUsage,
}

/// Where an answer says which API versions the cluster serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// In the header `Api-Version`.
    Header,
    /// In that header, and in the body's `ApiVersion` and `MinAPIVersion`.
    Body,
}

/// Objects that a node finds by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// On one node.
    Container,
    /// On the node that created it. Its id matches whole, never by prefix.
    Exec,
    /// Perhaps on several nodes, this one first.
    Image,
    /// On one node; a cluster volume belongs to the managers.
    Volume,
    /// On one node; a network of the Swarm belongs to the managers.
    Network,
}

impl ObjectKind {
    /// As one writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Exec => "exec",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Objects that only a manager creates, recognised by the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwarmObject {
    /// A network of the driver `overlay`, or of the scope `swarm`.
    OverlayNetwork,
    /// A volume with a `ClusterVolumeSpec`.
    ClusterVolume,
}

/// Where a request names the object that its [`Route`] depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectIn {
    /// In the path: [`Match::object`](super::Match::object).
    Path,
    /// In this query parameter.
    Query(&'static str),
    /// In this query parameter, which may repeat: one node must have all objects.
    EachQuery(&'static str),
    /// In this top-level field of the JSON body.
    Body(&'static str),
}

/// The meaning of `Skep-Target: *` for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllNodes {
    /// Nothing: the request is refused.
    Refused,
    /// The same as no target: the answer is the cluster's anyway, or clients ask
    /// for it before each command.
    AsUsual,
    /// Every node prunes, and the answers become one.
    Prune,
    /// Every node does it.
    Broadcast(Broadcast),
}

/// How to merge the answers when every node carries out the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// Each node reports its progress in a stream of JSON lines.
    Progress,
    /// Each node gives one short answer; a node without the object has nothing to do.
    Answer,
}
