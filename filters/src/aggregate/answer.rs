//! Defines the answer of one node, and the merged answer of the cluster.

use bytes::Bytes;

use super::error::MergeError;

/// The node that an answer came from, as far as a merge needs it.
///
/// The field order is the sort order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeTag {
    /// The Swarm node id: the identity.
    pub id: String,
    /// The host name: a label, which two nodes may share.
    pub hostname: String,
    /// Whether it is a manager: its rows about objects of the cluster are preferred.
    pub is_manager: bool,
}

/// The body with which one node answered `200` to a list call.
#[derive(Clone, Debug)]
pub struct NodeAnswer {
    /// The node that answered.
    pub node: NodeTag,
    /// The whole body, with content and transfer codings undone.
    pub body: Bytes,
}

/// The answer of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// JSON of the shape one engine answers with, ending in a line feed as the engine's does.
    pub body: Vec<u8>,
    /// The nodes whose answer could not be read, in the order of their ids;
    /// `body` has nothing of them.
    pub unusable: Vec<(NodeTag, MergeError)>,
}
