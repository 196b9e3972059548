//! The pure half of skep: bytes and types in, verdicts and bytes out.
//!
//! Nothing here opens a socket, reads a file or asks for the time; the agent
//! (the `skep` package) does that and hands the results in. So every rule can
//! be property-tested, fuzzed and benchmarked alone. Modules follow a
//! request's way: who is calling ([`auth`]), which endpoint ([`endpoint`]), may it
//! ([`policy`]), what ties a new container to a node ([`placement`]),
//! and how the answers of several nodes become one ([`aggregate`]).

pub mod aggregate;
pub mod auth;
pub mod endpoint;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod json;
pub mod placement;
pub mod policy;
pub mod scalar;
