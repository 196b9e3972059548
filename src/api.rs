//! Answers skep's own endpoints: nodes, metrics of the hosts, and the caller itself.

pub(crate) mod metrics;
pub(crate) mod nodes;
pub(crate) mod whoami;
