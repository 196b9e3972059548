//! Who belongs to this cluster, decided by one shared secret.
//!
//! Every agent derives the same certificate authority from the secret ([`Generation`]) and mints its own
//! short-lived leaf under it ([`Leaf`]), so whoever holds the secret is a member and nobody else is.
//! [`Trust`] keeps the generations of a rollover side by side and the leaves fresh.
//!
//! What this does not give: any holder of the secret can claim any node's name. Which address belongs to
//! which node is Swarm's word, not a certificate's. What a caller may do is decided elsewhere.

mod ca_key;
mod client;
mod ed25519;
mod error;
mod generation;
mod issue;
mod key_id;
mod leaf;
mod peer;
mod provider;
mod resolver;
mod rotation;
mod secret;
mod serial;
mod stretch;
mod user_cert;

#[cfg(test)]
mod tests;

pub use client::ClientCertificate;
pub use ed25519::{Ed25519Error, ed25519_public};
pub use error::TrustError;
pub use generation::Generation;
pub use issue::ClientCredential;
pub use leaf::{Leaf, LeafNames};
pub use peer::PeerCertificate;
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

/// Everything this agent knows about who belongs to the cluster.
pub struct Trust {
    generations: Arc<[Arc<Generation>]>,
    rotation: Arc<Rotation>,
    user_certificates: Vec<Arc<UserCertificate>>,
}

impl Trust {
    /// Derives one generation per secret and mints a leaf under each.
    ///
    /// The first secret is the one this agent prefers; all of them are trusted. A secret listed twice counts
    /// once. `lifetime` is that of a leaf. Takes a few tens of milliseconds and 19 MiB per secret, so call it
    /// off the reactor.
    ///
    /// # Errors
    /// [`TrustError::NoSecret`] for an empty list; the rest means that the machine is out of memory or entropy.
    pub fn new(
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
                log::warn!(
                    "a cluster secret is listed twice (cluster {})",
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

    /// Keeps the operator's own certificate fresh as well.
    #[must_use]
    pub fn with_user_certificate(mut self, certificate: Arc<UserCertificate>) -> Self {
        self.user_certificates.push(certificate);
        self
    }

    /// The generations in the order of their secrets: the first one signs, all are trusted.
    pub fn generations(&self) -> &[Arc<Generation>] {
        &self.generations
    }

    /// The server name to ask a peer for, so that it answers with its leaf of this generation.
    /// `None` if there is no such generation.
    pub fn peer_sni(&self, generation: usize) -> Option<&str> {
        self.generations
            .get(generation)
            .map(|generation| generation.peer_sni())
    }

    /// The leaf to show to a peer on a connection of this generation. Ask anew for each connection: it rotates.
    /// `None` if there is no such generation.
    pub fn leaf(&self, generation: usize) -> Option<Arc<Leaf>> {
        self.rotation.current().leaves.get(generation).cloned()
    }

    /// Mints all leaves anew and reads the operator's certificate again. Returns when to call it next:
    /// at half of the leaves' life. [`Trust::refresh`] does the waiting.
    ///
    /// # Errors
    /// When no certificate could be minted; the old leaves then stay in use.
    pub fn rotate(&self, now: SystemTime) -> Result<SystemTime, TrustError> {
        self.reload_user_certificate();
        self.rotation.rotate(&self.generations, now)
    }

    /// Rotates if it is time to, or if the clock was set so far that the leaves may no longer be valid, and
    /// picks up a changed certificate file of the operator's. Meant to be called about once a minute.
    ///
    /// # Errors
    /// As [`Trust::rotate`].
    pub fn refresh(&self, now: SystemTime) -> Result<(), TrustError> {
        if self.rotation.is_due(now) {
            self.rotate(now)?;
        } else {
            self.reload_user_certificate();
        }
        Ok(())
    }

    /// Mints all leaves anew with other names, e.g. when the node has joined a Swarm. Does nothing if the
    /// names are those it has.
    ///
    /// # Errors
    /// As [`Trust::rotate`].
    pub fn rename(&self, names: LeafNames, now: SystemTime) -> Result<(), TrustError> {
        self.rotation.rename(&self.generations, names, now)
    }

    /// Picks the certificate of each incoming connection by the server name that the client asks for. Sees
    /// every later rotation. Everyone but other agents is answered with the operator's certificate, if given.
    pub fn server_resolver(
        &self,
        certificate: Option<Arc<UserCertificate>>,
    ) -> Arc<dyn ResolvesServerCert> {
        Arc::new(ServerCertificates::new(
            Arc::clone(&self.generations),
            Arc::clone(&self.rotation),
            certificate,
        ))
    }

    /// Verifies client certificates against all generations. A client without one is let through, for the
    /// other ways to authenticate; a client with a wrong one is not.
    ///
    /// # Errors
    /// Never for the authorities that [`Generation`] makes.
    pub fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
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

    /// Says whether a client certificate is that of an agent, and of which generation.
    ///
    /// `None` for everything else: a person's certificate of the same cluster, another cluster's, an expired
    /// one, bytes that are no certificate. That the client holds the key is for the handshake to prove.
    pub fn classify(&self, cert_der: &[u8]) -> Option<PeerCertificate> {
        peer::classify(&self.generations, cert_der)
    }

    /// Says whose certificate a client has shown, if it is one that [`ClientCredential::issue`] makes.
    ///
    /// `None` for everything else, an agent's too: no certificate is both. Whether the name is let in, and
    /// whether the certificate still holds at a later request, is asked elsewhere.
    pub fn client(&self, cert_der: &[u8]) -> Option<ClientCertificate> {
        client::classify(&self.generations, cert_der)
    }

    fn reload_user_certificate(&self) {
        for certificate in &self.user_certificates {
            match certificate.reload() {
                Ok(true) => log::info!("the certificate file has changed and is in use"),
                Ok(false) => {}
                // The files are often replaced one after the other, so this may be over by the next reload.
                Err(error) => log::warn!("keeping the certificate in use: {error}"),
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
