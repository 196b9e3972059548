//! Recognises the certificates of clients.
//!
//! Such a certificate has exactly one name, the URI `skep://client/NAME`, and
//! exactly one usage, client authentication. So it is never an agent's, which
//! has a DNS name, and never a server's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::generation::Generation;
use super::leaf::BACKDATED;
use super::peer::is_issued_by;
use super::serial::Serial;
use crate::config::client_name;

/// The prefix of the name.
const SCHEME: &str = "skep://client/";

/// A certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The name of the client.
    pub name: String,
    /// The number by which it can be revoked.
    pub serial: Serial,
    /// When it was issued.
    pub issued: SystemTime,
    /// When it expires.
    pub not_after: SystemTime,
}

impl ClientCertificate {
    /// Reads a certificate without checking its issuer. `None` if it is not a
    /// client's.
    pub(crate) fn read(cert_der: &[u8]) -> Option<Self> {
        let (rest, cert) = X509Certificate::from_der(cert_der).ok()?;
        let usage = cert.extended_key_usage().ok()??.value;
        let other_usages = usage.any
            || usage.server_auth
            || usage.code_signing
            || usage.email_protection
            || usage.time_stamping
            || usage.ocsp_signing
            || !usage.other.is_empty();
        if !rest.is_empty() || !usage.client_auth || other_usages {
            return None;
        }
        let names = cert.subject_alternative_name().ok()??;
        let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
            return None;
        };
        let at = |timestamp: i64| {
            let seconds = u64::try_from(timestamp).ok()?;
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        };
        let validity = cert.validity();
        Some(Self {
            issued: at(validity.not_before.timestamp())? + BACKDATED,
            not_after: at(validity.not_after.timestamp())?,
            name: client_name(uri.strip_prefix(SCHEME)?).ok()?,
            serial: Serial::of(cert.raw_serial())?,
        })
    }
}

/// The URI for a client of this name.
pub(super) fn uri(name: &str) -> String {
    format!("{SCHEME}{name}")
}

/// See [`super::Trust::client`].
pub(super) fn classify(
    generations: &[Arc<Generation>],
    cert_der: &[u8],
) -> Option<ClientCertificate> {
    let der = CertificateDer::from(cert_der);
    let cert = EndEntityCert::try_from(&der).ok()?;
    generations
        .iter()
        .any(|generation| is_issued_by(&cert, generation))
        .then(|| ClientCertificate::read(cert_der))?
}

#[cfg(test)]
mod tests {
    use crate::trust::tests::{generation, trust};
    use rcgen::{
        CertificateParams, ExtendedKeyUsagePurpose as Usage, KeyPair, SanType, SerialNumber,
    };

    const SERIAL: [u8; 16] = [0x41; 16];

    /// A certificate with these names and usages.
    fn certificate(issuer: &str, sans: &[SanType], usages: &[Usage], serial: &[u8]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans.to_vec();
        params.extended_key_usages = usages.to_vec();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        let issued = generation(issuer).issue(&params, &KeyPair::generate().unwrap());
        issued.unwrap().der().to_vec()
    }

    fn san(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    fn name_of(der: &[u8]) -> Option<String> {
        trust(&["a", "b"]).client(der).map(|c| c.name)
    }

    #[test]
    fn a_client_is_recognised_under_any_generation() {
        for issuer in ["a", "b"] {
            let der = certificate(
                issuer,
                &[san("skep://client/alice")],
                &[Usage::ClientAuth],
                &SERIAL,
            );
            assert_eq!(name_of(&der).as_deref(), Some("alice"));
        }
        let der = certificate(
            "c",
            &[san("skep://client/alice")],
            &[Usage::ClientAuth],
            &SERIAL,
        );
        assert_eq!(name_of(&der), None, "another cluster's");
    }

    #[test]
    fn an_ambiguous_name_is_refused() {
        for uri in [
            "skep://client/",
            "skep://client/a/b",
            "skep://client/a%62",
            "skep://client/a?b",
            "skep://client/a b",
            "SKEP://client/alice",
            "skep://clients/alice",
            "skep://agent/alice",
            "skep://client//alice",
            "x skep://client/alice",
        ] {
            let der = certificate("a", &[san(uri)], &[Usage::ClientAuth], &SERIAL);
            assert_eq!(name_of(&der), None, "{uri}");
        }
    }

    #[test]
    fn a_certificate_with_more_names_or_usages_is_not_a_clients() {
        let alice = san("skep://client/alice");
        let dns = SanType::DnsName("alice.example".try_into().unwrap());
        let agent = SanType::DnsName(generation("a").peer_sni().try_into().unwrap());
        let only: &[Usage] = &[Usage::ClientAuth];
        for (sans, usages) in [
            (vec![alice.clone(), dns], only),
            (vec![alice.clone(), agent], only),
            (vec![alice.clone(), san("skep://client/bob")], only),
            (vec![], only),
            (vec![alice.clone()], &[]),
            (vec![alice.clone()], &[Usage::ClientAuth, Usage::ServerAuth]),
            (vec![alice.clone()], &[Usage::ClientAuth, Usage::Any]),
        ] {
            let der = certificate("a", &sans, usages, &SERIAL);
            assert_eq!(name_of(&der), None, "{sans:?} {usages:?}");
        }
        let der = certificate("a", &[alice], only, &[1]);
        assert_eq!(name_of(&der), None, "a serial number that is too short");
    }

    #[test]
    fn an_agents_certificate_is_not_a_clients() {
        let trust = trust(&["a"]);
        assert_eq!(trust.client(&trust.leaf(0).unwrap().cert_der), None);
        assert_eq!(trust.client(generation("a").ca_der()), None);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_certificate_is_refused(at in 0usize..400, flip in 1u8..) {
            let mut der = certificate("a", &[san("skep://client/alice")], &[Usage::ClientAuth], &SERIAL);
            let at = at % der.len();
            der[at] ^= flip;
            proptest::prop_assert_eq!(name_of(&der), None);
            proptest::prop_assert_eq!(name_of(&der[..at]), None);
        }
    }
}
