//! Makes an operator's key: an Ed25519 pair in the PEM that `openssl genpkey` and
//! `openssl pkey -pubout` write (RFC 8410).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::error::TrustError;

/// The DER before the 32 bytes of a private key, without the public half, which not
/// every version of OpenSSL reads.
const PRIVATE: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The DER before the 32 bytes of a public key.
const PUBLIC: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The two halves of a key, in PEM.
pub(crate) struct OperatorKey {
    pub(crate) private_pem: Zeroizing<String>,
    pub(crate) public_pem: String,
}

impl OperatorKey {
    /// A new key.
    ///
    /// # Errors
    /// The random number generator fails.
    pub(crate) fn generate() -> Result<Self, TrustError> {
        let mut seed = Zeroizing::new([0; 32]);
        let filled = SystemRandom::new().fill(seed.as_mut());
        filled.map_err(|_| TrustError::Random)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref());
        let pair = pair.map_err(|_| TrustError::Random)?;
        let der = Zeroizing::new([&PRIVATE[..], seed.as_ref()].concat());
        Ok(Self {
            private_pem: Zeroizing::new(pem("PRIVATE KEY", &der)),
            public_pem: public(&pair),
        })
    }

    /// The key of this PEM; `None` if it holds no private Ed25519 key.
    pub(crate) fn read(private_pem: &str) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(private_pem.as_bytes()).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der()).ok()?;
        Some(Self {
            private_pem: Zeroizing::new(private_pem.to_owned()),
            public_pem: public(&pair),
        })
    }
}

fn public(pair: &Ed25519KeyPair) -> String {
    let der = [&PUBLIC[..], pair.public_key().as_ref()].concat();
    pem("PUBLIC KEY", &der)
}

/// One line of base64: both keys are short enough (RFC 7468 §2: 64 characters).
fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        *text
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::ed25519_public;

    /// Made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`.
    const OPENSSL: [&str; 2] = [
        "-----BEGIN PRIVATE KEY-----\n\
         MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
         -----END PRIVATE KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n\
         MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
         -----END PUBLIC KEY-----\n",
    ];

    #[test]
    fn the_public_half_of_openssls_key_is_the_one_that_openssl_writes() {
        let key = OperatorKey::read(OPENSSL[0]).unwrap();
        assert_eq!(key.public_pem, OPENSSL[1]);
    }

    #[test]
    fn a_new_key_has_the_form_of_openssls_and_is_new() {
        let [one, other] = [(); 2].map(|()| OperatorKey::generate().unwrap());
        assert_ne!(*one.private_pem, *other.private_pem);
        assert_eq!(one.private_pem.len(), OPENSSL[0].len());
        assert_eq!(one.private_pem[..49], OPENSSL[0][..49]);
        let again = OperatorKey::read(&one.private_pem).unwrap();
        assert_eq!(again.public_pem, one.public_pem);
        assert!(ed25519_public(one.public_pem.as_bytes()).is_ok());
    }

    #[test]
    fn a_text_without_a_private_key_is_no_key() {
        for text in ["", OPENSSL[1], "-----BEGIN PRIVATE KEY-----\n"] {
            assert!(OperatorKey::read(text).is_none(), "{text}");
        }
        let p256 = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(OperatorKey::read(&p256).is_none());
    }
}
