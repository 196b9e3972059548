//! Chooses the certificate for an incoming connection.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::generation::{DOMAIN, Generation};
use super::rotation::Rotation;
use super::user_cert::UserCertificate;

/// Chooses by the server name in the handshake. An agent asks for the
/// generation that it trusts. All others get the operator's certificate if
/// there is one, else the leaf of the first generation.
pub(super) struct ServerCertificates {
    generations: Arc<[Arc<Generation>]>,
    rotation: Arc<Rotation>,
    user_certificate: Option<Arc<UserCertificate>>,
}

impl ServerCertificates {
    pub(super) fn new(
        generations: Arc<[Arc<Generation>]>,
        rotation: Arc<Rotation>,
        user_certificate: Option<Arc<UserCertificate>>,
    ) -> Self {
        Self {
            generations,
            rotation,
            user_certificate,
        }
    }

    fn choose(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let server_name = server_name.unwrap_or_default();
        let generation = self
            .generations
            .iter()
            .position(|generation| is_within(server_name, generation.peer_sni()));
        match (generation, &self.user_certificate) {
            // Not for an agent of another cluster: our leaf fails there with an
            // error that names our cluster.
            (None, Some(certificate)) if !is_within(server_name, DOMAIN) => {
                Some(certificate.certified_key())
            }
            _ => {
                let leaf = self
                    .rotation
                    .current()
                    .leaves
                    .get(generation.unwrap_or(0))
                    .cloned();
                leaf.map(|leaf| Arc::clone(&leaf.certified_key))
            }
        }
    }
}

impl ResolvesServerCert for ServerCertificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(client_hello.server_name())
    }
}

impl fmt::Debug for ServerCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificates")
            .field("generations", &self.generations)
            .finish_non_exhaustive()
    }
}

/// Whether the name is the domain or ends in it.
fn is_within(name: &str, domain: &str) -> bool {
    let Some(split) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    let (head, tail) = (name.as_bytes().get(..split), name.as_bytes().get(split..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(domain.as_bytes()))
        && head.is_some_and(|head| head.is_empty() || head.ends_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::tests::{certificate_files, trust};

    #[test]
    fn names_are_within_their_domain_by_whole_labels() {
        for (name, within) in [
            ("05cff52c.skep.internal", true),
            ("05CFF52C.Skep.Internal", true),
            ("node.05cff52c.skep.internal", true),
            ("x05cff52c.skep.internal", false),
            ("skep.internal", false),
            ("ff.skep.internal", false),
            ("", false),
        ] {
            assert_eq!(is_within(name, "05cff52c.skep.internal"), within, "{name}");
        }
    }

    #[test]
    fn agents_get_the_generation_they_ask_for_and_others_the_operators_certificate() {
        let files = certificate_files("docker.example.com");
        let trust = trust(&["new", "old"]);
        let resolver = |user: Option<UserCertificate>| {
            ServerCertificates::new(
                Arc::clone(&trust.generations),
                Arc::clone(&trust.rotation),
                user.map(Arc::new),
            )
        };
        let user = UserCertificate::load(&files.certificate, &files.key).unwrap();
        let of_user = user.certified_key().cert[0].clone();
        let (new, old) = (trust.leaf(0).unwrap(), trust.leaf(1).unwrap());
        let of_old_node = format!("node.{}", trust.peer_sni(1).unwrap());
        let (without, with) = (resolver(None), resolver(Some(user)));
        for (name, without_user, with_user) in [
            (trust.peer_sni(0), &new.cert_der, &new.cert_der),
            (trust.peer_sni(1), &old.cert_der, &old.cert_der),
            (Some(of_old_node.as_str()), &old.cert_der, &old.cert_der),
            (Some("ffffffff.skep.internal"), &new.cert_der, &new.cert_der),
            (Some("docker.example.com"), &new.cert_der, &of_user),
            (None, &new.cert_der, &of_user),
        ] {
            assert_eq!(
                &without.choose(name).unwrap().cert[0],
                without_user,
                "{name:?}"
            );
            assert_eq!(&with.choose(name).unwrap().cert[0], with_user, "{name:?}");
        }
    }
}
