//! Builds the heads of the agent's own requests, and sends bodies piece by piece.

use http::Method;
use http::header::{CONTENT_LENGTH, HOST};
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;

/// The value of `Host`, which engines and agents ignore.
pub(crate) const AUTHORITY: &str = "docker";

/// A plain `GET`.
///
/// # Errors
/// Fails if the target is not a request target.
pub(crate) fn get(target: &str) -> pingora::Result<RequestHeader> {
    build(&Method::GET, target)
}

/// A request without a body.
///
/// # Errors
/// Fails if the target is not a request target.
pub(crate) fn build(method: &Method, target: &str) -> pingora::Result<RequestHeader> {
    let mut head = RequestHeader::build(method.clone(), target.as_bytes(), Some(8))?;
    if method == Method::POST {
        // RFC 9110 §8.6: a POST without a body has a length too.
        head.insert_header(CONTENT_LENGTH, "0")?;
    }
    head.insert_header(HOST, AUTHORITY)?;
    Ok(head)
}

/// Sends a piece of a request's body. Nothing is sent for an empty piece: Pingora
/// would write it as the chunk that ends the body. It yields such pieces itself
/// where a read ends inside the head of a chunk.
///
/// # Errors
/// As the connection fails.
pub(crate) async fn write_piece(upstream: &mut HttpSession, piece: &[u8]) -> pingora::Result<()> {
    if !piece.is_empty() {
        upstream.write_body(piece).await?;
    }
    Ok(())
}

/// Encodes a decoded path, or a name in one, for a request target.
pub(crate) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@+".contains(&byte) {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_path_is_encoded_for_the_target() {
        assert_eq!(escape("reg:5000/a/b@sha256:0a"), "reg:5000/a/b@sha256:0a");
        assert_eq!(escape("a b?c#d%"), "a%20b%3Fc%23d%25");
    }
}
