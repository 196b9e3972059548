//! Reads the PEM of an Ed25519 public key, as `openssl pkey -pubout` writes it.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::{self, PemObject};
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a file is not the public key of an Ed25519 pair.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum Ed25519Error {
    #[error("holds no public key in PEM form (`-----BEGIN PUBLIC KEY-----`): {0}")]
    Pem(pem::Error),
    #[error("is not an Ed25519 public key")]
    OtherKey,
}

/// The 32 bytes of the key in `pem` (RFC 8410 §4).
///
/// # Errors
/// The text holds another kind of key, or none.
pub(crate) fn ed25519_public(pem: &[u8]) -> Result<[u8; 32], Ed25519Error> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(Ed25519Error::Pem)?;
    raw_key(der.as_ref()).ok_or(Ed25519Error::OtherKey)
}

fn raw_key(der: &[u8]) -> Option<[u8; 32]> {
    let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
    let key = info.subject_public_key;
    // RFC 8410 §3: the algorithm has no parameters.
    let is_ed25519 =
        info.algorithm.algorithm == OID_SIG_ED25519 && info.algorithm.parameters.is_none();
    if !rest.is_empty() || !is_ed25519 || key.unused_bits != 0 {
        return None;
    }
    key.data.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A key in DER, as `openssl genpkey -algorithm ed25519` makes it.
    fn der() -> Vec<u8> {
        STANDARD
            .decode("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")
            .unwrap()
    }

    fn read(der: &[u8]) -> Result<[u8; 32], Ed25519Error> {
        let text = STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        ed25519_public(pem.as_bytes())
    }

    #[test]
    fn the_key_is_the_last_32_bytes() {
        assert_eq!(read(&der()).unwrap(), der()[12..]);
    }

    #[test]
    fn another_algorithm_or_another_length_is_refused() {
        let x25519 = {
            let mut der = der();
            der[8] = 0x6e;
            der
        };
        let with_parameters = {
            let mut der = [&der()[..9], &[5, 0], &der()[9..]].concat();
            der[1] += 2;
            der[3] += 2;
            der
        };
        let short = {
            let mut der = der()[..43].to_vec();
            der[1] -= 1;
            der[10] -= 1;
            der
        };
        let unused_bits = {
            let mut der = der();
            der[11] = 1;
            der
        };
        let p256 = rcgen::KeyPair::generate().unwrap();
        let p256 = rcgen::PublicKeyData::subject_public_key_info(&p256);
        let longer = [&der()[..], &[0]].concat();
        for der in [x25519, with_parameters, short, unused_bits, p256, longer] {
            assert!(
                matches!(read(&der), Err(Ed25519Error::OtherKey)),
                "{der:02x?}"
            );
        }
    }

    #[test]
    fn a_text_without_a_public_key_is_refused() {
        for text in [
            "",
            "MCowBQYDK2VwAyEA",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let error = ed25519_public(text.as_bytes()).unwrap_err();
            assert!(matches!(error, Ed25519Error::Pem(_)), "{text}: {error}");
        }
    }
}
