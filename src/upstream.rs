//! Connections to the engine and to other agents, and the requests on them.

pub(crate) mod client;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod headers;
pub(crate) mod peers;
pub(crate) mod request;
pub(crate) mod tls_files;
