//! Signs requests in the one form that the verifier accepts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::audience::Audience;
use super::base::Components;
use super::body::BodyBinding;
use super::digest;
use super::error::AuthError;
use super::key::SigningKey;
use super::params::Params;
use super::profile::{
    CONTENT_DIGEST, LABEL, SIGNATURE, SIGNATURE_INPUT, SKEP_AUDIENCE, SKEP_BODY, UNSIGNED,
};

/// Signs requests with one key, for one cluster.
#[derive(Debug)]
pub struct Signer {
    key: SigningKey,
    audience: Option<Audience>,
}

impl Signer {
    /// A signer with this key, whose requests no other cluster accepts.
    #[must_use]
    pub fn new(key: SigningKey, audience: Audience) -> Self {
        Self {
            key,
            audience: Some(audience),
        }
    }

    /// A signer by the old profile `skep/1`. Every cluster that has the key and still
    /// accepts this profile accepts its requests.
    #[must_use]
    pub fn without_audience(key: SigningKey) -> Self {
        Self {
            key,
            audience: None,
        }
    }

    /// The key that signs.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The cluster that it signs for.
    #[must_use]
    pub fn audience(&self) -> Option<&Audience> {
        self.audience.as_ref()
    }

    /// Signs a request at the time `now`, in seconds since the epoch. Call it last: a
    /// later change of a covered header invalidates the signature.
    ///
    /// `nonce` must be 16 bytes from a cryptographic random source, new for every
    /// call. An existing signature, audience or body binding is
    /// replaced.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if no verifier accepts the request: a covered header
    /// occurs twice, or is named in `Connection`.
    pub fn sign(
        &self,
        parts: &mut Parts,
        body: BodyBinding,
        now: u64,
        nonce: [u8; 16],
    ) -> Result<(), AuthError> {
        for (name, value) in self.headers(parts, body, now, nonce)?.into_changes() {
            match value {
                Some(value) => drop(parts.headers.insert(name, value)),
                None => drop(parts.headers.remove(name)),
            }
        }
        Ok(())
    }

    /// As [`Signer::sign`], for requests whose headers cannot be changed in place:
    /// returns the changes.
    ///
    /// # Errors
    ///
    /// As [`Signer::sign`].
    pub fn headers(
        &self,
        parts: &Parts,
        body: BodyBinding,
        now: u64,
        nonce: [u8; 16],
    ) -> Result<SignatureHeaders, AuthError> {
        let (content_digest, skep_body) = match body {
            BodyBinding::Empty => (None, None),
            BodyBinding::Digest(digest) => (Some(to_value(digest::to_header(&digest))?), None),
            BodyBinding::Unsigned => (None, Some(HeaderValue::from_static(UNSIGNED))),
        };
        let audience = self.audience.as_ref().map(Audience::to_string);
        let audience = audience.map(to_value).transpose()?;
        let mut covered = Components::of(parts)?;
        let bytes = HeaderValue::as_bytes;
        covered.replace(&SKEP_AUDIENCE, audience.as_ref().map(bytes));
        covered.replace(&CONTENT_DIGEST, content_digest.as_ref().map(bytes));
        covered.replace(&SKEP_BODY, skep_body.as_ref().map(bytes));

        let params = Params {
            created: now,
            nonce: u128::from_be_bytes(nonce),
            key_id: self.key.id(),
        }
        .write(&covered);
        let signature = self
            .key
            .sign(&covered.signature_base(&params), |raw| STANDARD.encode(raw));
        Ok(SignatureHeaders {
            signature_input: to_value(format!("{LABEL}={params}"))?,
            signature: to_value(format!("{LABEL}=:{signature}:"))?,
            audience,
            content_digest,
            skep_body,
        })
    }
}

/// The headers of a signature.
#[derive(Clone, Debug)]
pub struct SignatureHeaders {
    audience: Option<HeaderValue>,
    content_digest: Option<HeaderValue>,
    skep_body: Option<HeaderValue>,
    signature_input: HeaderValue,
    signature: HeaderValue,
}

impl SignatureHeaders {
    /// The new value of each of these headers; `None` removes it. Apply all five: the
    /// signature depends on them.
    #[must_use]
    pub fn into_changes(self) -> [(HeaderName, Option<HeaderValue>); 5] {
        [
            (SKEP_AUDIENCE, self.audience),
            (CONTENT_DIGEST, self.content_digest),
            (SKEP_BODY, self.skep_body),
            (SIGNATURE_INPUT, Some(self.signature_input)),
            (SIGNATURE, Some(self.signature)),
        ]
    }
}

fn to_value(text: String) -> Result<HeaderValue, AuthError> {
    HeaderValue::try_from(text).map_err(|_| {
        AuthError::Malformed("a signature header would have a character that HTTP forbids")
    })
}
