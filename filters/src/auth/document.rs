//! Signs documents that are kept and handed on, and verifies them.
//!
//! The signature covers the cluster, so that no other cluster with the same operator
//! takes the document. It begins with a line that no signature of a request begins
//! with: one cannot stand for the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::audience::Audience;
use super::key::Key;
use super::signer::Signer;

/// The first line of what is signed.
const PROFILE: &[u8] = b"skep/document/1\n";

impl Signer {
    /// The signature of a document for the signer's cluster, in Base64; `None` for a
    /// signer without one.
    #[must_use]
    pub fn sign_document(&self, document: &[u8]) -> Option<String> {
        let message = message(self.audience()?, document);
        Some(self.key().sign(&message, |raw| STANDARD.encode(raw)))
    }
}

impl Key {
    /// Whether this key made the signature of a document for one of these clusters.
    #[must_use]
    pub fn verifies_document(
        &self,
        audiences: &[Audience],
        document: &[u8],
        signature: &str,
    ) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        let mut messages = audiences.iter().map(|own| message(own, document));
        messages.any(|message| self.verifies(&message, &signature))
    }
}

fn message(audience: &Audience, document: &[u8]) -> Vec<u8> {
    let audience = audience.to_string();
    [PROFILE, audience.as_bytes(), b"\n", document].concat()
}

#[cfg(test)]
mod tests {
    use super::super::SigningKey;
    use super::*;

    #[test]
    fn a_signature_holds_for_one_document_of_one_cluster_by_one_key() {
        let [own, other] = ["own", "other"].map(|name| Audience::of_public_key(name.as_bytes()));
        let signer = |secret: u8| {
            let key = SigningKey::hmac("operator", &[secret; 32]).unwrap();
            Signer::new(key, own.clone())
        };
        let key = Key::hmac("operator", &[1; 32]).unwrap();
        let signature = signer(1).sign_document(b"text").unwrap();
        let both = [other.clone(), own.clone()];
        assert!(key.verifies_document(&both, b"text", &signature));
        assert!(!key.verifies_document(&both, b"texts", &signature));
        assert!(!key.verifies_document(&[other], b"text", &signature));
        assert!(!key.verifies_document(&both, b"text", "no Base64"));
        let foreign = signer(2).sign_document(b"text").unwrap();
        assert!(!key.verifies_document(&both, b"text", &foreign));
        let public = SigningKey::ed25519("operator", &[7; 32]).unwrap();
        let signer = Signer::new(public, own.clone());
        let signature = signer.sign_document(b"text").unwrap();
        assert!(!key.verifies_document(&both, b"text", &signature));
    }

    #[test]
    fn a_signer_without_a_cluster_signs_no_document() {
        let key = SigningKey::hmac("operator", &[1; 32]).unwrap();
        assert_eq!(Signer::without_audience(key).sign_document(b""), None);
    }
}
