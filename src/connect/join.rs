//! Gets a certificate for an invitation, and the next one for a certificate.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::CertKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use tokio::time::timeout;

use crate::config::AgentUrl;
use crate::connect::access::Authority;
use crate::gateway::join::{Asked, Given};
use crate::upstream::client::{Budget, Client};
use crate::upstream::error;
use crate::upstream::request;

/// How long an agent may take: it may have to ask a manager's.
const DEADLINE: Duration = Duration::from_secs(30);

/// Bounds the answer, in bytes.
const LONGEST: usize = 64 << 10;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum JoinError {
    /// Another agent may be asked.
    #[error("{0}")]
    Unreached(String),
    #[error("{0}")]
    Refused(String),
    #[error("the files of the certificate cannot be used: {0}")]
    Files(String),
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// The certificate for an invitation with this secret.
///
/// # Errors
/// The agent does not answer, or refuses the invitation.
pub(crate) async fn join(
    authority: &Authority,
    url: &AgentUrl,
    secret: String,
    request: &str,
) -> Result<Given, JoinError> {
    let asked = Asked::new(Some(secret), request.to_owned());
    let peer = peer(authority, url).await?;
    ask(&peer, "/skep/v1/join", &asked).await
}

/// The next certificate for the holder of this one.
///
/// # Errors
/// The agent does not answer, or refuses the certificate.
pub(crate) async fn renew(
    authority: &Authority,
    url: &AgentUrl,
    certificate: &[u8],
    key: &[u8],
    request: &str,
) -> Result<Given, JoinError> {
    let files = |e: rustls::pki_types::pem::Error| JoinError::Files(e.to_string());
    let certificate = CertificateDer::from_pem_slice(certificate).map_err(files)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(files)?;
    let mut peer = peer(authority, url).await?;
    let own = CertKey::new(vec![certificate.to_vec()], key.secret_der().to_vec());
    peer.client_cert_key = Some(Arc::new(own));
    let asked = Asked::new(None, request.to_owned());
    ask(&peer, "/skep/v1/renew", &asked).await
}

async fn peer(authority: &Authority, url: &AgentUrl) -> Result<HttpPeer, JoinError> {
    let peer = authority.peer(url).await;
    peer.map_err(|e| JoinError::Unreached(e.to_string()))
}

async fn ask(peer: &HttpPeer, path: &str, asked: &Asked) -> Result<Given, JoinError> {
    let body = serde_json::to_vec(asked).map_err(|e| JoinError::Refused(e.to_string()))?;
    let body = Bytes::from(body);
    let sent = async {
        let mut head = request::build(&Method::POST, path)?;
        head.insert_header(CONTENT_TYPE, "application/json")?;
        head.insert_header(CONTENT_LENGTH, body.len())?;
        let budget = Budget::one(LONGEST);
        Client::new().exchange(peer, head, body, &budget).await
    };
    let answer = match timeout(DEADLINE, sent).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) if error::was_not_reached(&e) => {
            return Err(JoinError::Unreached(error::explain(&e)));
        }
        // It may have used the invitation up.
        Ok(Err(e)) => return Err(JoinError::Refused(error::explain(&e))),
        Err(_) => return Err(JoinError::Refused(format!("no answer within {DEADLINE:?}"))),
    };
    let said = || serde_json::from_slice::<Refusal>(&answer.body).map(|refusal| refusal.message);
    match answer.head.status.as_u16() {
        200 => serde_json::from_slice(&answer.body).map_err(|e| JoinError::Refused(e.to_string())),
        // Nothing was decided.
        503 => Err(JoinError::Unreached(said().unwrap_or_default())),
        status => {
            Err(JoinError::Refused(said().unwrap_or_else(|_| {
                format!("it answered with status {status}")
            })))
        }
    }
}
