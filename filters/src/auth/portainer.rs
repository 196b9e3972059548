//! Verifies the signature of a Portainer server: by an ECDSA key, over a constant or
//! over a secret that both sides know.
//!
//! The signature covers nothing of the request and never expires. Anyone who sees
//! one pair of headers has the rights of the server for good. That is the
//! protocol; only TLS hides the pair. This module does not decide which keys are
//! trusted, and remembers nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use http::{HeaderMap, HeaderName};
use md5::{Digest as _, Md5};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;

use super::base::single;
use super::digest;

/// `X-PortainerAgent-PublicKey`: a P-256 key, as the hexadecimal digits of its
/// `SubjectPublicKeyInfo` (RFC 5480 §2) in DER.
pub const PUBLIC_KEY: HeaderName = HeaderName::from_static("x-portaineragent-publickey");

/// `X-PortainerAgent-Signature`: 32 bytes of r and 32 of s in base64 without padding.
pub const PORTAINER_SIGNATURE: HeaderName = HeaderName::from_static("x-portaineragent-signature");

/// The signed message if there is no shared secret.
const APPLICATION: &[u8] = b"Portainer-App";

/// The length of a P-256 key in DER, its point uncompressed (SEC 1 §2.3.3), in bytes.
/// Go writes no other form, so no other is read.
const DER: usize = 91;

/// Why a request is not from a trusted Portainer server. The texts are those of
/// Portainer's agent, since servers compare them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PortainerError {
    /// One of the two headers is missing.
    #[error("Missing request signature headers")]
    Missing,
    /// A header is malformed; the text says which.
    #[error("Invalid request signature")]
    Malformed(&'static str),
    /// This key did not make this signature over the expected message.
    #[error("Invalid request signature")]
    BadSignature,
    /// The signature is valid, but another key is trusted.
    #[error("Invalid request signature")]
    OtherKey {
        /// The fingerprint of the key in the request.
        shown: String,
    },
    /// No key is trusted yet, and whether to trust this one cannot be decided now.
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

    /// The details for the caller, besides the message.
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
    der: [u8; DER],
    key: VerifyingKey,
}

impl PublicKey {
    /// Reads the text of a file: PEM, as in Portainer's `portainer.pub` or as OpenSSL
    /// writes it, or the hexadecimal digits of the header.
    ///
    /// # Errors
    ///
    /// The reason, if the text has neither form, or is not a P-256 key.
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
        if digits.len() != 2 * DER {
            return Err(HEX);
        }
        let mut der = [0; DER];
        HEXLOWER_PERMISSIVE
            .decode_mut(digits, &mut der)
            .map_err(|_| HEX)?;
        Self::from_der(&der)
    }

    fn from_der(der: &[u8]) -> Result<Self, PortainerError> {
        const P256: PortainerError =
            PortainerError::Malformed("The public key is not an ECDSA key of the curve P-256");
        let der: [u8; DER] = der.try_into().map_err(|_| P256)?;
        let key = VerifyingKey::from_public_key_der(&der).map_err(|_| P256)?;
        Ok(Self { der, key })
    }

    /// The hexadecimal digits of the header.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.der)
    }

    /// The first eight bytes of the SHA-256 of its DER, for logs.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = digest::sha256(&self.der);
        HEXLOWER.encode(&digest[..8])
    }

    /// Whether this key made `signature` over `message`.
    fn verifies(&self, message: &Message, signature: &Signature) -> bool {
        self.key.verify_prehash(&message.0, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// The message that a server has to sign, digested. Portainer uses MD5 as the
/// digest of ECDSA, still in 2.45.
#[derive(Clone, Eq, PartialEq)]
pub struct Message([u8; 16]);

impl Message {
    /// The constant, for servers without an `AGENT_SECRET`.
    #[must_use]
    pub fn application() -> Self {
        Self(Md5::digest(APPLICATION).into())
    }

    /// The `AGENT_SECRET` of the server and its agents.
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
pub struct PortainerHeaders {
    key: PublicKey,
    signature: Signature,
}

impl PortainerHeaders {
    /// Whether a request has any of the two headers.
    #[must_use]
    pub fn any(headers: &HeaderMap) -> bool {
        headers.contains_key(PUBLIC_KEY) || headers.contains_key(PORTAINER_SIGNATURE)
    }

    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`PortainerError::Missing`] if one of them is absent or empty, otherwise
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

    /// The key in the request; by itself it proves nothing.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Verifies the signature.
    ///
    /// # Errors
    ///
    /// [`PortainerError::BadSignature`] if this key did not make it over `message`.
    pub fn verify(&self, message: &Message) -> Result<(), PortainerError> {
        if self.key.verifies(message, &self.signature) {
            Ok(())
        } else {
            Err(PortainerError::BadSignature)
        }
    }
}

#[cfg(test)]
mod tests;
