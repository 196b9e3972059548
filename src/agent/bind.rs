//! Binds the listeners with TLS and the sockets.

use std::sync::Arc;

use pingora::listeners::ALPN;
use pingora::listeners::tls::{Acceptor, TlsSettings};

use crate::agent::certificates::Certified;
use crate::agent::error::StartError;
use crate::authenticate::handshake::Handshake;
use crate::config::{Config, Socket};
use crate::listen::Listener;
use crate::platform::{LocalListener, SocketFile};
use crate::trust::{Trust, UserCertificate};

/// Binds what the configuration names, except the listeners without TLS.
///
/// # Errors
/// If an address or a socket cannot be listened on, or TLS cannot be set up.
pub(super) async fn all(
    config: &Config,
    certified: &Certified,
) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::new();
    for (listen, certificate) in config.listen.iter().zip(&certified.own) {
        let acceptor = Arc::new(acceptor(&certified.trust, certificate.clone())?);
        let address = listen.address;
        let bound = Listener::tls(address, acceptor).await;
        let listener = bound.map_err(|error| StartError::Listen { address, error })?;
        if let Some(address) = listener.address() {
            tracing::info!("listening on https://{address}");
        }
        listeners.push(listener);
    }
    for socket in &config.sockets {
        listeners.push(local(socket)?);
    }
    Ok(listeners)
}

fn local(socket: &Socket) -> Result<Listener, StartError> {
    let file = SocketFile {
        owner: socket.owner,
        group: socket.group,
        mode: socket.mode,
    };
    let bound = LocalListener::bind(&socket.path, file);
    let bound = bound.map_err(|error| StartError::Socket {
        path: socket.path.clone(),
        error,
    })?;
    tracing::info!("listening on unix://{}", socket.path.display());
    Ok(Listener::Local(bound, Some(socket.path.as_path().into())))
}

fn acceptor(
    trust: &Arc<Trust>,
    certificate: Option<Arc<UserCertificate>>,
) -> Result<Acceptor, StartError> {
    let verifier = trust.client_verifier()?;
    let handshake = Handshake::new(trust.clone());
    let mut tls = TlsSettings::with_callbacks(Box::new(handshake))?;
    tls.set_cert_resolver(trust.server_resolver(certificate));
    tls.set_client_cert_verifier(verifier);
    // HTTP/1.1 only: over HTTP/2 an upload corrupts the pooled upstream
    // connection (pingora#935), and nothing can be hijacked.
    tls.set_alpn(ALPN::H1);
    Ok(tls.build())
}
