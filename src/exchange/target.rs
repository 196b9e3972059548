//! Reads targets, and refuses those that this agent and an engine could read
//! differently.

use http::{Method, Uri};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use skep_filters::endpoint::{BadPath, RequestPath};

use crate::exchange::reject::Reject;
use crate::upstream::request;

/// The target of a request in origin form, in which it is verified, judged and sent.
///
/// # Errors
/// If an engine could read another target, or other parameters.
pub(crate) fn plain_target(session: &mut Session) -> Result<Uri, Reject> {
    origin(session)?;
    let head = session.req_header();
    // Go before 1.17 reads `;` in a query as a separator.
    if head.uri.query().is_some_and(|q| q.contains(';')) {
        return Err(Reject::Ambiguous);
    }
    Ok(head.uri.clone())
}

/// Gives a request its target in origin form.
///
/// # Errors
/// If it is in another form than these two.
pub(crate) fn origin(session: &mut Session) -> Result<(), Reject> {
    if let Some(origin) = origin_form(session.req_header()) {
        session.req_header_mut().set_uri(origin);
    }
    plain(session.req_header())
}

/// The origin form of a target in absolute form, such as `http://docker/info`, which
/// clients send to proxies; `None` for any other. Engines ignore the authority.
fn origin_form(head: &RequestHeader) -> Option<Uri> {
    let raw = std::str::from_utf8(head.raw_path()).ok()?;
    // Most are in origin form.
    if raw.starts_with('/') {
        return None;
    }
    let uri: Uri = raw.parse().ok()?;
    let scheme = uri
        .scheme_str()
        .filter(|s| matches!(*s, "http" | "https"))?;
    let target = uri.path_and_query()?.as_str();
    let begin = format!("{scheme}://{}", uri.authority()?);
    // The scheme and the host have no case.
    let is_begin = |text: &str| text.eq_ignore_ascii_case(&begin);
    let is_exact = match raw.strip_suffix(target) {
        Some(before) => is_begin(before),
        None => target == "/" && is_begin(raw),
    };
    if is_exact { target.parse().ok() } else { None }
}

/// Whether [`without_empty_segments`] sends a request to another path.
pub(crate) fn is_sent_back(head: &RequestHeader) -> bool {
    without_empty_segments(&head.method, &head.uri).is_some()
}

/// Where a request for a path with empty segments is sent back to, as engines do
/// (`GET /containers//web/json`). The next request is judged by itself.
pub(crate) fn without_empty_segments(method: &Method, target: &Uri) -> Option<String> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let mut location = request::escape(&RequestPath::without_empty_segments(target.path())?);
    if let Some(query) = target.query() {
        location.push('?');
        location.push_str(query);
    }
    Some(location)
}

/// Refuses a target that is not in origin form (`foo:/info`).
/// Pingora sends it unchanged, but its URI, which is verified and judged, differs.
///
/// # Errors
/// If the two differ.
fn plain(head: &RequestHeader) -> Result<(), Reject> {
    let shown = head.uri.path_and_query().map_or("", |t| t.as_str());
    if head.raw_path() == shown.as_bytes() {
        Ok(())
    } else {
        Err(BadPath::NotAbsolute.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_absolute_form_becomes_its_origin_form() {
        for (raw, expected) in [
            ("http://docker/v1.41/info?a=b", Some("/v1.41/info?a=b")),
            ("HTTP://Docker:2375/Info", Some("/Info")),
            ("https://[::1]:2376/info", Some("/info")),
            ("http://docker/", Some("/")),
            ("http://docker", Some("/")),
            ("http://docker//info", Some("//info")),
            ("/info", None),
            ("ftp://docker/info", None),
            ("foo:/info", None),
            ("docker:2375", None),
        ] {
            let head = RequestHeader::build("GET", raw.as_bytes(), None).unwrap();
            let origin = origin_form(&head).map(|uri| uri.to_string());
            assert_eq!(origin.as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn a_path_with_empty_segments_is_sent_back_without_them() {
        let get = |target: &str| without_empty_segments(&Method::GET, &target.parse().unwrap());
        for (target, location) in [
            (
                "/containers//web/json?size=1",
                Some("/containers/web/json?size=1"),
            ),
            ("/containers/%2Fweb/json", Some("/containers/web/json")),
            ("//evil.example/x", Some("/evil.example/x")),
            ("///v1.41//info", Some("/v1.41/info")),
            (
                "/v1.41//images/a%20b//json?",
                Some("/v1.41/images/a%20b/json?"),
            ),
            ("/networks//", Some("/networks/")),
            ("/info", None),
            ("//../info", None),
            ("//a%0d%0ab", None),
            ("//a%5c%5cb", None),
            ("//v1.41.0//info", None),
        ] {
            assert_eq!(get(target).as_deref(), location, "{target}");
        }
        let target = "//info".parse().unwrap();
        assert_eq!(without_empty_segments(&Method::POST, &target), None);
    }
}
