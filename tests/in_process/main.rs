//! What an agent does, in one process with fake engines. One binary: linking one
//! for each file took longer than all else.

mod announced;
mod authentication;
mod browse;
mod certificates;
mod cluster_events;
mod common;
mod console;
mod engine;
mod everywhere;
mod host;
mod hung;
mod lists;
mod malformed;
mod objects;
mod placement;
mod policies;
mod portainer;
mod routing;
mod sockets;
mod streams;
mod sums;
mod trust;
mod tunnel;
