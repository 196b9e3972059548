//! Connections to the engine and to other agents, and the requests on them.

pub mod client;
pub mod engine;
pub mod error;
pub mod headers;
pub mod peers;
pub mod request;
pub mod tls_files;
