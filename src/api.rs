//! The endpoints of skep's own: its nodes and the metrics of its hosts.

pub mod metrics;
pub mod nodes;
