//! Establishes membership in the cluster by one shared secret.
//!
//! Every agent derives the same certificate authority from the secret
//! ([`Generation`]) and issues its own short-lived certificate under it
//! ([`Leaf`]). So all holders of the secret are members, and nobody else is.
//! [`Trust`] keeps the generations of a rollover side by side and renews the
//! leaves.
//!
//! A certificate does not prove the name of a node: any holder of the secret
//! can claim any name. Swarm says which address belongs to which node. The
//! rights of a caller are decided elsewhere.

mod audience;
mod ca_key;
mod client;
mod ed25519;
mod error;
mod generation;
mod issue;
mod key_id;
mod leaf;
mod operator_key;
mod peer;
mod provider;
mod request;
mod resolver;
mod rotation;
mod secret;
mod serial;
mod stretch;
mod user_cert;

#[cfg(test)]
mod tests;

pub(crate) use audience::audience_of;
pub(crate) use client::ClientCertificate;
pub(crate) use ed25519::ed25519_public;
pub(crate) use error::TrustError;
pub use generation::Generation;
pub use issue::{ClientCredential, Issued};
pub use leaf::{Leaf, LeafNames};
pub(crate) use operator_key::OperatorKey;
pub use peer::PeerCertificate;
pub use request::{BadRequest, CertificateRequest};
pub(crate) use secret::is_exposed;
pub use secret::{Secret, SecretError, SecretFileError, Warning};
pub use serial::{BadSerial, Serial};
pub use user_cert::{UserCertificate, UserCertificateError};

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};

use provider::provider;
use resolver::ServerCertificates;
use rotation::Rotation;

/// The secrets and certificates of the cluster that this agent trusts.
pub struct Trust {
    generations: Arc<[Arc<Generation>]>,
    rotation: Arc<Rotation>,
    user_certificates: Vec<Arc<UserCertificate>>,
}

