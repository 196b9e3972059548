//! Issues an agent's own certificate in memory, under a generation's authority;
//! it is never stored.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::error::TrustError;
use super::generation::{Generation, ca_validity};

/// How far a leaf's validity starts in the past, for peers whose clocks are
/// behind.
pub(super) const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// The names in an agent's certificate, besides those that all agents have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafNames {
    /// The `Swarm.NodeID` of a node of a Swarm.
    pub(crate) node_id: Option<String>,
    /// The node's hostname as the engine reports it; omitted if it is not a
    /// DNS name.
    pub(crate) hostname: String,
    /// Addresses of the node.
    pub(crate) ips: Vec<IpAddr>,
    /// Other names that clients use: DNS names, also `*.example.com`, or
    /// addresses. All else is left out with a warning.
    pub(crate) names: Vec<String>,
}

/// A certificate with its key.
pub struct Leaf {
    /// The certificate. The chain has no issuer, because verifiers have the
    /// authority.
    pub cert_der: CertificateDer<'static>,
    /// The private key in PKCS#8.
    pub key_pkcs8: Zeroizing<Vec<u8>>,
    /// The random serial number in hexadecimal.
    pub serial: String,
    /// When it expires.
    pub(crate) not_after: SystemTime,
    /// Certificate and key for rustls.
    pub(crate) certified_key: Arc<CertifiedKey>,
}

impl Leaf {
    /// Issues a leaf with a fresh key, valid from a day before `now` until
    /// `lifetime` after it, within the authority's own validity.
    ///
    /// # Errors
    /// The random number generator fails.
    pub(crate) fn issue(
        generation: &Generation,
        names: &LeafNames,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| TrustError::Random)?;
        let key_pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key_pkcs8, &random)
            .map_err(TrustError::Key)?;

        let serial = random_serial(&random)?;
        let not_after = now
            .checked_add(lifetime)
            .map_or(ca_validity().1, within_ca_validity);
        let mut params = CertificateParams::default();
        params.not_before = now
            .checked_sub(BACKDATED)
            .map_or(ca_validity().0, within_ca_validity);
        params.not_after = not_after;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "skep agent");
        params.subject_alt_names = subject_alt_names(generation, names);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let certificate = generation.issue(&params, &PublicKey(key.public_key().as_ref()))?;
        let cert_der = certificate.der().clone();

        // Borrowed, to make no further copy of the key.
        let private_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pkcs8.as_slice()));
        let signing_key = rustls::crypto::ring::sign::any_ecdsa_type(&private_key)
            .map_err(TrustError::Unusable)?;
        Ok(Self {
            certified_key: Arc::new(CertifiedKey::new(vec![cert_der.clone()], signing_key)),
            cert_der,
            key_pkcs8,
            serial: HEXLOWER.encode(&serial),
            not_after: not_after.into(),
        })
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// An uncompressed point of P-256.
pub(super) struct PublicKey<'a>(pub(super) &'a [u8]);

