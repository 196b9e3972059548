//! Reads and writes `Content-Digest` (RFC 9530 §2), with `sha-256` only.
//!
//! A digest alone proves nothing: a signature must cover the header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::error::AuthError;

/// The SHA-256 of a body.
#[must_use]
pub fn sha256(body: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    // SHA-256 has 32 bytes; unlike `copy_from_slice`, zip cannot panic.
    let hashed = digest::digest(&digest::SHA256, body);
    for (byte, hashed) in bytes.iter_mut().zip(hashed.as_ref()) {
        *byte = *hashed;
    }
    bytes
}

/// The header value for a digest.
#[must_use]
pub fn to_header(digest: &[u8; 32]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest))
}

/// Reads a header value: exactly one digest, by `sha-256`.
///
/// # Errors
///
/// [`AuthError::Malformed`] for anything else. With a list of digests it would be
/// unclear which of them was checked.
pub fn from_header(value: &[u8]) -> Result<[u8; 32], AuthError> {
    value
        .strip_prefix(b"sha-256=:")
        .and_then(|rest| rest.strip_suffix(b":"))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|digest| digest.try_into().ok())
        .ok_or(AuthError::Malformed(
            "Content-Digest must be exactly one sha-256 digest: sha-256=:<base64>:",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9530, appendix B.1 (the body ends in a line feed).
    const RFC_BODY: &[u8] = b"{\"hello\": \"world\"}\n";
    const RFC_VALUE: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    #[test]
    fn the_example_of_the_rfc_is_formatted_and_read() {
        assert_eq!(to_header(&sha256(RFC_BODY)), RFC_VALUE);
        assert_eq!(from_header(RFC_VALUE.as_bytes()), Ok(sha256(RFC_BODY)));
    }

    #[test]
    fn anything_but_one_sha_256_digest_is_malformed() {
        let twice = format!("{RFC_VALUE}, {RFC_VALUE}");
        for value in [
            "",
            "sha-256",
            "sha-256=::",
            "sha-256=:AAAA:",
            "sha-256=RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=",
            "SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg:",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDh=:",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:;p=1",
            "sha-512=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            &twice,
        ] {
            let read = from_header(value.as_bytes());
            assert!(matches!(read, Err(AuthError::Malformed(_))), "{value:?}");
        }
    }
}
