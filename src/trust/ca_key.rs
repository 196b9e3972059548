//! Signs with the authority's P-256 key, deterministically.
//!
//! ring signs ECDSA with a random nonce, so that each agent would have another
//! certificate of the authority. RFC 6979 derives the nonce from key and
//! message: all copies are the same bytes, and an operator can compare or pin
//! them.

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use zeroize::Zeroizing;

use super::error::TrustError;

/// Signs certificates. The key is wiped when dropped.
pub(super) struct CaKey {
    key: SigningKey,
    public: Vec<u8>,
}

impl CaKey {
    /// Takes the first candidate that is a private key of P-256: not zero and
    /// less than the order of the group (FIPS 186-5 A.2.2). All but one in 2^32
    /// are.
    ///
    /// # Errors
    /// No candidate is a private key.
    pub(super) fn from_candidates(
        candidates: impl IntoIterator<Item = Zeroizing<[u8; 32]>>,
    ) -> Result<Self, TrustError> {
        candidates
            .into_iter()
            .find_map(|scalar| SigningKey::from_slice(&*scalar).ok())
            .map(|key| Self {
                public: key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
                key,
            })
            .ok_or(TrustError::Derive)
    }
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self
            .key
            .try_sign(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::SigningKey as _;

    /// The order of P-256, SEC 2 §2.4.2.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];

    fn from_candidates(candidates: &[[u8; 32]]) -> Result<CaKey, TrustError> {
        CaKey::from_candidates(candidates.iter().copied().map(Zeroizing::new))
    }

    #[test]
    fn candidates_that_are_not_private_keys_are_skipped() {
        let key = from_candidates(&[[0; 32], ORDER, [0xff; 32], [7; 32], [8; 32]]).unwrap();
        assert_eq!(key.public, from_candidates(&[[7; 32]]).unwrap().public);
    }

    #[test]
    fn without_a_usable_candidate_there_is_no_key() {
        assert!(matches!(
            from_candidates(&[[0; 32], ORDER]),
            Err(TrustError::Derive)
        ));
    }

    #[test]
    fn signatures_are_deterministic_and_verify_with_ring() {
        let key = from_candidates(&[[7; 32]]).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature, key.sign(b"message").unwrap());
        let public = ring::signature::UnparsedPublicKey::new(
            &ring::signature::ECDSA_P256_SHA256_ASN1,
            &key.public,
        );
        public.verify(b"message", &signature).unwrap();
    }
}