impl Trust {
    /// Derives one generation per secret and issues a leaf under each.
    ///
    /// This agent prefers the first secret and trusts all of them. A repeated
    /// secret counts once. `lifetime` is that of a leaf. Takes a few tens of
    /// milliseconds and 19 MiB per secret: call it outside of the async
    /// runtime.
    ///
    /// # Errors
    /// [`TrustError::NoSecret`] for an empty list; others if the machine lacks
    /// memory or entropy.
    pub(crate) fn new(
        secrets: &[Secret],
        names: LeafNames,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let mut generations: Vec<Arc<Generation>> = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let generation = Generation::derive(secret)?;
            if generations
                .iter()
                .any(|known| known.ca_der() == generation.ca_der())
            {
                tracing::warn!(
                    "two cluster secrets are the same (cluster {}); one of them is ignored",
                    generation.fingerprint()
                );
                continue;
            }
            generations.push(Arc::new(generation));
        }
        Self::of_generations(generations, names, lifetime, now)
    }

    fn of_generations(
        generations: Vec<Arc<Generation>>,
        names: LeafNames,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        if generations.is_empty() {
            return Err(TrustError::NoSecret);
        }
        let generations: Arc<[Arc<Generation>]> = generations.into();
        let rotation = Arc::new(Rotation::start(&generations, names, lifetime, now)?);
        Ok(Self {
            generations,
            rotation,
            user_certificates: Vec::new(),
        })
    }

    /// Adds a certificate of the operator, to be read again when its files
    /// change.
    #[must_use]
    pub(crate) fn with_user_certificate(mut self, certificate: Arc<UserCertificate>) -> Self {
        self.user_certificates.push(certificate);
        self
    }

    /// The generations in the order of their secrets. The first one signs, all
    /// are trusted.
    pub fn generations(&self) -> &[Arc<Generation>] {
        &self.generations
    }

    /// The server name that makes a peer answer with its leaf of this
    /// generation. `None` if there is no such generation.
    pub(crate) fn peer_sni(&self, generation: usize) -> Option<&str> {
        self.generations
            .get(generation)
            .map(|generation| generation.peer_sni())
    }

    /// The leaf for a connection of this generation; call this for each
    /// connection, since leaves rotate. `None` if there is no such generation.
    pub fn leaf(&self, generation: usize) -> Option<Arc<Leaf>> {
        self.rotation.current().leaves.get(generation).cloned()
    }

    /// Issues all leaves again and reads the operator's certificate again.
    /// Returns when the next rotation is due, at half of the leaves' life. See
    /// [`Trust::refresh`].
    ///
    /// # Errors
    /// No certificate could be issued; the old leaves stay in use.
    pub fn rotate(&self, now: SystemTime) -> Result<SystemTime, TrustError> {
        self.reload_user_certificate();
        self.rotation.rotate(&self.generations, now)
    }

    /// Rotates if that is due, or if the clock was set so far that the leaves
    /// may not be valid any more. Also reads a changed certificate of the
    /// operator. Call it about once a minute.
    ///
    /// # Errors
    /// As [`Trust::rotate`].
    pub(crate) fn refresh(&self, now: SystemTime) -> Result<(), TrustError> {
        if self.rotation.is_due(now) {
            self.rotate(now)?;
        } else {
            self.reload_user_certificate();
        }
        Ok(())
    }

    /// Issues all leaves again with other names, for example after the node has
    /// joined a Swarm. Does nothing if the names are the same.
    ///
    /// # Errors
    /// As [`Trust::rotate`].
    pub(crate) fn rename(&self, names: LeafNames, now: SystemTime) -> Result<(), TrustError> {
        self.rotation.rename(&self.generations, names, now)
    }

    /// Chooses the certificate for an incoming connection by the server name
    /// that the client asks for, after every rotation too. Callers other than
    /// agents get the operator's certificate, if there is one.
    pub(crate) fn server_resolver(
        &self,
        certificate: Option<Arc<UserCertificate>>,
    ) -> Arc<dyn ResolvesServerCert> {
        Arc::new(ServerCertificates::new(
            Arc::clone(&self.generations),
            Arc::clone(&self.rotation),
            certificate,
        ))
    }

    /// Verifies client certificates against all generations. The handshake
    /// succeeds without a certificate, for the other ways to authenticate, and
    /// fails with a wrong one.
    ///
    /// # Errors
    /// Never for the authorities of a [`Generation`].
    pub(crate) fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
        let mut roots = RootCertStore::empty();
        for generation in self.generations.iter() {
            roots
                .add(generation.ca_der().clone())
                .map_err(TrustError::Unusable)?;
        }
        Ok(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .allow_unauthenticated()
                .build()?,
        )
    }

    /// Recognises the certificate of an agent, and its generation.
    ///
    /// `None` for all else: a client's certificate of the same cluster, one of
    /// another cluster, an expired one, bytes that are not a certificate. The
    /// handshake proves that the client has the key.
    pub(crate) fn classify(&self, cert_der: &[u8]) -> Option<PeerCertificate> {
        peer::classify(&self.generations, cert_der)
    }

    /// Recognises a client's certificate, as [`ClientCredential::issue`] makes
    /// it.
    ///
    /// `None` for all else, an agent's too: no certificate is both. The caller
    /// checks at each request that the name is accepted and that the
    /// certificate is still valid.
    pub(crate) fn client(&self, cert_der: &[u8]) -> Option<ClientCertificate> {
        client::classify(&self.generations, cert_der)
    }

    fn reload_user_certificate(&self) {
        for certificate in &self.user_certificates {
            match certificate.reload() {
                Ok(true) => tracing::info!("the changed certificate file is in use"),
                Ok(false) => {}
                // The two files may be replaced one after the other; the next
                // reload tries again.
                Err(error) => tracing::warn!("keeping the old certificate: {error}"),
            }
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("generations", &self.generations)
            .finish_non_exhaustive()
    }
}
