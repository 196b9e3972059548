//! Defines a policy's demands on bodies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::body::image;
use super::error::PolicyError;
use crate::scalar::Size;

/// Demands on bodies. A field that is not set demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Must {
    /// Images that match one of these: `alpine`, `alpine:3`, `ghcr.io/team/*`, `registry:5000/**`.
    pub images: Vec<String>,
    /// Images named by digest.
    pub digest: bool,
    /// A numeric user other than 0. A name is not enough: it may be root's in the image.
    pub non_root: bool,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// A root file system that cannot be written.
    pub read_only: bool,
    /// These labels; the value `*` is any.
    pub labels: BTreeMap<String, String>,
    /// A memory limit of at most this.
    pub memory: Option<Size>,
    /// A limit of at most this many CPUs.
    pub cpus: Option<f64>,
    /// A limit of at most this many processes.
    pub pids: Option<u64>,
    /// Restart policies of containers: `no`, `on-failure`, `always`, `unless-stopped`.
    pub restart: Vec<String>,
    /// A container is stopped, killed or removed only if the policy allows to create it
    /// again as it is.
    pub recreatable: bool,
    /// Addresses of the host that ports may be published on.
    pub publish_on: Vec<IpAddr>,
}

impl Must {
    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Finds demands that no body could meet.
    pub(super) fn check(&self, faults: &mut Vec<PolicyError>) {
        for (i, pattern) in self.images.iter().enumerate() {
            if !image::is_pattern(pattern) {
                let what =
                    format!("`{pattern}` is not a pattern for images, such as ghcr.io/team/*");
                faults.push(PolicyError::new(format!("must.images[{i}]"), what));
            }
        }
        for (i, name) in self.restart.iter().enumerate() {
            let known = ["no", "on-failure", "always", "unless-stopped"];
            if !known.contains(&name.as_str()) {
                let what = format!(
                    "unknown restart policy `{name}`: use one of {}",
                    known.join(", ")
                );
                faults.push(PolicyError::new(format!("must.restart[{i}]"), what));
            }
        }
        let no_cpus = self.cpus.is_some_and(|cpus| !(cpus > 0.0 && cpus < 1e6));
        let zero = [
            ("memory", self.memory == Some(Size(0))),
            ("cpus", no_cpus),
            ("pids", self.pids == Some(0)),
        ];
        for (name, _) in zero.into_iter().filter(|(_, is_zero)| *is_zero) {
            faults.push(PolicyError::new(
                format!("must.{name}"),
                "must be a number above 0",
            ));
        }
    }
}
