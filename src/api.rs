//! The endpoints of skep's own: its nodes and the metrics of its hosts.

pub(crate) mod metrics;
pub(crate) mod nodes;
