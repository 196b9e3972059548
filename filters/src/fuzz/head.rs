//! Parses a request's head: `METHOD target`, then one header on each line.
//!
//! This is not an HTTP parser: the agent uses Pingora's. The types of `http` decide
//! which names and values are valid.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// Reads a head; `None` if the text is not one.
pub(super) fn parse(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (method, target) = part(lines.next()?, b' ')?;
    let mut parts = Request::new(()).into_parts().0;
    parts.method = Method::from_bytes(method).ok()?;
    parts.uri = Uri::try_from(target).ok()?;
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = part(line, b':')?;
        parts.headers.append(
            HeaderName::from_bytes(name).ok()?,
            HeaderValue::from_bytes(value.strip_prefix(b" ").unwrap_or(value)).ok()?,
        );
    }
    Some(parts)
}

/// The head as text.
pub(super) fn write(parts: &Parts) -> Vec<u8> {
    let mut text = format!("{} {}", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        text.push(b'\n');
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
    }
    text
}

/// The parts before and after the first byte `at`.
pub(super) fn part(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == at)?;
    let (before, after) = bytes.split_at(at);
    Some((before, after.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = b"GET /v1.41/info?a=1\nskep-target: n1\nx:  two ";
        let parts = parse(head).unwrap();
        assert_eq!(parts.headers["x"], " two ");
        let again = parse(&write(&parts)).unwrap();
        assert_eq!((again.method, again.uri), (parts.method, parts.uri));
        assert_eq!(again.headers, parts.headers);
        assert!(parse(b"GET").is_none());
    }
}
