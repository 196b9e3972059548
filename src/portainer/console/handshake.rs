//! Checks and answers a websocket's opening handshake, as the server (RFC 6455
//! §4.2), without extensions and subprotocols.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Uri};
use pingora::http::ResponseHeader;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::Problem;
use crate::listen::server_headers::ServerHeaders;

/// Hashed together with the key (§1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept` for a request.
///
/// # Errors
/// If the request is not a websocket's, or comes from a page of another site: a
/// browser sends its user's certificate for any page (§10.2).
pub(super) fn accept(headers: &HeaderMap) -> Result<String, Problem> {
    if !lists(headers, UPGRADE, "websocket") || !lists(headers, CONNECTION, "upgrade") {
        return Err(Problem::Handshake(
            "the request does not ask for an upgrade",
        ));
    }
    if !lists(headers, SEC_WEBSOCKET_VERSION, "13") {
        return Err(Problem::Handshake("Sec-WebSocket-Version must be 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
    let key = key.ok_or(Problem::Handshake(
        "Sec-WebSocket-Key is not 16 bytes in base64",
    ))?;
    if let Some(origin) = headers.get(ORIGIN)
        && !is_same(origin, headers.get(HOST))
    {
        return Err(Problem::Origin);
    }
    // By hand: tungstenite's `derive_accept_key` would bring a second SHA-1 beside ring's.
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID.as_bytes()].concat());
    Ok(STANDARD.encode(hash))
}

/// The head of the answer that grants the upgrade.
///
/// # Errors
/// Never: all values in it have been headers before.
pub(super) fn agreed(accept: &str, server_headers: &ServerHeaders) -> pingora::Result<Vec<u8>> {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    )
    .into_bytes();
    head.extend(server_headers.lines(&ResponseHeader::build(101, None)?));
    head.extend(b"\r\n");
    Ok(head)
}

fn lists(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|word| word.trim().eq_ignore_ascii_case(wanted))
}

fn is_same(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.to_str().ok().and_then(|o| o.parse::<Uri>().ok());
    let authority = origin.as_ref().and_then(Uri::authority);
    let host = host.and_then(|host| host.to_str().ok());
    matches!((authority, host), (Some(a), Some(h)) if a.as_str().eq_ignore_ascii_case(h))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(changes: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "agent:9001"),
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        .iter()
        .chain(changes)
        {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let accepted = accept(&request(&[])).unwrap();
        assert_eq!(accepted, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let server_headers = ServerHeaders::new(HeaderValue::from_static("id n1"), &[]);
        let head = agreed(&accepted, &server_headers).unwrap();
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "));
        assert!(head.ends_with("Skep-Node: id n1\r\n\r\n"), "{head}");
    }

    #[test]
    fn a_request_that_is_not_a_websocket_handshake_is_refused() {
        for change in [
            ("upgrade", "tcp"),
            ("connection", "close"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short"),
            ("sec-websocket-key", "dGhlIHNhbXBsZQ=="),
        ] {
            let refused = accept(&request(&[change])).unwrap_err();
            assert_eq!(refused.status(), 426, "{change:?}");
        }
    }

    #[test]
    fn only_pages_of_the_same_site_get_a_console() {
        for (origin, same) in [
            ("https://agent:9001", true),
            ("https://AGENT:9001", true),
            ("https://agent", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            let accepted = accept(&request(&[("origin", origin)])).is_ok();
            assert_eq!(accepted, same, "{origin}");
        }
    }
}
