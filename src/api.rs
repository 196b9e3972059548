//! Answers skep's own endpoints: nodes, metrics of the hosts, the list of people, and
//! the caller itself.

pub(crate) mod metrics;
pub(crate) mod nodes;
pub(crate) mod people;
pub(crate) mod whoami;
