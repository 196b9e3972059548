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
use crate::config::{Config, Operator, People};
use crate::exchange::caller::Caller;
use crate::trust::{ClientCertificate, Trust};

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
    /// The version of the list of people that is in it.
    pub(crate) people: u64,
}

impl Guard {
    /// Reads the files that the configuration names, and adds the people. `nonces` are
    /// the used ones, which stay used when the configuration changes.
    ///
    /// # Errors
    /// If one of them cannot be read or used.
    pub(crate) fn new(
        config: &Config,
        people: &People,
        trust: &Trust,
        nonces: Arc<NonceMemory>,
    ) -> Result<Self, GuardError> {
        let grants = Grants::new(config, people);
        Ok(Self {
            people: people.version,
            authenticator: Authenticator {
                verifier: keys::verifier(config, people, trust, nonces)?,
                certificates: Certificates::new(config, people)?,
                sockets: config.sockets.clone(),
                plain: config.plain.clone(),
            },
            grants: match config.cluster.operator {
                Operator::Derived => grants,
                Operator::Off | Operator::Key(_) => grants
                    .with_health_checks(trust.generations().iter().map(|one| one.health_key_id())),
            },
        })
    }

    /// Whether a caller that was admitted would be admitted still: with the rights that
    /// began at that time, and by the certificate that it has shown.
    pub(crate) fn keeps(
        &self,
        caller: &Caller,
        since: u64,
        shown: Option<&ClientCertificate>,
    ) -> bool {
        let certificates = &self.authenticator.certificates;
        self.grants.since(caller) == Some(since)
            && shown.is_none_or(|shown| certificates.keeps(shown))
    }
}
