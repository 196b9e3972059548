//! What in the body of `POST /containers/create` ties the container to a node.
//!
//! A container that joins another's network, takes its volumes or is linked to
//! it has to be where that one is; one on a local network, where that network
//! is; one with a named volume is best where the volume is, for an engine that
//! has none of that name makes an empty one without a word. Here the names are
//! read; which node has what they name is the agent's business. Nothing is
//! refused: the engine does that, in its own words.

mod read;
mod spec;
mod swarm;

pub use swarm::creates_for_the_swarm;

/// Most names of one kind; a body with more is not about placement.
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
    /// The image it is made of.
    pub image: Option<String>,
}

impl Placement {
    /// Reads the body. One that the engine cannot read, or of another shape
    /// than it takes, ties the container to nothing.
    #[must_use]
    pub fn of_create(body: &[u8]) -> Self {
        read::create(body)
            .map(|create| spec::names(&create))
            .unwrap_or_default()
    }
}
