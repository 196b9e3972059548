//! Serves a Docker Swarm through one API.
//!
//! Each module below is a room, in order: a room imports only from rooms below it,
//! which `tests/layers.rs` checks. The pipeline in [`gateway`] handles a request:
//! [`authenticate`] the caller, classify the endpoint (`skep_filters::endpoint`),
//! [`authorise`] the call, [`route`] it to a node, [`forward`] it.
//! `docs/architecture.md` follows a request through the files.

#![warn(unreachable_pub)]

// The command line, and the operator's machine.
pub mod cli;

pub(crate) mod bootstrap;

pub mod connect;

// One agent, and the pipeline of its requests.
pub mod agent;

pub(crate) mod gateway;

// The steps of a request.
pub(crate) mod authenticate;

pub(crate) mod authorise;

pub(crate) mod route;

pub mod ports;

pub(crate) mod forward;

// Portainer's API, and the agent's own.
pub(crate) mod portainer;

pub(crate) mod api;

// Shared by all steps.
pub mod telemetry;

pub(crate) mod exchange;

pub(crate) mod people;

pub mod cluster;

pub(crate) mod upstream;

pub mod listen;

pub mod trust;

pub mod config;

pub mod platform;
