//! The document with the operator's signature, as it is kept and handed on.

use serde::{Deserialize, Serialize};

use super::document::{Document, DocumentError};
use crate::auth::{Audience, Key, Signer};

/// The largest envelope, in bytes: a Swarm config has room for 500 KB.
pub const LARGEST: usize = 400 << 10;

/// A document with its signature. The document is kept as the text that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The id of the key that signed.
    pub key: String,
    /// Base64.
    pub signature: String,
    /// The document in JSON.
    pub document: String,
}

/// Why an envelope is not taken.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It is too long.
    #[error("the list of people has more than {} KiB", LARGEST >> 10)]
    TooLarge,
    /// It is no envelope, or the document in it is none.
    #[error("this is no list of people: {0}")]
    Json(#[from] serde_json::Error),
    /// No key of the operator made the signature.
    #[error(
        "no operator of this cluster has signed this list of people (it names the key {0:?}): sign with the operator's key, for this cluster"
    )]
    Signature(String),
    /// The document has a fault.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The signer signs for no cluster.
    #[error("the cluster to sign for is unknown")]
    NoCluster,
}

impl Envelope {
    /// Signs a document.
    ///
    /// # Errors
    /// It has a fault, or is too large.
    pub fn sign(document: &Document, signer: &Signer) -> Result<Self, EnvelopeError> {
        document.check()?;
        let text = serde_json::to_string(document)?;
        let signature = signer.sign_document(text.as_bytes());
        let envelope = Self {
            key: signer.key().id().to_owned(),
            signature: signature.ok_or(EnvelopeError::NoCluster)?,
            document: text,
        };
        match envelope.to_json()?.len() > LARGEST {
            true => Err(EnvelopeError::TooLarge),
            false => Ok(envelope),
        }
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// It is too large, or none.
    pub fn read(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > LARGEST {
            return Err(EnvelopeError::TooLarge);
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The envelope in JSON.
    ///
    /// # Errors
    /// Never: texts can be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The document, if one of these keys signed it for one of these clusters.
    ///
    /// # Errors
    /// None did, or the document has a fault.
    pub fn open(&self, keys: &[Key], audiences: &[Audience]) -> Result<Document, EnvelopeError> {
        let mut named = keys.iter().filter(|key| **key.id() == *self.key);
        let bytes = self.document.as_bytes();
        if !named.any(|key| key.verifies_document(audiences, bytes, &self.signature)) {
            return Err(EnvelopeError::Signature(self.key.clone()));
        }
        self.unverified()
    }

    /// The document, whoever signed it.
    ///
    /// # Errors
    /// It has a fault.
    pub fn unverified(&self) -> Result<Document, EnvelopeError> {
        let document: Document = serde_json::from_str(&self.document)?;
        document.check()?;
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SigningKey;

    fn signer(seed: u8) -> Signer {
        let key = SigningKey::hmac("operator-1", &[seed; 32]).unwrap();
        Signer::new(key, audience())
    }

    fn audience() -> Audience {
        Audience::of_public_key(b"the CA")
    }

    fn keys() -> [Key; 1] {
        [Key::hmac("operator-1", &[7; 32]).unwrap()]
    }

    #[test]
    fn a_signed_document_is_opened_and_an_altered_one_is_not() {
        let document = Document {
            version: 3,
            ..Document::default()
        };
        let envelope = Envelope::sign(&document, &signer(7)).unwrap();
        let bytes = envelope.to_json().unwrap();
        let read = Envelope::read(&bytes).unwrap();
        let opened = read.open(&keys(), &[audience()]).unwrap();
        assert_eq!(opened, document);
        let altered = Envelope {
            document: read.document.replace('3', "4"),
            ..read.clone()
        };
        let renamed = Envelope {
            key: "operator-2".to_owned(),
            ..read.clone()
        };
        let foreign = Envelope::sign(&document, &signer(8)).unwrap();
        for wrong in [altered, renamed, foreign] {
            let error = wrong.open(&keys(), &[audience()]).unwrap_err();
            assert!(matches!(error, EnvelopeError::Signature(_)), "{error}");
        }
        let other = Audience::of_public_key(b"another CA");
        assert!(read.open(&keys(), &[other]).is_err());
    }

    #[test]
    fn a_document_that_a_config_cannot_hold_is_refused() {
        let document = Document {
            policies: "#".repeat(LARGEST),
            ..Document::default()
        };
        let error = Envelope::sign(&document, &signer(7)).unwrap_err();
        assert!(matches!(error, EnvelopeError::TooLarge), "{error}");
        let error = Envelope::read(&vec![b' '; LARGEST + 1]).unwrap_err();
        assert!(matches!(error, EnvelopeError::TooLarge), "{error}");
    }
}
