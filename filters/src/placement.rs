//! Reads which nodes a create can go to, from its body.
//!
//! A container that joins the network of another, takes its volumes or is linked
//! to it must be on the same node. A container on a local network must be where
//! that network is. A container with a named volume should be where the volume
//! is: an engine without a volume of that name makes an empty one silently. This
//! module reads the names; the agent finds the nodes that have these objects. It
//! refuses nothing: the engine does, with its own message.

mod labels;
mod read;
mod removed;
mod spec;
mod swarm;

pub use labels::{NODE_LABEL, PROJECT_LABEL, PlacingLabels, rows_of_project};
pub use removed::Removed;
pub use swarm::creates_for_the_swarm;

/// Most names of one kind that are read.
pub const MAX_NAMES: usize = 64;

/// The names in a create body, each once and in the body's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Containers whose namespaces or volumes it shares or that it is linked to,
    /// by name or id, without a leading `/`.
    pub containers: Vec<String>,
    /// Networks, by name or id, other than those that every node has.
    pub networks: Vec<String>,
    /// Volumes that have a name.
    pub volumes: Vec<String>,
    /// The image.
    pub image: Option<String>,
}

impl Placement {
    /// Reads the body. A body that the engine cannot read ties the container to no
    /// node.
    #[must_use]
    pub fn of_create(body: &[u8]) -> Self {
        read::create(body)
            .map(|create| spec::names(&create))
            .unwrap_or_default()
    }
}
