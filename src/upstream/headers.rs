//! Removes the headers that must not pass this agent, and reads answers' heads.

use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, UPGRADE};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v1::client::HttpSession as Upstream;
use pingora::{Error, ErrorType, OkOrErr};

/// Headers that concern one connection only (RFC 9110 §7.6.1). `Upgrade` and
/// the `Connection` that names it are kept apart, for hijacked exchanges.
const HOP_BY_HOP: [&str; 6] = [
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "http2-settings",
    "proxy-authenticate",
];

/// Headers that `Connection` must not remove: the framing, and `Host`.
const KEPT: [&str; 5] = ["", "upgrade", "content-length", "transfer-encoding", "host"];

/// Keeps the first `Content-Type`, which is the one that engines read (Go's
/// `Header.Get`): bollard sends two, and a signature covers one.
///
/// # Errors
/// Fails if a header cannot be written, which no parsed one can.
pub(crate) fn one_content_type(head: &mut RequestHeader) -> pingora::Result<()> {
    let mut all = head.headers.get_all(CONTENT_TYPE).iter();
    if let (Some(first), Some(_)) = (all.next().cloned(), all.next()) {
        head.insert_header(CONTENT_TYPE, first)?;
    }
    Ok(())
}

/// Removes the headers that concern only the client's connection, including those
/// that `Connection` nominates. With `keep_upgrade` an upgrade stays.
///
/// # Errors
/// Fails if a header cannot be written, which no parsed one can.
pub(crate) fn strip_hop_by_hop_request(
    head: &mut RequestHeader,
    keep_upgrade: bool,
) -> pingora::Result<()> {
    let nominated: Vec<String> = head
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !KEPT.contains(&name.as_str()))
        .collect();
    for name in nominated.iter().map(String::as_str).chain(HOP_BY_HOP) {
        head.remove_header(name);
    }
    head.remove_header(&CONNECTION);
    if keep_upgrade && head.headers.contains_key(UPGRADE) {
        head.insert_header(CONNECTION, "Upgrade")?;
    } else {
        head.remove_header(&UPGRADE);
    }
    Ok(())
}

/// The same for an answer on its way back. Pingora chooses the framing: it knows
/// the client's protocol version.
pub(crate) fn strip_hop_by_hop_response(head: &mut ResponseHeader) {
    for name in ["connection", "keep-alive", "proxy-connection", "upgrade"] {
        head.remove_header(name);
    }
}

/// The same for an answer that is complete in memory, or gets a new framing.
pub(crate) fn strip_framing(head: &mut ResponseHeader) {
    strip_hop_by_hop_response(head);
    head.remove_header("transfer-encoding");
}

/// Turns a 421 into an error: the address belongs to another node now. Only
/// agents send it, and only to each other.
///
/// # Errors
/// If the status is 421.
pub(crate) fn refuse_misdirected(head: &ResponseHeader) -> pingora::Result<()> {
    if head.status == StatusCode::MISDIRECTED_REQUEST {
        let why = "another node has its address now";
        return Error::e_explain(ErrorType::ConnectError, why);
    }
    Ok(())
}

/// The head of the answer, after any `100 Continue`.
///
/// # Errors
/// If the connection fails first.
pub(crate) async fn answer_head(upstream: &mut Upstream) -> pingora::Result<ResponseHeader> {
    loop {
        upstream.read_response().await?;
        let head = upstream.resp_header().cloned();
        let head = head.or_err(ErrorType::InvalidHTTPHeader, "no response head")?;
        let interim =
            head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
        if !interim {
            return Ok(head);
        }
    }
}

/// Whether an answer starts a stream in Docker's older form: 200, a media type
/// that only streams have, and no framing.
pub(crate) fn is_raw_stream(head: &ResponseHeader) -> bool {
    let kind = head.headers.get(CONTENT_TYPE);
    head.status == StatusCode::OK
        && kind.is_some_and(|k| k.as_bytes().starts_with(b"application/vnd.docker."))
        && !head.headers.contains_key(CONTENT_LENGTH)
        && !head.headers.contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("POST", b"/exec/1/start", None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn headers_that_connection_nominates_are_removed_and_an_upgrade_stays() {
        let mut head = request(&[
            ("Connection", "Upgrade, X-Private"),
            ("Upgrade", "tcp"),
            ("X-Private", "1"),
            ("Keep-Alive", "5"),
            ("X-Registry-Auth", "kept"),
        ]);
        strip_hop_by_hop_request(&mut head, true).unwrap();
        assert_eq!(head.headers[CONNECTION], "Upgrade");
        assert_eq!(head.headers[UPGRADE], "tcp");
        assert!(!head.headers.contains_key("x-private"));
        assert!(!head.headers.contains_key("keep-alive"));
        assert!(head.headers.contains_key("x-registry-auth"));
    }

    #[test]
    fn the_first_of_two_content_types_stays() {
        let mut head = request(&[
            ("Content-Type", "application/x-tar"),
            ("Content-Type", "application/json"),
        ]);
        one_content_type(&mut head).unwrap();
        let types: Vec<_> = head.headers.get_all(CONTENT_TYPE).iter().collect();
        assert_eq!(types, ["application/x-tar"]);
    }

    #[test]
    fn an_upgrade_is_removed_without_a_hijack() {
        let mut head = request(&[("Connection", "Upgrade"), ("Upgrade", "tcp")]);
        strip_hop_by_hop_request(&mut head, false).unwrap();
        assert!(!head.headers.contains_key(UPGRADE));
        assert!(!head.headers.contains_key(CONNECTION));
    }
}
