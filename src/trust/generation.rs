//! Derives a generation from one cluster secret: the certificate authority and
//! the keys.
//!
//! It is a pure function of the secret, to the last byte, on every agent and in
//! every version.

use std::fmt;

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose,
    PublicKeyData, SerialNumber, date_time_ymd,
};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use rustls::pki_types::CertificateDer;
use skep_filters::auth::Audience;
use zeroize::Zeroizing;

use super::ca_key::CaKey;
use super::error::TrustError;
use super::secret::Secret;
use super::stretch::stretch;

/// The domain of all names of agents. `.internal` is reserved for private use
/// and never delegated.
pub(super) const DOMAIN: &str = "skep.internal";

const SALT: &[u8] = b"skep generation v1";
const CA_KEY: &[u8] = b"ca key p256";
const PEER_KEY: &[u8] = b"peer hmac";
const OPERATOR_KEY: &[u8] = b"operator hmac";

/// The certificate authority and the keys of one cluster secret.
pub struct Generation {
    fingerprint: String,
    audience: Audience,
    peer_sni: String,
    ca: Certificate,
    issuer: Issuer<'static, CaKey>,
    peer_key: Zeroizing<[u8; 32]>,
    operator_key: Zeroizing<[u8; 32]>,
}

impl Generation {
    /// Derives everything from the secret. Takes 19 MiB for a few tens of
    /// milliseconds.
    ///
    /// # Errors
    /// The machine lacks that memory.
    pub fn derive(secret: &Secret) -> Result<Self, TrustError> {
        let root = Salt::new(HKDF_SHA256, SALT).extract(&*stretch(secret)?);
        let ca_key = CaKey::from_candidates(
            (0..=u8::MAX).map_while(|n| expand(&root, &[CA_KEY, &[n]]).ok()),
        )?;
        let spki = ca_key.subject_public_key_info();
        let audience = Audience::of_public_key(&spki);
        let spki = ring::digest::digest(&ring::digest::SHA256, &spki);
        let fingerprint = HEXLOWER.encode(&spki.as_ref()[..4]);
        let params = ca_params(&fingerprint);
        Ok(Self {
            peer_sni: format!("{fingerprint}.{DOMAIN}"),
            fingerprint,
            audience,
            ca: params.self_signed(&ca_key)?,
            issuer: Issuer::new(params, ca_key),
            peer_key: expand(&root, &[PEER_KEY])?,
            operator_key: expand(&root, &[OPERATOR_KEY])?,
        })
    }

    /// Eight hexadecimal digits that distinguish clusters, such as `05cff52c`.
    /// For names and logs; it proves nothing.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The name of the cluster in signatures.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// The DNS name in the leaves of all agents of this generation, and in no
    /// other certificate.
    pub fn peer_sni(&self) -> &str {
        &self.peer_sni
    }

    /// The authority's certificate.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        self.ca.der()
    }

    /// The authority's certificate as text, for example for `curl --cacert`.
    pub fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    /// The HMAC key for requests between agents.
    pub fn peer_key(&self) -> &[u8; 32] {
        &self.peer_key
    }

    /// The HMAC key of an operator who holds the cluster secret.
    pub fn operator_key(&self) -> &[u8; 32] {
        &self.operator_key
    }

    /// Signs a certificate for the public key.
    ///
    /// # Errors
    /// The parameters cannot be written as a certificate.
    pub(crate) fn issue(
        &self,
        params: &CertificateParams,
        public_key: &impl PublicKeyData,
    ) -> Result<Certificate, rcgen::Error> {
        params.signed_by(public_key, &self.issuer)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// The first and the last day of every authority: long enough to be renewed
/// with the secret only. Later years need another encoding (RFC 5280 §4.1.2.5).
pub(super) fn ca_validity() -> (time::OffsetDateTime, time::OffsetDateTime) {
    (date_time_ymd(2024, 1, 1), date_time_ymd(2049, 12, 31))
}

/// The name has the fingerprint. If two clusters shared a name, a verifier
/// would report a bad signature instead of an unknown issuer. There are no name
/// constraints, because leaves have host names and addresses too.
fn ca_params(fingerprint: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = ca_validity();
    params.serial_number = Some(SerialNumber::from_slice(&[1]));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("skep cluster {fingerprint}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn expand(root: &Prk, info: &[&[u8]]) -> Result<Zeroizing<[u8; 32]>, TrustError> {
    let mut key = Zeroizing::new([0; 32]);
    debug_assert_eq!(HKDF_SHA256.len(), key.len());
    root.expand(info, HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *key))
        .map_err(|_| TrustError::Derive)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::tests::{generation, secret};

    #[test]
    fn two_derivations_from_one_secret_agree_to_the_last_byte() {
        let (one, other) = (generation("a"), Generation::derive(&secret("a")).unwrap());
        assert_eq!(one.ca_der(), other.ca_der());
        assert_eq!(one.ca_pem(), other.ca_pem());
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.peer_key(), other.peer_key());
        assert_eq!(one.operator_key(), other.operator_key());
    }

    /// A cluster has agents of different versions during an update, so no
    /// release and no dependency may change the derived values.
    #[test]
    fn derived_values_never_change() {
        let generation = generation("a");
        let digest = |bytes: &[u8]| {
            HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
        };
        assert_eq!(generation.fingerprint(), "baa15f07");
        assert_eq!(
            digest(generation.ca_der()),
            "db833c53dd87fe169ef5567f65b8fd814f4130238b444cc244c4c9f566894270"
        );
        assert_eq!(
            digest(generation.peer_key()),
            "b4f619c7c3369f46e4fdf7cd71bd1d1075bcc47a76821649cc26523e554f86ee"
        );
        assert_eq!(
            digest(generation.operator_key()),
            "53b3b92c43ff8775831346eff31a4acd0317097443507d93a8f7e53be5a5f63d"
        );
    }

    #[test]
    fn different_secrets_and_different_purposes_give_different_keys() {
        let (a, b) = (generation("a"), generation("b"));
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_ne!(a.ca_der(), b.ca_der());
        let keys = [
            a.peer_key(),
            a.operator_key(),
            b.peer_key(),
            b.operator_key(),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "key {i} is used twice");
        }
    }

    #[test]
    fn debug_output_names_the_cluster_and_shows_no_key() {
        let generation = generation("a");
        let shown = format!("{generation:?}");
        assert_eq!(
            shown,
            format!(
                "Generation {{ fingerprint: {:?}, .. }}",
                generation.fingerprint()
            )
        );
    }
}
