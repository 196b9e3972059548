//! Defines keys: an id, an algorithm, an owner, and whether the key may send
//! unsigned streams.
//!
//! The algorithm is a property of the key and is never read from a message.
//! Policies, not keys, decide which endpoints may be called.

use std::fmt;
use std::sync::Arc;

use ring::{hmac, signature};

use super::error::KeyError;

/// The shortest HMAC secret, in bytes: the length of a SHA-256 output. RFC 2104 §3
/// says that a shorter one weakens the MAC.
pub const MIN_SECRET_BYTES: usize = 32;

const MAX_ID_BYTES: usize = 64;
const ED25519_BYTES: usize = 32;

/// The owner of a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyKind {
    /// A client that the configuration names.
    #[default]
    Client,
    /// An operator who holds the cluster secret. The key is derived from it and has
    /// the id `operator-<fingerprint>`.
    Operator,
    /// Nobody: the derived key of an operator who has a key of its own by now.
    FormerOperator,
    /// The agents of the cluster. The key is derived from the cluster secret and
    /// has the id `agent-<fingerprint>`.
    Agent,
}

/// A key that checks signatures.
#[derive(Clone)]
pub struct Key {
    id: Arc<str>,
    kind: KeyKind,
    algorithm: Algorithm,
    unsigned_streams: bool,
}

#[derive(Clone)]
enum Algorithm {
    Hmac(hmac::Key),
    Ed25519(signature::UnparsedPublicKey<[u8; ED25519_BYTES]>),
}

impl Key {
    /// A shared secret (`hmac-sha256`), taken byte for byte.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for a bad id or a secret shorter than [`MIN_SECRET_BYTES`].
    pub fn hmac(id: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(
            checked_id(id)?,
            Algorithm::Hmac(hmac_key(id, secret)?),
        ))
    }

    /// An Ed25519 public key, 32 raw bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for a bad id or length.
    pub fn ed25519(id: &str, public: &[u8]) -> Result<Self, KeyError> {
        let public = ed25519_bytes(id, public)?;
        let public = signature::UnparsedPublicKey::new(&signature::ED25519, public);
        Ok(Self::new(checked_id(id)?, Algorithm::Ed25519(public)))
    }

    fn new(id: &str, algorithm: Algorithm) -> Self {
        Self {
            id: id.into(),
            kind: KeyKind::Client,
            algorithm,
            unsigned_streams: false,
        }
    }

    /// This key, with another owner than a client.
    #[must_use]
    pub fn with_kind(mut self, kind: KeyKind) -> Self {
        self.kind = kind;
        self
    }

    /// This key, with or without the right to send bodies that no digest covers. A
    /// new key does not have it.
    #[must_use]
    pub fn with_unsigned_streams(mut self, allowed: bool) -> Self {
        self.unsigned_streams = allowed;
        self
    }

    /// The id by which requests name this key; safe to log.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The owner of this key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Whether requests of this key may have a body that no digest covers.
    #[must_use]
    pub fn unsigned_streams(&self) -> bool {
        self.unsigned_streams
    }

    /// Whether this key made `signature` over `message`. Constant in time for HMAC.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.algorithm {
            Algorithm::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Algorithm::Ed25519(key) => key.verify(message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = match self.algorithm {
            Algorithm::Hmac(_) => "hmac-sha256",
            Algorithm::Ed25519(_) => "ed25519",
        };
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("algorithm", &algorithm)
            .field("unsigned_streams", &self.unsigned_streams)
            .finish_non_exhaustive()
    }
}

/// A key that makes signatures.
pub struct SigningKey {
    id: Arc<str>,
    secret: Secret,
}

enum Secret {
    Hmac(hmac::Key),
    Ed25519(signature::Ed25519KeyPair),
}

