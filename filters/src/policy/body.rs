//! What a request asks the engine to do, beyond which endpoint it is.
//!
//! Everything here is told from the request alone: from its query, and from
//! the bytes of the body that are forwarded.

pub(super) mod capability;
mod container;
mod devices;
mod endpoint_settings;
mod exec;
mod head;
mod host;
pub(super) mod host_path;
pub(super) mod image;
mod labels;
mod limits;
pub(super) mod mounts;
mod namespaces;
mod network;
mod ports;
mod security;
mod service;
mod user;
mod volume;

use super::json::{Fields, Json};
use super::may::May;
use super::must::Must;
use super::verdict::{Denied, Judged};
use crate::endpoint::EndpointId;

pub(super) use head::head;

/// What bodies are held against.
#[derive(Clone, Copy)]
pub(super) struct Check<'p> {
    pub(super) may: &'p May,
    pub(super) must: &'p Must,
}

type Inspector = fn(&Check<'_>, &Json<'_>) -> Judged;

/// What judges the body of an endpoint; `None` where no body grants anything.
pub(super) fn inspector(id: EndpointId) -> Option<Inspector> {
    Some(match id {
        EndpointId::ContainerCreate => container::create,
        EndpointId::ContainerUpdate => container::update,
        EndpointId::ContainerExec => exec::create,
        EndpointId::CheckpointCreate => exec::checkpoint,
        EndpointId::ServiceCreate | EndpointId::ServiceUpdate => service::spec,
        EndpointId::VolumeCreate => volume::create,
        EndpointId::NetworkCreate => network::create,
        EndpointId::NetworkConnect => network::connect,
        EndpointId::SecretCreate
        | EndpointId::SecretUpdate
        | EndpointId::ConfigCreate
        | EndpointId::ConfigUpdate => labels::object,
        _ => return None,
    })
}

impl Check<'_> {
    /// Denies unless it is granted. `rule` names the grant.
    fn grant(&self, granted: bool, rule: &'static str, what: impl FnOnce() -> String) -> Judged {
        if granted || self.may.everything {
            Ok(())
        } else {
            Err(Denied::asks(rule, what()))
        }
    }

    /// Denies fields that no engine of a known version has: one that has them
    /// may mean anything by it.
    fn knows(&self, fields: &Fields<'_>, known: &[&str]) -> Judged {
        if self.may.unknown_fields || self.may.everything {
            return Ok(());
        }
        match fields.unknown(known) {
            None => Ok(()),
            Some(name) => {
                let name = super::verdict::quoted(name);
                let what = format!("{} is a field that is not known", fields.full(&name));
                Err(Denied::asks("may.unknown_fields", what))
            }
        }
    }
}

/// Denies unless what is demanded is there. `rule` names the demand.
fn demand(met: bool, rule: &'static str, what: impl FnOnce() -> String) -> Judged {
    if met {
        Ok(())
    } else {
        Err(Denied::asks(rule, what()))
    }
}

/// Whether a list of grants has this value.
fn listed(list: &[String], value: &str) -> bool {
    list.iter()
        .any(|granted| granted == "*" || granted == value)
}
