//! skep gathers a Docker Swarm behind one API.
//!
//! A request's way: [`authenticate`] (who?), `skep_filters::endpoint` (what?),
//! `skep_filters::policy` (may?), [`cluster::route`] (where?), and then how:
//! Pingora's own proxying, [`tunnel`], [`relay`] or [`fanout`]. [`gateway`]
//! goes it; [`proxy`] holds Pingora's hooks, which only call.

pub mod agent;
pub mod api;
pub mod authenticate;
pub mod authorise;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod connect;
pub mod exchange;
pub mod forward;
pub mod gateway;
pub mod listen;
pub mod platform;
pub mod portainer;
pub mod route;
pub mod telemetry;
pub mod trust;
pub mod upstream;