impl PublicKeyData for PublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Sixteen bytes with 126 random bits; positive, and without a leading zero
/// (RFC 5280 §4.1.2.2).
pub(super) fn random_serial(random: &SystemRandom) -> Result<[u8; 16], TrustError> {
    let mut serial = [0; 16];
    random.fill(&mut serial).map_err(|_| TrustError::Random)?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

/// Limits a time to the authority's validity, so that a clock that is years off
/// gets a certificate too. It is issued again once the clock is right.
pub(super) fn within_ca_validity(at: SystemTime) -> OffsetDateTime {
    let (first, last) = ca_validity();
    let Ok(since_epoch) = at.duration_since(SystemTime::UNIX_EPOCH) else {
        return first;
    };
    i64::try_from(since_epoch.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .map_or(last, |at| at.clamp(first, last))
}

fn subject_alt_names(generation: &Generation, names: &LeafNames) -> Vec<SanType> {
    let mut sans = AltNames::default();
    sans.dns(generation.peer_sni());
    if let Some(node_id) = names.node_id.as_deref().filter(|id| !id.contains('.')) {
        sans.dns(&format!("{node_id}.{}", generation.peer_sni()));
    }
    sans.dns_or_ip(&names.hostname);
    sans.dns("localhost");
    sans.ip(Ipv4Addr::LOCALHOST.into());
    sans.ip(Ipv6Addr::LOCALHOST.into());
    names.ips.iter().for_each(|ip| sans.ip(*ip));
    for name in &names.names {
        if !sans.dns_or_ip(name) {
            tracing::warn!(
                "the certificate leaves out {name:?}, which is neither a DNS name nor an address"
            );
        }
    }
    sans.0
}

/// Names without duplicates, and without those that a verifier would reject.
#[derive(Default)]
struct AltNames(Vec<SanType>);

impl AltNames {
    fn push(&mut self, name: SanType) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    fn ip(&mut self, ip: IpAddr) {
        self.push(SanType::IpAddress(ip));
    }

    /// Returns whether the name could be added. Underscores are allowed, as by
    /// Docker and all verifiers.
    fn dns(&mut self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        let is_valid = DnsName::try_from(host).is_ok() && !host.ends_with('.') && name.len() <= 253;
        match Ia5String::try_from(name) {
            Ok(name) if is_valid => {
                self.push(SanType::DnsName(name));
                true
            }
            _ => false,
        }
    }

    fn dns_or_ip(&mut self, name: &str) -> bool {
        match name.parse() {
            Ok(ip) => {
                self.ip(ip);
                true
            }
            Err(_) => self.dns(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock;

    use crate::trust::tests::{LIFETIME, generation};
    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use webpki::EndEntityCert;

    fn issue(names: &LeafNames) -> Leaf {
        Leaf::issue(&generation("a"), names, LIFETIME, clock::wall()).unwrap()
    }

    fn is_valid_for(leaf: &Leaf, name: &str) -> bool {
        let name = ServerName::try_from(name).unwrap();
        let cert = EndEntityCert::try_from(&leaf.cert_der).unwrap();
        cert.verify_is_valid_for_subject_name(&name).is_ok()
    }

    #[test]
    fn a_leaf_is_valid_for_all_names_of_its_agent_and_for_no_other() {
        let leaf = issue(&LeafNames {
            node_id: Some("9j68exjopxe7wfl6yuxml7a7j".into()),
            hostname: "Node-1".into(),
            ips: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            names: vec![
                "docker.example.com".into(),
                "*.lab.example".into(),
                "192.0.2.1".into(),
            ],
        });
        let sni = generation("a").peer_sni().to_owned();
        let own = format!("9j68exjopxe7wfl6yuxml7a7j.{sni}");
        for name in [
            &sni,
            &own,
            "node-1",
            "localhost",
            "127.0.0.1",
            "::1",
            "10.0.0.7",
            "fd00::7",
            "docker.example.com",
            "x.lab.example",
            "192.0.2.1",
        ] {
            assert!(is_valid_for(&leaf, name), "{name}");
        }
        for name in [
            "skep.internal",
            "other.skep.internal",
            "node-2",
            "10.0.0.8",
            "example.com",
        ] {
            assert!(!is_valid_for(&leaf, name), "{name}");
        }
    }

    #[test]
    fn a_hostname_with_an_underscore_is_kept() {
        let leaf = issue(&LeafNames {
            hostname: "swarm_node_1".into(),
            ..Default::default()
        });
        assert!(is_valid_for(&leaf, "swarm_node_1"));
    }

    #[test]
    fn a_hostname_that_is_an_address_becomes_one() {
        let leaf = issue(&LeafNames {
            hostname: "192.0.2.9".into(),
            ..Default::default()
        });
        assert!(is_valid_for(&leaf, "192.0.2.9"));
    }

    #[test]
    fn two_leaves_share_neither_key_nor_serial() {
        let (one, other) = (issue(&LeafNames::default()), issue(&LeafNames::default()));
        assert_ne!(one.serial, other.serial);
        assert_ne!(one.key_pkcs8, other.key_pkcs8);
    }

    #[test]
    fn the_key_belongs_to_the_certificate() {
        issue(&LeafNames::default())
            .certified_key
            .keys_match()
            .unwrap();
    }

    #[test]
    fn a_clock_that_is_decades_off_gets_a_leaf_within_the_authoritys_validity() {
        let (first, last) = ca_validity();
        let century = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let epoch = SystemTime::UNIX_EPOCH;
        for now in [epoch, epoch - century, epoch + century] {
            for lifetime in [LIFETIME, Duration::MAX] {
                let leaf =
                    Leaf::issue(&generation("a"), &LeafNames::default(), lifetime, now).unwrap();
                assert!(leaf.not_after >= first && leaf.not_after <= last, "{now:?}");
            }
        }
    }

    #[test]
    fn debug_output_shows_no_key() {
        let leaf = issue(&LeafNames::default());
        let shown = format!("{leaf:?}");
        assert!(shown.contains(&leaf.serial));
        assert!(!shown.contains("key"), "{shown}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_name_breaks_issuing_or_verifying(
            node_id in proptest::option::of(".{0,80}"), hostname in ".{0,300}", name in "[*a-zA-Z0-9._-]{0,70}",
        ) {
            let leaf = issue(&LeafNames { node_id, hostname, ips: vec![], names: vec![name] });
            prop_assert!(is_valid_for(&leaf, generation("a").peer_sni()));
            prop_assert!(is_valid_for(&leaf, "localhost"));
            prop_assert!(!is_valid_for(&leaf, "elsewhere.example"));
        }
    }
}
