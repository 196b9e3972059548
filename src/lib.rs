//! skep gathers a Docker Swarm behind one API.
//!
//! The rooms below are in order: a room imports from rooms below it only, which
//! `tests/layers.rs` checks. A request runs through the pipeline in [`gateway`]:
//! [`authenticate`] (who calls), `skep_filters::endpoint` (what), [`authorise`]
//! (may they), [`route`] (which node answers), [`forward`] (how it gets there).
//! `docs/architecture.md` follows one through the files.

// What is typed, and the operator's machine.
pub mod cli;

pub mod connect;

// One agent, and the pipeline of its requests.
pub mod agent;

pub mod gateway;

// The steps of a request.
pub mod authenticate;

pub mod authorise;

pub mod route;

pub mod forward;

// What some callers get besides.
pub mod portainer;

pub mod api;

// What the steps stand on.
pub mod telemetry;

pub mod exchange;

pub mod cluster;

pub mod upstream;

pub mod listen;

pub mod trust;

pub mod config;

pub mod platform;
