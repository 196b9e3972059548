//! Who may call, and what each may do: the first two steps as one value.
//!
//! It is made from one configuration and replaced whole when that changes: a
//! request sees the old one or the new one, never half of each.

use std::sync::Arc;

use skep_filters::auth::NonceMemory;

use crate::authenticate::Authenticator;
use crate::authenticate::certificates::Certificates;
use crate::authenticate::keys::{self, KeysError};
use crate::authorise::grants::Grants;
use crate::config::Config;
use crate::trust::Trust;

/// The configuration names something that cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A key.
    #[error("{0}")]
    Key(#[from] KeysError),
    /// The list of revoked certificates.
    #[error("auth.certificates.revoked_file: {0}")]
    Revoked(String),
}

/// Who may call, and what each may do.
pub(crate) struct Guard {
    /// Finds out who calls.
    pub(crate) authenticator: Authenticator,
    /// What each identity may do.
    pub(crate) grants: Grants,
}

impl Guard {
    /// Reads the files that the configuration names. `nonces` are those seen so
    /// far: a nonce stays used when the configuration changes.
    ///
    /// # Errors
    /// If one of them cannot be read or used.
    pub(crate) fn new(
        config: &Config,
        trust: &Trust,
        nonces: Arc<NonceMemory>,
    ) -> Result<Self, GuardError> {
        let certificates = Certificates::new(config.auth.certificates.as_ref());
        Ok(Self {
            authenticator: Authenticator {
                verifier: keys::verifier(config, trust, nonces)?,
                certificates: certificates.map_err(GuardError::Revoked)?,
                sockets: config.sockets.clone(),
            },
            grants: Grants::new(config),
        })
    }
}
