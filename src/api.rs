//! Answers skep's own endpoints: nodes, and metrics of the hosts.

pub(crate) mod metrics;
pub(crate) mod nodes;
