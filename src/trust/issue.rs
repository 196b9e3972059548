//! Issues certificates for clients that cannot sign requests.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use super::client::{self, ClientCertificate};
use super::error::TrustError;
use super::generation::Generation;
use super::leaf::{BACKDATED, random_serial, within_ca_validity};

/// A client's certificate with its key.
pub struct ClientCredential {
    /// The content of the certificate.
    pub certificate: ClientCertificate,
    /// The certificate in PEM.
    pub cert_pem: String,
    /// The private key in PEM (PKCS#8).
    pub key_pem: Zeroizing<String>,
}

impl ClientCredential {
    /// Issues a certificate with a fresh key, valid from a day before `now`
    /// until `lifetime` after it.
    ///
    /// # Errors
    /// [`crate::config::client_name`] refuses `name`, or the random number
    /// generator fails.
    pub fn issue(
        generation: &Generation,
        name: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let Issued {
            certificate,
            cert_pem,
        } = Issued::new(generation, &key, name, lifetime, now)?;
        Ok(Self {
            certificate,
            cert_pem,
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }
}

/// A client's certificate for a key that the client has.
#[derive(Debug)]
pub struct Issued {
    /// The content of the certificate.
    pub certificate: ClientCertificate,
    /// The certificate in PEM.
    pub cert_pem: String,
}

impl Issued {
    /// Issues a certificate, valid from a day before `now` until `lifetime` after it.
    ///
    /// # Errors
    /// As [`ClientCredential::issue`].
    pub(crate) fn new(
        generation: &Generation,
        key: &impl PublicKeyData,
        name: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let serial = random_serial(&SystemRandom::new())?;
        let at = |time: Option<SystemTime>| within_ca_validity(time.unwrap_or(now));
        let mut params = CertificateParams::default();
        params.not_before = at(now.checked_sub(BACKDATED));
        params.not_after = at(now.checked_add(lifetime));
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = DistinguishedName::new();
        // For people only; agents read the URI.
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![SanType::URI(client::uri(name).try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = generation.issue(&params, key)?;
        let bad_name = || TrustError::ClientName(name.to_owned());
        Ok(Self {
            certificate: ClientCertificate::read(certificate.der()).ok_or_else(bad_name)?,
            cert_pem: certificate.pem(),
        })
    }
}

impl fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredential")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock;
    use crate::trust::tests::{generation, trust};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, UnixTime};
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn issue(name: &str, now: SystemTime) -> (ClientCredential, CertificateDer<'static>) {
        let issued = ClientCredential::issue(&generation("a"), name, 90 * DAY, now).unwrap();
        let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
        (issued, der)
    }

    #[test]
    fn an_issued_certificate_is_recognised_with_its_name_serial_and_expiry() {
        let now = clock::wall();
        let (issued, der) = issue("alice@example.com", now);
        let known = trust(&["other", "a"]).client(&der).unwrap();
        assert_eq!(known, issued.certificate);
        assert_eq!(known.name, "alice@example.com");
        let left = known.not_after.duration_since(now).unwrap();
        // A certificate has whole seconds.
        assert!(left <= 90 * DAY && left + Duration::from_secs(1) > 90 * DAY);
    }

    #[test]
    fn a_clients_certificate_is_neither_an_agents_nor_a_servers() {
        let (_, der) = issue("alice", clock::wall());
        assert_eq!(trust(&["a"]).classify(&der), None);
        let cert = EndEntityCert::try_from(&der).unwrap();
        let ca = generation("a");
        let anchor = anchor_from_trusted_cert(ca.ca_der()).unwrap();
        let is_valid_for = |usage| {
            let algorithms = super::super::provider()
                .signature_verification_algorithms
                .all;
            let anchors = [anchor.clone()];
            cert.verify_for_usage(
                algorithms,
                &anchors,
                &[],
                UnixTime::since_unix_epoch(clock::now()),
                usage,
                None,
                None,
            )
            .is_ok()
        };
        assert!(is_valid_for(KeyUsage::client_auth()));
        assert!(!is_valid_for(KeyUsage::server_auth()));
        assert_eq!(cert.valid_dns_names().count(), 0);
    }

    #[test]
    fn a_clients_certificate_with_the_name_of_an_agent_is_not_an_agents() {
        let name = generation("a").peer_sni().to_owned();
        let (_, der) = issue(&name, clock::wall());
        assert_eq!(trust(&["a"]).classify(&der), None);
        assert_eq!(trust(&["a"]).client(&der).unwrap().name, name);
    }

    #[test]
    fn an_expired_certificate_is_refused() {
        let (_, der) = issue("alice", clock::wall() - 91 * DAY);
        assert_eq!(trust(&["a"]).client(&der), None);
    }

    #[test]
    fn a_certificate_needs_a_plain_name() {
        for name in ["", "a/b", "a b", "ä", "-a", &"x".repeat(65)] {
            let refused = ClientCredential::issue(&generation("a"), name, DAY, clock::wall());
            assert!(refused.is_err(), "{name:?}");
        }
    }

    #[test]
    fn two_certificates_of_one_name_share_neither_key_nor_serial() {
        let now = clock::wall();
        let ((one, _), (other, _)) = (issue("alice", now), issue("alice", now));
        assert_ne!(one.certificate.serial, other.certificate.serial);
        assert_ne!(one.key_pem, other.key_pem);
    }

    #[test]
    fn debug_output_shows_no_key() {
        let (issued, _) = issue("alice", clock::wall());
        let shown = format!("{issued:?}");
        assert!(
            shown.contains("alice") && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }
}
