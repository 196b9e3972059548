//! Gets the certificate of a cluster's CA from an agent, for somebody who has nothing
//! but its hash. The connection verifies nothing: what it brings is compared with the
//! hash, and only then trusted for other connections.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use skep_filters::auth::Audience;

use crate::config::AgentUrl;
use crate::trust::audience_of;

/// How long each step may take.
const STEP: Duration = Duration::from_secs(5);

/// Bounds the answer, in bytes.
const LONGEST: u64 = 64 << 10;

const REQUEST: &[u8] =
    b"GET /skep/v1/ca HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum PinnedError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("its answer has no certificate: is an agent there?")]
    NoCertificate,
    #[error(
        "another cluster answers there, or somebody in between: its CA is not the one of the \
         invitation. Nothing was sent to it"
    )]
    OtherCluster,
}

/// The certificate of the CA with this hash, from the agent at this URL. It blocks.
///
/// # Errors
/// The agent does not answer, or its CA is another one.
pub(crate) fn authority(
    url: &AgentUrl,
    audience: &Audience,
) -> Result<CertificateDer<'static>, PinnedError> {
    let answer = fetch(url)?;
    let found = CertificateDer::from_pem_slice(&answer);
    let found = found.map_err(|_| PinnedError::NoCertificate)?;
    match audience_of(&found) {
        Some(own) if own == *audience => Ok(found),
        Some(_) => Err(PinnedError::OtherCluster),
        None => Err(PinnedError::NoCertificate),
    }
}

fn fetch(url: &AgentUrl) -> Result<Vec<u8>, PinnedError> {
    let mut failed = io::Error::other(format!("{} has no address", url.host));
    let mut addresses: Vec<_> = (url.host.as_str(), url.port).to_socket_addrs()?.collect();
    // `localhost` often resolves to ::1 first, where the agent may not listen.
    addresses.sort_by_key(std::net::SocketAddr::is_ipv6);
    for address in addresses {
        match TcpStream::connect_timeout(&address, STEP) {
            Ok(stream) => return ask(stream, url),
            Err(e) => failed = e,
        }
    }
    Err(failed.into())
}

fn ask(stream: TcpStream, url: &AgentUrl) -> Result<Vec<u8>, PinnedError> {
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Nothing(provider.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let mut tls = StreamOwned::new(connection, stream);
    tls.write_all(REQUEST)?;
    let mut answer = Vec::new();
    match tls.take(LONGEST).read_to_end(&mut answer) {
        // The hash tells whether something is missing.
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(e.into()),
        Ok(_) | Err(_) => Ok(answer),
    }
}

/// Accepts every certificate: see the module.
#[derive(Debug)]
struct Nothing(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Nothing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
