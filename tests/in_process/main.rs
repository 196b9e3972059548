//! Tests of real agents with fake engines, all in one process. They are one
//! binary because linking one for each file takes longer than compiling them.

mod api_versions;
mod audience;
mod authentication;
mod bounds;
mod broadcast;
mod browse;
mod certificates;
mod cluster_events;
mod common;
mod console;
mod engine;
mod hanging_agents;
mod health;
mod host;
mod internal;
mod lists;
mod malformed;
mod media_types;
mod missing_nodes;
mod names;
mod objects;
mod operator;
mod pingora;
mod placement;
mod policies;
mod portainer;
mod projects;
mod refusals;
mod request_id;
mod routing;
mod sockets;
mod streams;
mod totals;
mod trust;
mod tunnel;
