//! Keeps the people's list: reads it where the cluster keeps it, takes only what the
//! operator has signed and only what is newer, and has every agent learn of it.
//!
//! In a Swarm the list is in the managers' raft store, as one config for each version
//! ([`swarm`]); on a single host it is in the state folder ([`file`]), where every agent
//! also keeps the newest version that it has seen.

mod file;
mod keeper;
mod sightings;
mod swarm;

pub(crate) use keeper::{ChangeError, Joined, Keeper, RedeemError};
