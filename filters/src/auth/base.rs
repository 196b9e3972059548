//! Builds the signature base (RFC 9421 §2.5): the bytes that are signed.
//!
//! Signer and verifier share this code. It reads the request alone, no keys and no
//! time.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::error::AuthError;
use super::profile::{COVERED_HEADERS, DERIVED, SKEP_AUDIENCE, TAG, TAG_WITHOUT_AUDIENCE};

/// The covered components of one request, by reference.
pub(super) struct Components<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    /// In the order of [`COVERED_HEADERS`]; `None` if the request lacks the header.
    values: [Option<&'a [u8]>; COVERED_HEADERS.len()],
}

impl<'a> Components<'a> {
    /// Collects the components that the profile covers.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if a covered header occurs twice (readers differ in
    /// which one counts) or is nominated by `Connection`: such a header would be
    /// verified here and dropped at the next hop.
    pub(super) fn of(parts: &'a Parts) -> Result<Self, AuthError> {
        refuse_nominated(&parts.headers)?;
        let mut values = [None; COVERED_HEADERS.len()];
        // A request has few headers: visiting each is cheaper than a lookup for
        // each covered name.
        for (name, value) in &parts.headers {
            let Some(n) = COVERED_HEADERS.iter().position(|covered| covered == name) else {
                continue;
            };
            if values[n].replace(trim(value.as_bytes())).is_some() {
                return Err(TWICE);
            }
        }
        Ok(Self {
            method: parts.method.as_str(),
            // RFC 9421 §2.2.6: an empty path is signed as a slash.
            path: match parts.uri.path() {
                "" => "/",
                path => path,
            },
            query: parts.uri.query().unwrap_or_default(),
            values,
        })
    }

    /// Replaces the value of the covered header `name`.
    pub(super) fn replace(&mut self, name: &HeaderName, value: Option<&'a [u8]>) {
        for (slot, covered) in self.values.iter_mut().zip(&COVERED_HEADERS) {
            if covered == name {
                *slot = value;
            }
        }
    }

    /// The value of `Skep-Audience`.
    pub(super) fn audience(&self) -> Option<&'a [u8]> {
        let mut headers = COVERED_HEADERS.iter().zip(self.values);
        headers.find(|(name, _)| *name == SKEP_AUDIENCE)?.1
    }

    /// The tag of the profile's version, which depends on the audience alone.
    pub(super) fn tag(&self) -> &'static str {
        match self.audience() {
            Some(_) => TAG,
            None => TAG_WITHOUT_AUDIENCE,
        }
    }

    /// The component list as in `Signature-Input`, without its parentheses.
    pub(super) fn list(&self) -> String {
        let mut list = String::with_capacity(192);
        for name in DERIVED
            .into_iter()
            .chain(self.headers().map(|(name, _)| name))
        {
            if !list.is_empty() {
                list.push(' ');
            }
            list.push('"');
            list.push_str(name);
            list.push('"');
        }
        list
    }

    /// The signature base, for `params` as they follow the label in
    /// `Signature-Input`.
    pub(super) fn signature_base(&self, params: &str) -> Vec<u8> {
        let mut base = Vec::with_capacity(1024);
        let [method, path, query] = DERIVED;
        line(&mut base, method, &[self.method.as_bytes(), b"\n"]);
        line(&mut base, path, &[self.path.as_bytes(), b"\n"]);
        line(&mut base, query, &[b"?", self.query.as_bytes(), b"\n"]);
        for (name, value) in self.headers() {
            line(&mut base, name, &[value, b"\n"]);
        }
        line(&mut base, "@signature-params", &[params.as_bytes()]);
        base
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        COVERED_HEADERS
            .iter()
            .zip(self.values)
            .filter_map(|(name, value)| Some((name.as_str(), value?)))
    }
}

/// The value of a header that may occur once.
///
/// # Errors
///
/// [`AuthError::Malformed`] if it occurs more often.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, AuthError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(TWICE),
    }
}

const TWICE: AuthError =
    AuthError::Malformed("a header that is signed, or is part of the signature, occurs twice");

fn refuse_nominated(headers: &HeaderMap) -> Result<(), AuthError> {
    for value in headers.get_all(header::CONNECTION) {
        for option in value.as_bytes().split(|&byte| byte == b',').map(trim) {
            let covered = COVERED_HEADERS
                .iter()
                .filter(|&name| name != header::UPGRADE)
                .any(|name| name.as_str().as_bytes().eq_ignore_ascii_case(option));
            if covered {
                return Err(AuthError::Malformed(
                    "the Connection header names a signed header, which the next hop would drop",
                ));
            }
        }
    }
    Ok(())
}

/// Removes the optional whitespace at both ends (RFC 9421 §2.1, RFC 9110 §5.6.3).
/// `HeaderValue` has no line breaks, so there is no obsolete folding to undo.
fn trim(value: &[u8]) -> &[u8] {
    let ows = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().take_while(|byte| ows(byte)).count();
    let end = value.iter().rev().take_while(|byte| ows(byte)).count();
    value.get(start..value.len() - end).unwrap_or_default()
}

fn line(base: &mut Vec<u8>, name: &str, value: &[&[u8]]) {
    base.push(b'"');
    base.extend_from_slice(name.as_bytes());
    base.extend_from_slice(b"\": ");
    for piece in value {
        base.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_whitespace_is_trimmed_and_inner_whitespace_kept() {
        for (value, trimmed) in [
            ("a  b", "a  b"),
            (" \ta b\t ", "a b"),
            ("", ""),
            (" ", ""),
            ("\t \t", ""),
        ] {
            assert_eq!(trim(value.as_bytes()), trimmed.as_bytes(), "{value:?}");
        }
    }
}
