//! Binds a request's body to its signature.
//!
//! The headers alone determine the binding. The caller then checks the body against
//! it.

use http::{HeaderMap, header};

use super::base::single;
use super::digest;
use super::error::AuthError;
use super::profile::{CONTENT_DIGEST, SKEP_BODY, UNSIGNED};

/// The part of the body that a signature covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyBinding {
    /// There is no body. Refuse every byte of one: HTTP/2 can carry a body without
    /// announcing it. Bytes after a hijack are not a body.
    Empty,
    /// The body has this SHA-256. Check it before anything acts on the body.
    Digest([u8; 32]),
    /// The body is a stream that no digest covers. Allow it only if the endpoint
    /// takes streams.
    Unsigned,
}

impl BodyBinding {
    /// Checks a whole body.
    ///
    /// # Errors
    ///
    /// [`AuthError::DigestMismatch`] or, for an unexpected body,
    /// [`AuthError::UnsignedBody`].
    pub fn check(&self, body: &[u8]) -> Result<(), AuthError> {
        match self {
            Self::Empty if !body.is_empty() => Err(UNCOVERED),
            Self::Digest(digest) if *digest != digest::sha256(body) => {
                Err(AuthError::DigestMismatch)
            }
            _ => Ok(()),
        }
    }

    /// The binding of a request whose caller signs no body.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`] if its headers do not say clearly whether a
    /// body follows.
    pub fn uncovered(headers: &HeaderMap) -> Result<Self, AuthError> {
        if announces_body(headers)? {
            Ok(Self::Unsigned)
        } else {
            Ok(Self::Empty)
        }
    }

    /// Reads the binding from the headers of a request.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, AuthError> {
        match (
            single(headers, &CONTENT_DIGEST)?,
            single(headers, &SKEP_BODY)?,
        ) {
            (Some(value), None) => Ok(Self::Digest(digest::from_header(value.as_bytes())?)),
            (None, Some(value)) if value == UNSIGNED => Ok(Self::Unsigned),
            (None, Some(_)) => Err(AuthError::Malformed("Skep-Body can only be: unsigned")),
            (Some(_), Some(_)) => Err(AuthError::Malformed(
                "Content-Digest and Skep-Body: unsigned contradict each other",
            )),
            (None, None) if announces_body(headers)? => Err(UNCOVERED),
            (None, None) => Ok(Self::Empty),
        }
    }
}

const UNCOVERED: AuthError =
    AuthError::UnsignedBody("sign its Content-Digest, or for a stream Skep-Body: unsigned");

/// Whether the headers of an HTTP/1 request say that a body follows (RFC 9112 §6.3).
fn announces_body(headers: &HeaderMap) -> Result<bool, AuthError> {
    const LENGTH: AuthError = AuthError::Malformed("Content-Length must be one decimal number");
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(true);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (length, None) = (lengths.next(), lengths.next()) else {
        return Err(LENGTH);
    };
    match length.map(|value| value.as_bytes()) {
        None => Ok(false),
        Some(digits) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            Ok(digits.iter().any(|&digit| digit != b'0'))
        }
        Some(_) => Err(LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const DIGEST: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    fn read(headers: &[(&'static str, &'static str)]) -> Result<BodyBinding, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        BodyBinding::of(&map).map_err(|error| error.reason())
    }

    #[test]
    fn an_announced_body_must_be_bound() {
        for (headers, expected) in [
            (&[][..], Ok(BodyBinding::Empty)),
            (&[("content-length", "0")], Ok(BodyBinding::Empty)),
            (&[("content-length", "00")], Ok(BodyBinding::Empty)),
            (&[("content-length", "1")], Err("unsigned-body")),
            (&[("transfer-encoding", "chunked")], Err("unsigned-body")),
            (&[("transfer-encoding", "identity")], Err("unsigned-body")),
            (
                &[("content-length", "1"), ("skep-body", "unsigned")],
                Ok(BodyBinding::Unsigned),
            ),
            (&[("skep-body", "unsigned")], Ok(BodyBinding::Unsigned)),
            (&[("skep-body", "Unsigned")], Err("malformed")),
            (&[("skep-body", "")], Err("malformed")),
            (
                &[("skep-body", "unsigned"), ("content-digest", DIGEST)],
                Err("malformed"),
            ),
            (
                &[("content-digest", DIGEST), ("content-digest", DIGEST)],
                Err("malformed"),
            ),
            (
                &[
                    ("content-length", "1"),
                    ("content-digest", "sha-512=:AA==:"),
                ],
                Err("malformed"),
            ),
            (&[("content-length", "-1")], Err("malformed")),
            (&[("content-length", "")], Err("malformed")),
            (&[("content-length", "0, 5")], Err("malformed")),
            (
                &[("content-length", "0"), ("content-length", "5")],
                Err("malformed"),
            ),
        ] {
            assert_eq!(read(headers), expected, "{headers:?}");
        }
        let bound = read(&[("content-length", "19"), ("content-digest", DIGEST)]);
        assert!(matches!(bound, Ok(BodyBinding::Digest(_))));
    }

    #[test]
    fn without_a_covering_signature_an_announced_body_is_unsigned() {
        for (name, value, expected) in [
            ("content-length", "0", Ok(BodyBinding::Empty)),
            ("content-length", "7", Ok(BodyBinding::Unsigned)),
            ("transfer-encoding", "chunked", Ok(BodyBinding::Unsigned)),
            ("content-length", "x", Err("malformed")),
            ("accept", "*/*", Ok(BodyBinding::Empty)),
        ] {
            let mut map = HeaderMap::new();
            map.append(name, HeaderValue::from_static(value));
            let bound = BodyBinding::uncovered(&map).map_err(|error| error.reason());
            assert_eq!(bound, expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_body_must_be_the_one_that_was_bound() {
        let digest = BodyBinding::Digest(digest::sha256(b"{}"));
        assert_eq!(digest.check(b"{}"), Ok(()));
        assert_eq!(digest.check(b"{ }"), Err(AuthError::DigestMismatch));
        assert_eq!(digest.check(b""), Err(AuthError::DigestMismatch));
        assert_eq!(BodyBinding::Empty.check(b""), Ok(()));
        assert_eq!(BodyBinding::Empty.check(b"x"), Err(UNCOVERED));
        assert_eq!(BodyBinding::Unsigned.check(b"x"), Ok(()));
    }
}
