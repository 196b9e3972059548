//! Derives the audience of signatures from the cluster's CA.

use skep_filters::auth::Audience;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::Trust;

/// The audience of the cluster whose CA has this certificate; `None` if the bytes are
/// not a certificate.
pub(crate) fn audience_of(ca_der: &[u8]) -> Option<Audience> {
    let (_, ca) = X509Certificate::from_der(ca_der).ok()?;
    Some(Audience::of_public_key(ca.public_key().raw))
}

impl Trust {
    /// The audiences of requests to this cluster: one for each of its secrets.
    pub(crate) fn audiences(&self) -> Vec<Audience> {
        let generations = self.generations().iter();
        generations
            .map(|generation| generation.audience().clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::tests::{generation, trust};

    #[test]
    fn a_client_finds_the_audience_in_the_certificate_of_the_authority() {
        for secret in ["a", "b"] {
            let generation = generation(secret);
            let found = audience_of(generation.ca_der()).unwrap();
            assert_eq!(&found, generation.audience());
            assert!(found.to_string().starts_with(generation.fingerprint()));
        }
        assert_ne!(generation("a").audience(), generation("b").audience());
        assert!(audience_of(b"").is_none());
    }

    #[test]
    fn a_cluster_has_an_audience_for_each_secret() {
        let both = trust(&["new", "old"]).audiences();
        let each = ["new", "old"].map(|secret| generation(secret).audience().clone());
        assert_eq!(both, each);
    }
}
