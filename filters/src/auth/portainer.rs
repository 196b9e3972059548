//! Portainer's own way to say who is calling, as its servers send it to its
//! agents: an ECDSA key and a signature over a constant, or over a secret that
//! both sides know.
//!
//! The signature covers nothing of the request and never expires, so whoever
//! sees one pair of headers has the server's rights for good. That is the
//! protocol; TLS is what keeps the pair from being seen. Which keys are taken is
//! decided elsewhere: here is only whether a signature holds, and nothing is
//! remembered.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName};
use md5::{Digest as _, Md5};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};

use super::base::single;
use super::digest;

/// `X-PortainerAgent-PublicKey`: a P-256 key, as the hexadecimal digits of its
/// `SubjectPublicKeyInfo` (RFC 5480 §2) in DER.
pub const PUBLIC_KEY: HeaderName = HeaderName::from_static("x-portaineragent-publickey");

/// `X-PortainerAgent-Signature`: 32 bytes of r and 32 of s in base64 without padding.
pub const PORTAINER_SIGNATURE: HeaderName = HeaderName::from_static("x-portaineragent-signature");

/// What is signed where no secret was agreed on.
const APPLICATION: &[u8] = b"Portainer-App";

/// How every P-256 key in DER begins. Go writes no other form, so none is read.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// An uncompressed point of the curve (SEC 1 §2.3.3).
const POINT: usize = 65;

/// Why a request is not a Portainer server's. The texts are its agent's: servers
/// look for them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PortainerError {
    /// One of the two headers is not there.
    #[error("Missing request signature headers")]
    Missing,
    /// A header is not what it should be; the text says which.
    #[error("Invalid request signature")]
    Malformed(&'static str),
    /// The signature is not by this key over what should be signed.
    #[error("Invalid request signature")]
    BadSignature,
    /// The signature holds, but another key is the one that is trusted.
    #[error("Invalid request signature")]
    OtherKey {
        /// The fingerprint of the key that was shown.
        shown: String,
    },
    /// No key is trusted yet, and whether this one may be cannot be known now.
    #[error("Invalid request signature")]
    NotYet(String),
}

impl PortainerError {
    /// A short token for logs and metric labels.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "portainer-missing",
            Self::Malformed(_) => "portainer-malformed",
            Self::BadSignature => "portainer-bad-signature",
            Self::OtherKey { .. } => "portainer-other-key",
            Self::NotYet(_) => "portainer-not-yet",
        }
    }

    /// What the caller is told besides the message.
    #[must_use]
    pub fn details(&self) -> &str {
        match self {
            Self::Missing => "Unauthorized",
            Self::Malformed(why) => why,
            Self::BadSignature => "Unauthorized",
            Self::OtherKey { .. } => "Another key is trusted here",
            Self::NotYet(why) => why,
        }
    }
}

/// The public key of a Portainer server.
#[derive(Clone, Eq, PartialEq)]
pub struct PublicKey {
    point: [u8; POINT],
}

impl PublicKey {
    /// Reads the text of a file: PEM, as Portainer keeps it in `portainer.pub`
    /// or as OpenSSL writes it, or the hexadecimal digits of the header.
    ///
    /// # Errors
    ///
    /// A sentence, if it is neither or not a P-256 key.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        const NEITHER: &str = "not a P-256 public key in PEM or in hexadecimal digits of its DER";
        let text = text.trim();
        if !text.starts_with("-----BEGIN ") {
            return Self::from_hex(text.as_bytes()).map_err(|_| NEITHER);
        }
        let mut lines = text.lines().map(str::trim);
        let begin = lines.next().unwrap_or_default();
        if !begin.ends_with("PUBLIC KEY-----") {
            return Err(NEITHER);
        }
        let encoded: String = lines
            .take_while(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD.decode(encoded).map_err(|_| NEITHER)?;
        Self::from_der(&der).map_err(|_| NEITHER)
    }

