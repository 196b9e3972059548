//! Reads and writes `Signature-Input`: the component list and the parameters, in one
//! fixed form.
//!
//! This is deliberately not a parser of structured fields. It reads the three
//! values that vary. The verifier then writes the header from them and compares
//! bytes, so another order, spacing, case or number of anything is refused
//! without a rule of its own.

use super::base::Components;
use super::error::AuthError;
use super::key;
use super::profile::LABEL;

/// The parameters of one signature.
pub(super) struct Params<'a> {
    /// Seconds since the epoch at which the signature was made.
    pub(super) created: u64,
    pub(super) nonce: u128,
    pub(super) key_id: &'a str,
}

impl<'a> Params<'a> {
    /// Reads the component list and the parameters from a header value.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if the value does not have the form of the profile.
    pub(super) fn parse(value: &'a str) -> Result<(&'a str, Self), AuthError> {
        Self::pick(value).ok_or(FORM)
    }

    /// The header value without its label: `(…);created=…;nonce="…";keyid="…";tag="…"`.
    pub(super) fn write(&self, covered: &Components<'_>) -> String {
        format!(
            r#"({});created={};nonce="{:032x}";keyid="{}";tag="{}""#,
            covered.list(),
            self.created,
            self.nonce,
            self.key_id,
            covered.tag(),
        )
    }

    fn pick(value: &'a str) -> Option<(&'a str, Self)> {
        let rest = unlabelled(value)?.strip_prefix('(')?;
        let (list, rest) = rest.split_once(')')?;
        let (created, rest) = rest.strip_prefix(";created=")?.split_once(';')?;
        let (nonce, rest) = rest.strip_prefix(r#"nonce=""#)?.split_once('"')?;
        let (key_id, _) = rest.strip_prefix(r#";keyid=""#)?.split_once('"')?;
        key::is_id(key_id).then_some(())?;
        let params = Self {
            created: created.parse().ok()?,
            nonce: u128::from_str_radix(nonce, 16).ok()?,
            key_id,
        };
        Some((list, params))
    }
}

/// The part after `sig1=` in a `Signature-Input` or `Signature` header.
pub(super) fn unlabelled(value: &str) -> Option<&str> {
    value.strip_prefix(LABEL)?.strip_prefix('=')
}

/// The refusal of a `Signature-Input` that is not in the form of the profile.
pub(super) const FORM: AuthError = AuthError::Malformed(
    r#"Signature-Input must be exactly sig1=(…);created=…;nonce="<32 hex digits>";keyid="…";tag="skep/2", without an alg or a second signature"#,
);
