//! skep gathers a Docker Swarm behind one API.
//!
//! The rooms below are in order: a room imports from rooms below it only, which
//! `tests/layers.rs` checks. A request runs through the pipeline in [`gateway`]:
//! [`authenticate`] (who calls), `skep_filters::endpoint` (what), [`authorise`]
//! (may they), [`route`] (which node answers), [`forward`] (how it gets there).
//! `docs/architecture.md` follows one through the files.

#![warn(unreachable_pub)]

// The command line, and the operator's machine.
pub mod cli;

pub mod connect;

// One agent, and the pipeline of its requests.
pub mod agent;

pub(crate) mod gateway;

// The steps of a request.
pub(crate) mod authenticate;

pub(crate) mod authorise;

pub(crate) mod route;

pub(crate) mod forward;

// Portainer's API, and the agent's own.
pub(crate) mod portainer;

pub(crate) mod api;

// Shared by all steps.
pub mod telemetry;

pub(crate) mod exchange;

pub mod cluster;

pub(crate) mod upstream;

pub(crate) mod listen;

pub mod trust;

pub mod config;

pub mod platform;