    /// Reads the digits of the header.
    ///
    /// # Errors
    ///
    /// [`PortainerError::Malformed`] for anything but a point of P-256.
    pub fn from_hex(digits: &[u8]) -> Result<Self, PortainerError> {
        const HEX: PortainerError =
            PortainerError::Malformed("The public key is not 182 hexadecimal digits");
        if digits.len() != 2 * (SPKI.len() + POINT) {
            return Err(HEX);
        }
        let mut der = [0; SPKI.len() + POINT];
        for (byte, pair) in der.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(HEX) };
            let (Some(high), Some(low)) = (nibble(high), nibble(low)) else {
                return Err(HEX);
            };
            *byte = high << 4 | low;
        }
        Self::from_der(&der)
    }

    fn from_der(der: &[u8]) -> Result<Self, PortainerError> {
        const P256: PortainerError =
            PortainerError::Malformed("The public key is not an ECDSA key of the curve P-256");
        let point = der.strip_prefix(&SPKI).ok_or(P256)?;
        let point: [u8; POINT] = point.try_into().map_err(|_| P256)?;
        // Off the curve, it would verify nothing; a mistake is told at once.
        VerifyingKey::from_sec1_bytes(&point).map_err(|_| P256)?;
        Ok(Self { point })
    }

    /// As in the header.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(SPKI.iter().chain(&self.point))
    }

    /// The first eight bytes of the SHA-256 of its DER, for logs.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let der: Vec<u8> = SPKI.iter().chain(&self.point).copied().collect();
        hex(digest::sha256(&der).iter().take(8))
    }

    /// Whether `signature` is this key's over `message`.
    fn verifies(&self, message: &Message, signature: &Signature) -> bool {
        VerifyingKey::from_sec1_bytes(&self.point)
            .is_ok_and(|key| key.verify_prehash(&message.0, signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// What a server has to have signed, digested: MD5 stands in for the digest of
/// ECDSA, on both sides, still in 2.45.
#[derive(Clone, Eq, PartialEq)]
pub struct Message([u8; 16]);

impl Message {
    /// The constant of servers that were given no `AGENT_SECRET`.
    #[must_use]
    pub fn application() -> Self {
        Self(Md5::digest(APPLICATION).into())
    }

    /// The `AGENT_SECRET` that server and agents were given.
    #[must_use]
    pub fn secret(secret: &[u8]) -> Self {
        Self(Md5::digest(secret).into())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(..)")
    }
}

/// The two headers of a request.
#[derive(Debug)]
pub struct Shown {
    key: PublicKey,
    signature: Signature,
}

impl Shown {
    /// Whether a request has any of them.
    #[must_use]
    pub fn any(headers: &HeaderMap) -> bool {
        headers.contains_key(PUBLIC_KEY) || headers.contains_key(PORTAINER_SIGNATURE)
    }

    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`PortainerError::Missing`] if one of them is not there or empty, and
    /// [`PortainerError::Malformed`].
    pub fn of(headers: &HeaderMap) -> Result<Self, PortainerError> {
        const SIGNATURE: PortainerError =
            PortainerError::Malformed("The signature is not 64 bytes in base64");
        let one = |name| {
            let value = single(headers, name);
            let value = value.map_err(|_| PortainerError::Malformed("A header occurs twice"))?;
            match value.map(|v| v.as_bytes()) {
                None | Some([]) => Err(PortainerError::Missing),
                Some(value) => Ok(value),
            }
        };
        let (key, signature) = (one(&PUBLIC_KEY)?, one(&PORTAINER_SIGNATURE)?);
        let mut bytes = [0; 66];
        let length = STANDARD_NO_PAD.decode_slice(signature, &mut bytes);
        let length = length.map_err(|_| SIGNATURE)?;
        let signature = bytes.get(..length).ok_or(SIGNATURE)?;
        Ok(Self {
            key: PublicKey::from_hex(key)?,
            signature: Signature::from_slice(signature).map_err(|_| SIGNATURE)?,
        })
    }

    /// The key that was shown; it proves nothing by itself.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Checks the signature.
    ///
    /// # Errors
    ///
    /// [`PortainerError::BadSignature`] if it is not by this key over `message`.
    pub fn verify(&self, message: &Message) -> Result<(), PortainerError> {
        match self.key.verifies(message, &self.signature) {
            true => Ok(()),
            false => Err(PortainerError::BadSignature),
        }
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| value.try_into().ok())
}

fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
