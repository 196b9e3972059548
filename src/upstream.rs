//! Connects to the engine and to other agents, and sends requests to them.

pub(crate) mod client;
pub(crate) mod clocks;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod headers;
pub(crate) mod peers;
pub(crate) mod request;
pub(crate) mod tls_files;
mod words;
