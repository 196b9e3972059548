//! Holds the callers that a configuration allows, and their rights, as one value.
//!
//! A changed configuration replaces it as a whole: a request sees the old one or the
//! new one, never half of each.

use std::sync::Arc;

use skep_filters::auth::NonceMemory;

use crate::authenticate::Authenticator;
use crate::authenticate::certificates::{Certificates, ListError};
use crate::authenticate::keys::{self, KeysError};
use crate::authorise::grants::Grants;
use crate::config::{Config, Operator};
use crate::trust::Trust;

/// A file of the configuration cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A key is the reason.
    #[error("{0}")]
    Key(#[from] KeysError),
    /// The list of revoked certificates is the reason.
    #[error("auth.certificates.revoked_file: {0}")]
    Revoked(#[from] ListError),
}

/// The callers of a configuration, and their rights.
pub(crate) struct Guard {
    pub(crate) authenticator: Authenticator,
    pub(crate) grants: Grants,
}

impl Guard {
    /// Reads the files that the configuration names. `nonces` are the used ones,
    /// which stay used when the configuration changes.
    ///
    /// # Errors
    /// If one of them cannot be read or used.
    pub(crate) fn new(
        config: &Config,
        trust: &Trust,
        nonces: Arc<NonceMemory>,
    ) -> Result<Self, GuardError> {
        Ok(Self {
            authenticator: Authenticator {
                verifier: keys::verifier(config, trust, nonces)?,
                certificates: Certificates::new(config.auth.certificates.as_ref())?,
                sockets: config.sockets.clone(),
                plain: config.plain.clone(),
            },
            grants: match config.cluster.operator {
                Operator::Derived => Grants::new(config),
                Operator::Off | Operator::Key(_) => Grants::new(config)
                    .with_health_checks(trust.generations().iter().map(|one| one.health_key_id())),
            },
        })
    }
}
