//! Reads and makes certificate requests (PKCS #10): a client's key stays where it was
//! made, and only its public half travels.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256,
};
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::Trust;
use super::error::TrustError;
use super::issue::Issued;
use super::leaf::PublicKey;

/// The longest request, in bytes of PEM.
const LONGEST: usize = 8 << 10;

/// A certificate request whose sender has the key.
#[derive(Debug)]
pub struct CertificateRequest {
    /// An uncompressed point of P-256.
    public_key: Vec<u8>,
}

/// The text is no request that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no certificate request for a P-256 key in PEM form, signed with SHA-256 \
     (`-----BEGIN CERTIFICATE REQUEST-----`)"
)]
pub struct BadRequest;

impl CertificateRequest {
    /// A request for a fresh key: the request in PEM, and the key in PEM (PKCS#8).
    ///
    /// # Errors
    /// The random number generator fails.
    pub fn make() -> Result<(String, Zeroizing<String>), TrustError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok((of_key(&key)?, Zeroizing::new(key.serialize_pem())))
    }

    /// A request for a key in PEM (PKCS#8).
    ///
    /// # Errors
    /// The text is no such key.
    pub(crate) fn for_key(pem: &str) -> Result<String, TrustError> {
        of_key(&KeyPair::from_pem(pem)?)
    }

    /// Reads a request. The names in it do not matter: the cluster knows who asks.
    ///
    /// # Errors
    /// It is none, has another kind of key, or was not signed with it.
    pub fn read(pem: &str) -> Result<Self, BadRequest> {
        if pem.len() > LONGEST {
            return Err(BadRequest);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| BadRequest)?;
        read(&der).ok_or(BadRequest)
    }
}

fn of_key(key: &KeyPair) -> Result<String, TrustError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.pem()?)
}

fn read(der: &[u8]) -> Option<CertificateRequest> {
    let (rest, request) = X509CertificationRequest::from_der(der).ok()?;
    let info = &request.certification_request_info;
    let key = &info.subject_pki;
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let is_p256 = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == OID_EC_P256;
    let is_sha256 = request.signature_algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA256;
    if !rest.is_empty() || !is_p256 || !is_sha256 {
        return None;
    }
    let public_key = key.subject_public_key.data.to_vec();
    let signature = &request.signature_value.data;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public_key)
        .verify(info.raw, signature)
        .ok()?;
    // Points in the compressed form are valid, but agents write the other one.
    (public_key.len() == 65).then_some(CertificateRequest { public_key })
}

impl Trust {
    /// Issues a certificate for the key of a request, with the first generation.
    ///
    /// # Errors
    /// As [`super::ClientCredential::issue`].
    pub(crate) fn answer(
        &self,
        request: &CertificateRequest,
        name: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, TrustError> {
        let generation = self.generations().first().ok_or(TrustError::NoSecret)?;
        Issued::new(
            generation,
            &PublicKey(&request.public_key),
            name,
            lifetime,
            now,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock;
    use crate::trust::tests::trust;

    #[test]
    fn a_request_is_answered_with_a_certificate_for_its_key() {
        let (pem, key) = CertificateRequest::make().unwrap();
        assert!(!pem.contains("PRIVATE") && key.contains("PRIVATE KEY"));
        let request = CertificateRequest::read(&pem).unwrap();
        let trust = trust(&["a"]);
        let now = clock::wall();
        let day = Duration::from_secs(86_400);
        let issued = trust.answer(&request, "alice", day, now).unwrap();
        assert_eq!(issued.certificate.name, "alice");
        let since = issued.certificate.issued.duration_since(now);
        let off = since.unwrap_or_else(|e| e.duration());
        assert!(off < Duration::from_secs(2), "{off:?}");
        let der = rustls::pki_types::CertificateDer::from_pem_slice(issued.cert_pem.as_bytes());
        let client = trust.client(&der.unwrap()).unwrap();
        assert_eq!(client, issued.certificate);
        let pair = KeyPair::from_pem(&key).unwrap();
        let public = rcgen::PublicKeyData::der_bytes(&pair);
        assert_eq!(public, request.public_key);
    }

    #[test]
    fn a_request_that_another_key_signed_is_refused() {
        let (pem, _) = CertificateRequest::make().unwrap();
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert!(read(&der).is_some());
        // The last byte of the signature, and one of the key.
        for at in [der.len() - 1, 60] {
            let mut altered = der.to_vec();
            altered[at] ^= 1;
            assert!(read(&altered).is_none(), "{at}");
        }
        assert!(read(&[der.as_ref(), &[0]].concat()).is_none());
        assert_eq!(CertificateRequest::read("").err(), Some(BadRequest));
        let long = pem + &" ".repeat(LONGEST);
        assert_eq!(CertificateRequest::read(&long).err(), Some(BadRequest));
    }

    #[test]
    fn a_request_for_another_kind_of_key_is_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let request = CertificateParams::default().serialize_request(&key);
        let pem = request.unwrap().pem().unwrap();
        assert_eq!(CertificateRequest::read(&pem).err(), Some(BadRequest));
    }
}
