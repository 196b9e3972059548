//! Defines the errors of setting up trust and of issuing certificates.

use rustls::server::VerifierBuilderError;

/// Why trust cannot be set up, or a certificate cannot be issued. No input from a
/// caller causes these.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum TrustError {
    #[error("{0:?} cannot be the name of a client's certificate")]
    ClientName(String),
    #[error("no key could be derived from the cluster secret")]
    Derive,
    #[error("a certificate could not be made: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("a new private key is not usable: {0}")]
    Key(ring::error::KeyRejected),
    #[error("no cluster secret is given; make one with `skep secret`")]
    NoSecret,
    #[error("the system's random number generator failed")]
    Random,
    #[error(
        "the cluster secret could not be stretched (this needs 19 MiB of memory for a moment): {0}"
    )]
    Stretch(argon2::Error),
    #[error("a new certificate or its key is not usable: {0}")]
    Unusable(rustls::Error),
    #[error("the cluster's certificate authorities cannot verify clients: {0}")]
    Verifier(#[from] VerifierBuilderError),
}
