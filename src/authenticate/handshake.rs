//! Reads the certificate that an agent or a client shows in its TLS handshake.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::tls::TlsRef;

use crate::trust::{PeerCertificate, Trust};

/// A connection with an agent's certificate.
pub(super) struct Agent {
    pub(super) certificate: PeerCertificate,
    pub(super) fingerprint: String,
}

/// Reads the client's certificate, once for each handshake.
pub(crate) struct Handshake {
    trust: Arc<Trust>,
}

impl Handshake {
    /// Recognises the agents and the clients of these generations.
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }

    fn agent(&self, tls: &TlsRef) -> Option<Agent> {
        // The name is that of rustls's variant, not of TLS.
        if tls.version() != Some("TLSv1_3") {
            return None;
        }
        let certificate = self.trust.classify(tls.peer_certificate_der()?)?;
        let generation = self.trust.generations().get(certificate.generation)?;
        Some(Agent {
            certificate,
            fingerprint: generation.fingerprint().to_owned(),
        })
    }
}

#[async_trait]
impl TlsAccept for Handshake {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        if let Some(agent) = self.agent(tls) {
            return Some(Arc::new(agent));
        }
        let client = self.trust.client(tls.peer_certificate_der()?)?;
        Some(Arc::new(client))
    }
}
