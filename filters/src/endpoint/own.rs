//! Names the handlers of the agent's own endpoints.

/// The handler of an endpoint of the agent itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// The identity of this node.
    Identity,
    /// The nodes of the cluster.
    Nodes,
    /// The table of nodes, or what differs from an earlier one; for other agents only.
    Members,
    /// The health of the agent and its engine.
    Health,
    /// The caller's own identity, its proof and its rights.
    Whoami,
    /// An image for a container on another node; for other agents only.
    ImageCopy,
    /// Copies an image to several nodes.
    ImageSpread,
    /// A connection to a port of a container.
    Forward,
    /// The list of people.
    People(People),
    /// Measurements of every node, or of the one that the request names.
    NodeMetrics,
    /// Measurements of this node, in Prometheus's format.
    Prometheus,
    /// An endpoint of the Portainer agent; served only if `auth.portainer` is set.
    Portainer(PortainerEndpoint),
}

/// The endpoints of the list of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum People {
    /// The version in force, as the operator has signed it.
    Current,
    /// The users with their rights.
    Users,
    /// A version that is kept.
    Version,
    /// The invitations that were used.
    Joined,
    /// Takes the next version.
    Change,
    /// The certificate of the cluster's CA; without authentication.
    Authority,
    /// A certificate for an invitation; without authentication.
    Join,
    /// A certificate for another one of the same user, which still holds.
    Renew,
}

/// The endpoints of the Portainer agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortainerEndpoint {
    /// Whether an agent is here.
    Ping,
    /// The key of an Edge agent, which this one is not.
    EdgeKey,
    /// The key of the first Portainer server that connected; for other agents only.
    PinnedKey,
    /// The nodes, as Portainer lists them.
    Agents,
    /// The hardware of a node.
    HostInfo,
    /// The files of a volume.
    Browse(Browse),
    /// A terminal in a container.
    Console(Console),
    /// The pull limit of Docker Hub.
    HubLimits,
}

/// An operation on the files of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browse {
    /// List a directory.
    List,
    /// Read a file.
    Get,
    /// Delete a file or an empty directory.
    Delete,
    /// Give a file or directory another path in the same volume.
    Rename,
    /// Upload a file.
    Put,
}

/// The process that a terminal is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The container's main process.
    Attach,
    /// A process that `POST /containers/{id}/exec` created.
    Exec,
}
