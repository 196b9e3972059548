//! Judges the settings that a request has beyond its endpoint.
//!
//! Reads the request alone: its query, and the bytes of the body that are
//! forwarded. The endpoint table says which inspector reads which request.

pub(super) mod address;
pub(super) mod capability;
pub(super) mod container;
mod devices;
mod endpoint_settings;
mod exec;
mod head;
mod host;
pub(super) mod host_path;
pub(super) mod image;
mod labels;
mod limits;
mod log;
mod lookup;
pub(super) mod mount_options;
pub(super) mod mounts;
mod namespaces;
mod network;
pub(super) mod port;
mod ports;
mod security;
mod service;
mod user;
mod volume;

use super::effective_api::EffectiveApi;
use super::may::May;
use super::must::Must;
use super::verdict::{Denied, Judged};
use crate::endpoint::{ApiVersion, BodyCheck};
use crate::json::{Fields, Json};

pub(super) use head::head;

/// The parts of a policy that limit queries and bodies.
#[derive(Clone, Copy)]
pub(super) struct Check<'p> {
    pub(super) may: &'p May,
    pub(super) must: &'p Must,
    pub(super) api: EffectiveApi,
}

type Inspector = fn(&Check<'_>, &Json<'_>) -> Judged;

/// The inspector of a body; `None` where no body grants anything.
pub(super) fn inspector(check: BodyCheck) -> Option<Inspector> {
    match check {
        BodyCheck::Nothing => None,
        BodyCheck::ContainerCreate => Some(container::create),
        BodyCheck::ContainerUpdate => Some(container::update),
        BodyCheck::ExecCreate => Some(exec::create),
        BodyCheck::CheckpointCreate => Some(exec::checkpoint),
        BodyCheck::ServiceSpec => Some(service::spec),
        BodyCheck::VolumeCreate => Some(volume::create),
        BodyCheck::VolumeUpdate => Some(volume::update),
        BodyCheck::RegistryAuth => Some(lookup::auth),
        BodyCheck::NetworkCreate => Some(network::create),
        BodyCheck::NetworkConnect => Some(network::connect),
        BodyCheck::Labels => Some(labels::object),
    }
}

impl Check<'_> {
    /// Denies unless the policy grants it. `rule` names the grant.
    fn grant(&self, granted: bool, rule: &'static str, what: impl FnOnce() -> String) -> Judged {
        if granted || self.may.everything {
            Ok(())
        } else {
            Err(Denied::asks(rule, what()))
        }
    }

    /// As [`Self::knows`], for the object in a field.
    fn knows_in(&self, fields: &Fields<'_>, name: &'static str, known: &[&str]) -> Judged {
        self.knows(&fields.object(name)?, known)
    }

    /// Denies fields that no engine of a known version has: a newer engine may
    /// give them any meaning.
    fn knows(&self, fields: &Fields<'_>, known: &[&str]) -> Judged {
        if self.may.unknown_fields || self.may.everything {
            return Ok(());
        }
        match fields.unknown(known) {
            None => Ok(()),
            Some(name) => {
                let name = crate::json::quoted(name);
                let what = format!("{} is a field that is not known", fields.full(&name));
                Err(Denied::asks("may.unknown_fields", what))
            }
        }
    }
}

/// Denies unless the policy's demand is met. `rule` names the demand.
fn demand(met: bool, rule: &'static str, what: impl FnOnce() -> String) -> Judged {
    if met {
        Ok(())
    } else {
        Err(Denied::asks(rule, what()))
    }
}

/// Denies a field by which a demand is met if it has no effect: engines remove it
/// from requests in versions of the API that are older than the field.
fn honours(check: &Check<'_>, rule: &'static str, field: &str, since: ApiVersion) -> Judged {
    let version = check.api.version;
    demand(version >= since, rule, || {
        format!("{field} has no effect below API {since}, and this request is in {version}")
    })
}

/// Whether a list of grants has this name; `net.*` is all that begin with `net.`.
fn listed_by_prefix(list: &[String], name: &str) -> bool {
    list.iter().any(|granted| match granted.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => granted == name,
    })
}

/// Whether a list of grants has this value.
pub(super) fn listed(list: &[String], value: &str) -> bool {
    list.iter()
        .any(|granted| granted == "*" || granted == value)
}
