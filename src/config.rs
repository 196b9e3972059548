//! Reads the configuration of an agent into types that hold only valid values.
//!
//! `raw` reads the YAML file into loose structures, which alone know serde. The
//! `read` functions turn each part into the types here and report every wrong
//! value. A [`Config`] needs no further check and has no text left to
//! interpret. This module does not open the files that settings name: each part
//! of the agent reads its own when it needs them.

mod address;
mod certificates;
mod cluster;
mod discover;
mod engine;
pub mod environment;
mod error;
mod faults;
mod grant;
mod keys;
mod listen;
mod load;
mod locations;
mod people;
mod plain;
mod policies;
mod portainer;
pub mod portainer_env;
mod raw;
mod scalar;
mod settings;
mod sockets;
mod suggest;
#[cfg(test)]
mod tests;
mod validate;
pub mod wollomatic;

pub(crate) use address::AgentUrl;
pub use certificates::{CertificateIdentity, Certificates, client_name};
pub use cluster::{Cluster, ClusterMode, DEFAULT_SECRET_FILE, Operator};
pub use discover::Discover;
pub use engine::{Engine, EngineTls};
pub use error::{ConfigError, ConfigErrors, ValueError};
pub use grant::{Grant, Limits, Nodes};
pub use keys::{KeyFile, KeyMaterial};
pub use listen::{Listen, ListenTls};
pub use load::MAX_FILE_BYTES;
#[cfg(test)]
pub(crate) use people::Person;
pub(crate) use people::{People, check_policies, policy_texts};
pub use plain::{CallerMark, ContainerCaller, Plain};
pub use policies::Policy;
pub use portainer::{Hidden, Portainer, SecretSource};
pub use settings::{
    Aggregate, ApiVersions, Audit, Auth, Browse, Config, Images, InfoOf, Log, LogFormat, Partial,
};
pub use sockets::{Socket, SocketIdentity, SocketUser};
