//! Who is calling? The first step of every request.
//!
//! The signature proves it; for agents the TLS client certificate of the same
//! generation as well. What the caller may do is the next step's question.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::TlsAccept;
use pingora::protocols::tls::TlsRef;
use pingora::proxy::Session;
use skep_filters::auth::{BodyBinding, KeyKind, Principal, Verifier};

use crate::clock;
use crate::reject::Reject;
use crate::trust::{PeerCertificate, Trust};

/// A caller who has proved who it is.
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What the signature says of the body.
    pub body: BodyBinding,
    /// Whether the key may send streams that no digest covers.
    pub unsigned_streams: bool,
}

/// Checks the signature of a request and who may use its key.
///
/// # Errors
/// Says why the caller is refused.
pub fn authenticate(session: &Session, verifier: &Verifier) -> Result<Caller, Reject> {
    let head = session.req_header();
    let signed = verifier.verify(head, clock::now().as_secs())?;
    let mut node_id = None;
    if signed.key.kind() == KeyKind::Agent {
        // The key alone is not enough: the connection must be an agent's too.
        let agent = peer_certificate(session).ok_or(Reject::NotAnAgent)?;
        let expected = signed.key.id().strip_prefix("agent-");
        if expected != Some(agent.fingerprint.as_str()) {
            return Err(Reject::NotAnAgent);
        }
        node_id.clone_from(&agent.certificate.node_id);
    }
    Ok(Caller {
        principal: Principal::of(signed.key, &head.headers, node_id)?,
        body: signed.body,
        unsigned_streams: signed.key.unsigned_streams(),
    })
}

/// The other end showed an agent's certificate.
struct Agent {
    certificate: PeerCertificate,
    fingerprint: String,
}

fn peer_certificate(session: &Session) -> Option<&Agent> {
    let tls = session.digest()?.ssl_digest.as_ref()?;
    tls.extension.get::<Agent>()
}

/// Looks at the client's certificate once a handshake.
pub struct Handshake {
    trust: Arc<Trust>,
}

impl Handshake {
    /// Recognises the agents of these generations.
    pub fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }
}

#[async_trait]
impl TlsAccept for Handshake {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        // As rustls names its variant, not as TLS does.
        if tls.version() != Some("TLSv1_3") {
            return None;
        }
        let certificate = self.trust.classify(tls.peer_certificate_der()?)?;
        let generation = self.trust.generations().get(certificate.generation)?;
        Some(Arc::new(Agent {
            certificate,
            fingerprint: generation.fingerprint().to_owned(),
        }))
    }
}
