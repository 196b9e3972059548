//! Recognises the certificates of agents.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::generation::Generation;
use super::provider::provider;
use crate::platform::clock;

/// A verified certificate of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its generation, as an index into [`super::Trust::generations`].
    pub(crate) generation: usize,
    /// The node id that it claims. Any holder of the secret can claim any.
    pub(crate) node_id: Option<String>,
}

/// See [`super::Trust::classify`].
pub(super) fn classify(
    generations: &[Arc<Generation>],
    cert_der: &[u8],
) -> Option<PeerCertificate> {
    let der = CertificateDer::from(cert_der);
    let cert = EndEntityCert::try_from(&der).ok()?;
    let generation = generations
        .iter()
        .position(|generation| is_issued_by(&cert, generation))?;

    // Compared as bytes, unlike in a verifier: a wildcard must not match.
    let agent_name = generations.get(generation)?.peer_sni();
    if !cert.valid_dns_names().any(|name| name == agent_name) {
        return None;
    }
    let node_id = cert
        .valid_dns_names()
        .filter_map(|name| name.strip_suffix(agent_name)?.strip_suffix('.'))
        .find(|label| !label.contains(['.', '*']))
        .map(str::to_owned);
    Some(PeerCertificate {
        generation,
        node_id,
    })
}

/// Whether this authority issued the certificate, for clients, and it is valid
/// now.
pub(super) fn is_issued_by(cert: &EndEntityCert<'_>, generation: &Generation) -> bool {
    let Ok(anchor) = anchor_from_trusted_cert(generation.ca_der()) else {
        return false;
    };
    let algorithms = provider().signature_verification_algorithms.all;
    let (now, usage) = (
        UnixTime::since_unix_epoch(clock::now()),
        KeyUsage::client_auth(),
    );
    cert.verify_for_usage(algorithms, &[anchor], &[], now, usage, None, None)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock::stepped;
    use crate::trust::tests::{LIFETIME, generation, trust};
    use crate::trust::{Leaf, LeafNames};
    use proptest::prelude::*;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
    use std::time::Duration;

    /// A certificate for a person, with the given names.
    fn client_certificate(issuer: &str, names: &[String]) -> Vec<u8> {
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        generation(issuer)
            .issue(&params, &KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn an_agents_leaf_is_recognised_with_its_generation_and_node() {
        let trust = trust(&["new", "old"]);
        let names = LeafNames {
            node_id: Some("9j68exjopxe7".into()),
            ..Default::default()
        };
        for (index, secret) in ["new", "old"].into_iter().enumerate() {
            let leaf = Leaf::issue(&generation(secret), &names, LIFETIME, clock::wall()).unwrap();
            let peer = trust.classify(&leaf.cert_der).unwrap();
            assert_eq!(
                peer,
                PeerCertificate {
                    generation: index,
                    node_id: Some("9j68exjopxe7".into())
                }
            );
        }
    }

    #[test]
    fn an_agent_without_a_node_id_is_an_agent() {
        let trust = trust(&["a"]);
        let peer = trust.classify(&trust.leaf(0).unwrap().cert_der).unwrap();
        assert_eq!(
            peer,
            PeerCertificate {
                generation: 0,
                node_id: None
            }
        );
    }

    #[test]
    fn a_persons_certificate_is_never_an_agents() {
        let trust = trust(&["a", "b"]);
        let (a, b) = (generation("a"), generation("b"));
        for names in [
            vec!["ops".into()],
            vec![],
            vec!["*.skep.internal".into()],
            vec![format!("node.{}", a.peer_sni())],
            vec![format!("x{}", a.peer_sni())],
            // The name of the other generation, signed by this one.
            vec![b.peer_sni().to_owned()],
        ] {
            assert_eq!(
                trust.classify(&client_certificate("a", &names)),
                None,
                "{names:?}"
            );
        }
        // The helper makes certificates that would pass with the right name.
        assert!(
            trust
                .classify(&client_certificate("a", &[a.peer_sni().to_owned()]))
                .is_some()
        );
    }

    #[test]
    fn a_leaf_of_another_cluster_is_not_an_agents() {
        let other = trust(&["b"]);
        assert_eq!(
            trust(&["a"]).classify(&other.leaf(0).unwrap().cert_der),
            None
        );
        let forged = client_certificate("b", &[generation("a").peer_sni().to_owned()]);
        assert_eq!(trust(&["a"]).classify(&forged), None);
    }

    #[test]
    fn an_expired_leaf_is_not_an_agents() {
        let month_ago = clock::wall() - Duration::from_secs(30 * 24 * 60 * 60);
        let leaf =
            Leaf::issue(&generation("a"), &LeafNames::default(), LIFETIME, month_ago).unwrap();
        assert_eq!(trust(&["a"]).classify(&leaf.cert_der), None);
    }

    #[test]
    fn a_leaf_holds_while_clocks_are_an_hour_apart_and_is_not_due_for_that() {
        for step in stepped::STEPS {
            stepped::set(|now| now);
            let trust = trust(&["a"]);
            let leaf = trust.leaf(0).unwrap();
            stepped::set(step);
            trust.refresh(clock::wall()).unwrap();
            assert_eq!(trust.leaf(0).unwrap().serial, leaf.serial);
            assert!(trust.classify(&leaf.cert_der).is_some());
            // One that was made by the wrong clock holds by the right one.
            trust.rotate(clock::wall()).unwrap();
            stepped::set(|now| now);
            let made = trust.leaf(0).unwrap();
            assert!(trust.classify(&made.cert_der).is_some());
        }
    }

    #[test]
    fn the_authority_itself_is_not_an_agent() {
        assert_eq!(trust(&["a"]).classify(generation("a").ca_der()), None);
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_is_never_an_agents(at in 0usize..400, flip in 1u8..) {
            let trust = trust(&["a"]);
            let mut der = trust.leaf(0).unwrap().cert_der.to_vec();
            let at = at % der.len();
            der[at] ^= flip;
            prop_assert_eq!(trust.classify(&der), None);
            prop_assert_eq!(trust.classify(&der[..at]), None);
        }
    }
}
