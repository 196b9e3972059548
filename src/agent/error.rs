//! Defines why an agent does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use skep_filters::auth::KeyError;

use crate::agent::plain::PublishedError;
use crate::agent::secrets::SecretsError;
use crate::gateway::guard::GuardError;
use crate::portainer::ProofError;
use crate::trust::{TrustError, UserCertificateError};
use crate::upstream::tls_files::FileError;

/// Why an agent does not start. The messages say what to correct.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cluster has no valid secret.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The files for the connection to the engine cannot be used.
    #[error("engine: {0}")]
    Engine(#[from] FileError),
    /// The settings for Portainer servers cannot be applied.
    #[error("auth.portainer: {0}")]
    Portainer(#[from] ProofError),
    /// The settings for authentication cannot be applied.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The audit log cannot be written.
    #[error("audit.file: {path}: {error}")]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", in_use(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The port of an address without TLS is published.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// The socket cannot be listened on.
    #[error("cannot listen on unix://{}: {error}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The cluster's keys or certificates cannot be made.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The keys for calls to other agents cannot be made.
    #[error("the keys for calls to other agents cannot be used: {0}")]
    Keys(#[from] KeyError),
    /// The operator's own certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] UserCertificateError),
    /// The listeners' TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] Box<pingora::Error>),
}

fn in_use(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another program has the port, see `ss -ltnp`",
        _ => "",
    }
}
