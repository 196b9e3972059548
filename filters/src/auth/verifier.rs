//! Checks that a known key signed exactly this request, recently, and that the
//! request was not received before.
//!
//! Returns the key and the binding of the body. Policies decide what the key may do.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::audience::Audiences;
use super::base::{Components, single};
use super::body::BodyBinding;
use super::error::{AuthError, KeyError};
use super::key::{Key, KeyKind};
use super::params::{self, Params};
use super::profile::{SIGNATURE, SIGNATURE_INPUT};
use super::replay::NonceMemory;
use super::window::Window;

/// A request with a valid signature.
#[derive(Clone, Copy, Debug)]
pub struct ValidSignature<'a> {
    /// The key that signed it.
    pub key: &'a Key,
    /// The part of the body that the signature covers; check the body against it.
    pub body: BodyBinding,
}

/// Verifies signatures, with a set of keys, the names of the cluster, a time window and a memory of nonces.
///
/// It is immutable: for new keys, make a new verifier with the same memory.
#[derive(Debug)]
pub struct Verifier {
    keys: HashMap<Arc<str>, Key>,
    audiences: Audiences,
    window: Window,
    nonces: Arc<NonceMemory>,
}

impl Verifier {
    /// A verifier for `keys` of a cluster that has one of these `audiences`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Duplicate`] if two keys have the same id.
    pub fn new(
        keys: impl IntoIterator<Item = Key>,
        audiences: impl Into<Audiences>,
        window: Window,
        nonces: Arc<NonceMemory>,
    ) -> Result<Self, KeyError> {
        let mut by_id = HashMap::new();
        for key in keys {
            match by_id.entry(Arc::clone(key.id())) {
                Entry::Vacant(slot) => slot.insert(key),
                Entry::Occupied(_) => return Err(KeyError::Duplicate(key.id().to_string())),
            };
        }
        Ok(Self {
            keys: by_id,
            audiences: audiences.into(),
            window,
            nonces,
        })
    }

    /// Checks the signature of a request at the time `now`, in seconds since the
    /// epoch, and remembers its nonce: a second call with the same request is
    /// refused.
    ///
    /// `parts.uri` must be the target that will be forwarded. A server that keeps
    /// the target elsewhere (one in absolute form, or not UTF-8) must refuse such
    /// requests itself.
    ///
    /// # Errors
    ///
    /// [`AuthError`] says why the request is refused. Refused requests are not
    /// remembered, so that callers without a key cannot fill the memory.
    pub fn verify(&self, parts: &Parts, now: u64) -> Result<ValidSignature<'_>, AuthError> {
        let input = required(&parts.headers, &SIGNATURE_INPUT, "Signature-Input")?;
        let signature = required(&parts.headers, &SIGNATURE, "Signature")?;
        let signature = decode_signature(signature)?;

        let covered = Components::of(parts)?;
        if covered.audience().is_none() && self.audiences.are_required() {
            return Err(AuthError::NoAudience);
        }
        let params = canonical(input, &covered)?;
        let base = covered.signature_base(params.unlabelled);

        let Params {
            created,
            nonce,
            key_id,
        } = params.values;
        let key = self.keys.get(key_id).ok_or_else(|| AuthError::UnknownKey {
            key_id: key_id.to_owned(),
        })?;
        if !key.verifies(&base, &signature) {
            return Err(AuthError::BadSignature {
                key_id: key_id.to_owned(),
            });
        }

        if key.kind() == KeyKind::FormerOperator {
            return Err(AuthError::FormerOperator);
        }
        if !self.audiences.admit(covered.audience()) {
            return Err(AuthError::OtherAudience {
                key_id: key_id.to_owned(),
            });
        }
        if !self.window.admits(created, now) {
            return Err(AuthError::TimestampSkew { created, now });
        }
        let body = BodyBinding::of(&parts.headers)?;
        if body == BodyBinding::Unsigned && !key.unsigned_streams() {
            return Err(AuthError::UnsignedBody(
                "this key may not send Skep-Body: unsigned; allow unsigned streams for it, or sign a Content-Digest",
            ));
        }
        self.nonces
            .remember(key_id, nonce, created, now, self.window)?;
        Ok(ValidSignature { key, body })
    }
}

/// Parameters in exactly the form in which this profile writes them.
struct CanonicalInput<'a> {
    unlabelled: &'a str,
    values: Params<'a>,
}

/// Reads `Signature-Input`, writes it again for this request, and compares.
fn canonical<'a>(
    input: &'a str,
    covered: &Components<'_>,
) -> Result<CanonicalInput<'a>, AuthError> {
    let (list, values) = Params::parse(input)?;
    let unlabelled = params::unlabelled(input).ok_or(params::FORM)?;
    if unlabelled != values.write(covered) {
        let required = covered.list();
        return Err(if list == required {
            params::FORM
        } else {
            AuthError::NotCovered { required }
        });
    }
    Ok(CanonicalInput { unlabelled, values })
}

fn required<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<&'a str, AuthError> {
    single(headers, name)?
        .ok_or(AuthError::Missing(shown))?
        .to_str()
        .map_err(|_| params::FORM)
}

fn decode_signature(value: &str) -> Result<Vec<u8>, AuthError> {
    params::unlabelled(value)
        .and_then(|bytes| bytes.strip_prefix(':')?.strip_suffix(':'))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .ok_or(AuthError::Malformed(
            "Signature must be exactly one signature: sig1=:<base64>:",
        ))
}
