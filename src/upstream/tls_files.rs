//! Reads PEM files for outgoing TLS into the form of Pingora's peers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;

use crate::config::EngineTls;

/// A PEM file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FileError {
    path: PathBuf,
    reason: String,
}

/// Roots and an optional identity for outgoing connections.
pub(crate) struct ClientFiles {
    /// The certificate authorities to verify the server with.
    pub(crate) roots: Arc<[WrappedX509]>,
    /// The client certificate and its key.
    pub(crate) identity: Option<Arc<CertKey>>,
    /// Differs whenever the files differ.
    pub(crate) fingerprint: Vec<u8>,
}

impl ClientFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// Fails if a file is missing, is not PEM, or holds something else than
    /// expected.
    pub(crate) fn load(files: &EngineTls) -> Result<Self, FileError> {
        let roots = certificates(&files.ca_file)?;
        let mut fingerprint = roots.concat();
        let identity = match &files.certificate {
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                fingerprint.extend(chain.concat());
                let der = PrivateKeyDer::from_pem_file(key).map_err(|e| error(key, e))?;
                Some(Arc::new(CertKey::new(chain, der.secret_der().to_vec())))
            }
            None => None,
        };
        Ok(Self {
            roots: wrap(roots),
            identity,
            fingerprint,
        })
    }
}

/// Wraps certificates as the roots of a peer. The caller must have parsed them:
/// Pingora's wrapper panics on malformed ones.
pub(crate) fn wrap(certificates: Vec<Vec<u8>>) -> Arc<[WrappedX509]> {
    let wrapped = certificates
        .into_iter()
        .map(|der| WrappedX509::new(der, parse_x509));
    wrapped.collect()
}

/// Reads and parses all certificates of a PEM file.
///
/// # Errors
/// Fails if the file has none, or one of them is malformed.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_file_iter(path).map_err(|e| error(path, e))? {
        let der = der.map_err(|e| error(path, e))?;
        ParsedCertificate::try_from(&der).map_err(|e| error(path, e))?;
        found.push(der.to_vec());
    }
    if found.is_empty() {
        return Err(error(path, "holds no certificate"));
    }
    Ok(found)
}

fn error(path: &Path, reason: impl ToString) -> FileError {
    FileError {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