impl SigningKey {
    /// A shared secret (`hmac-sha256`), taken byte for byte.
    ///
    /// # Errors
    ///
    /// As [`Key::hmac`].
    pub fn hmac(id: &str, secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self {
            id: checked_id(id)?.into(),
            secret: Secret::Hmac(hmac_key(id, secret)?),
        })
    }

    /// An Ed25519 private key from its seed (RFC 8032 §5.1.5), 32 raw bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for a bad id or length.
    pub fn ed25519(id: &str, seed: &[u8]) -> Result<Self, KeyError> {
        let wrong = |_| KeyError::Ed25519Length {
            id: id.to_owned(),
            length: seed.len(),
        };
        let pair = signature::Ed25519KeyPair::from_seed_unchecked(seed).map_err(wrong)?;
        Ok(Self {
            id: checked_id(id)?.into(),
            secret: Secret::Ed25519(pair),
        })
    }

    /// An Ed25519 private key in PKCS #8 (RFC 8410 §7), with or without its
    /// public half, as OpenSSL and ring write it.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for a bad id or another kind of key.
    pub fn ed25519_pkcs8(id: &str, der: &[u8]) -> Result<Self, KeyError> {
        let pair = signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map_err(|_| KeyError::NotEd25519 { id: id.to_owned() })?;
        Ok(Self {
            id: checked_id(id)?.into(),
            secret: Secret::Ed25519(pair),
        })
    }

    /// The id that signatures name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs `message` and passes the signature to `take`.
    pub(super) fn sign<T>(&self, message: &[u8], take: impl FnOnce(&[u8]) -> T) -> T {
        match &self.secret {
            Secret::Hmac(key) => take(hmac::sign(key, message).as_ref()),
            Secret::Ed25519(pair) => take(pair.sign(message).as_ref()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The secret in the bytes of a file: without the line breaks at the end, which
/// editors and `echo` add. `docs/sign.sh` does the same.
#[must_use]
pub fn trim_secret(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether `id` may be a key id. A key id needs no escaping in `Signature-Input`,
/// in logs or in metrics.
pub(super) fn is_id(id: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._@-".contains(byte);
    id.len() <= MAX_ID_BYTES
        && id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && id.as_bytes().iter().all(inner)
}

fn checked_id(id: &str) -> Result<&str, KeyError> {
    is_id(id)
        .then_some(id)
        .ok_or_else(|| KeyError::Id(id.to_owned()))
}

fn hmac_key(id: &str, secret: &[u8]) -> Result<hmac::Key, KeyError> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(KeyError::ShortSecret {
            id: id.to_owned(),
            length: secret.len(),
            minimum: MIN_SECRET_BYTES,
        });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

fn ed25519_bytes(id: &str, bytes: &[u8]) -> Result<[u8; ED25519_BYTES], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Ed25519Length {
        id: id.to_owned(),
        length: bytes.len(),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn ids_that_would_need_escaping_are_refused() {
        for id in ["ci", "operator-05cff52c", "a", "9", "alice@laptop", "a.b_c"] {
            assert!(is_id(id), "{id}");
        }
        let long = "x".repeat(65);
        for id in ["", "-a", ".", "a b", "a\"b", "a\\b", "a\nb", "ä", &long] {
            assert!(!is_id(id), "{id:?}");
            assert!(Key::hmac(id, &[7; 32]).is_err(), "{id:?}");
            assert!(SigningKey::ed25519(id, &[7; 32]).is_err(), "{id:?}");
        }
    }

    #[test]
    fn short_secrets_and_keys_of_a_wrong_length_are_refused() {
        assert!(Key::hmac("ci", &[7; 32]).is_ok());
        let error = Key::hmac("ci", &[7; 31]).unwrap_err();
        assert!(error.to_string().contains("31 bytes"), "{error}");
        assert!(SigningKey::hmac("ci", &[7; 31]).is_err());
        for length in [0, 31, 33, 64] {
            assert!(Key::ed25519("ci", &vec![7; length]).is_err(), "{length}");
            assert!(
                SigningKey::ed25519("ci", &vec![7; length]).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn debug_shows_no_key_material() {
        let secret = b"this-is-32-bytes-of-key-material";
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            Key::hmac("ci", secret).unwrap(),
            SigningKey::hmac("ci", secret).unwrap(),
            Key::ed25519("ci", secret).unwrap(),
            SigningKey::ed25519("ci", secret).unwrap(),
        );
        assert!(!shown.contains("material"), "{shown}");
        assert!(!shown.contains("74686973"), "{shown}");
        assert!(!shown.contains("116, 104, 105"), "{shown}");
    }

    #[test]
    fn a_secret_file_may_end_in_line_breaks() {
        assert_eq!(trim_secret(b"secret\r\n\n"), b"secret");
        assert_eq!(trim_secret(b"se\ncret "), b"se\ncret ");
        assert_eq!(trim_secret(b"\n"), b"");
    }

    /// RFC 9421, appendix B.2.5 and B.2.6.
    #[test]
    fn the_signatures_of_the_rfc_verify() {
        let decode = |text: &str| STANDARD.decode(text).unwrap();
        let hmac = Key::hmac(
            "test-shared-secret",
            &decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="),
        )
        .unwrap();
        let base = concat!(
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n",
            "\"@authority\": example.com\n",
            "\"content-type\": application/json\n",
            "\"@signature-params\": (\"date\" \"@authority\" \"content-type\")",
            ";created=1618884473;keyid=\"test-shared-secret\"",
        );
        let signature = decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
        assert!(hmac.verifies(base.as_bytes(), &signature));
        assert!(!hmac.verifies(base.as_bytes(), &signature[..31]));

        let ed25519 = Key::ed25519(
            "test-key-ed25519",
            &decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="),
        )
        .unwrap();
        let base = concat!(
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n",
            "\"@method\": POST\n",
            "\"@path\": /foo\n",
            "\"@authority\": example.com\n",
            "\"content-type\": application/json\n",
            "\"content-length\": 18\n",
            "\"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" ",
            "\"content-type\" \"content-length\")",
            ";created=1618884473;keyid=\"test-key-ed25519\"",
        );
        let signature = decode(
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
        );
        assert!(ed25519.verifies(base.as_bytes(), &signature));
        assert!(!ed25519.verifies(b"", &signature));
    }
}
