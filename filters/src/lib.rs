//! The pure half of skep: bytes and types in, verdicts and bytes out.
//!
//! Nothing here opens a socket, reads a file or reads a clock; the agent (the
//! `skep` package) does that and passes the results in. So every rule can be
//! property-tested, fuzzed and benchmarked alone.
//!
//! A request is authenticated ([`auth`]), classified ([`endpoint`]) and judged
//! ([`policy`]). [`placement`] finds what ties a new container to a node, and
//! [`aggregate`] makes one answer of the answers of several nodes. [`translate`] maps
//! calls between versions of the API, and [`people`] reads the signed list of users. All of
//! them read JSON with [`json`]. [`frames`] reads a container's output. Imports run down
//! this list only.

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;

#[cfg(test)]
mod differential;

pub mod policy;

pub mod aggregate;

pub mod translate;

pub mod placement;

pub mod people;

pub mod auth;

pub mod endpoint;

pub mod frames;

pub mod json;

pub mod scalar;
