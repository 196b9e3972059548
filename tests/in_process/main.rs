//! What agents do, in one process with fake engines. It is one binary: to link
//! one for each file took longer than to compile them.

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
mod internal;
mod lists;
mod malformed;
mod objects;
mod pingora;
mod placement;
mod policies;
mod portainer;
mod request_id;
mod routing;
mod sockets;
mod streams;
mod sums;
mod trust;
mod tunnel;
