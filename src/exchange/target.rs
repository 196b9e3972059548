//! The target of a request, if every reader of it reads the same.

use http::Uri;
use http::header::CONTENT_TYPE;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::BadPath;

use crate::exchange::reject::Reject;

/// The target of a request, if it means the same to everybody.
pub(crate) fn plain_target(session: &Session) -> Result<Uri, Reject> {
    let head = session.req_header();
    plain(head)?;
    let form = head.headers.get(CONTENT_TYPE);
    let form = form.is_some_and(|t| {
        let t = t.as_bytes();
        t.len() >= 33 && t[..33].eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    });
    // Without a body it says nothing: axios sends it beside none.
    let form = form && BodyBinding::uncovered(&head.headers)? == BodyBinding::Unsigned;
    // Go reads parameters out of such a body and lets them win over the
    // query, which is what was judged (net/http `ParseForm`). Go before 1.17
    // also took `;` in a query for a separator.
    if form || head.uri.query().is_some_and(|q| q.contains(';')) {
        return Err(Reject::Ambiguous);
    }
    Ok(head.uri.clone())
}

/// What is verified and judged has to be what goes out. Pingora keeps a target
/// that is not in origin form (`http://docker/info`, `foo:/info`) apart from
/// the URI it shows, and sends the former.
///
/// # Errors
/// If the two differ.
pub(crate) fn plain(head: &RequestHeader) -> Result<(), Reject> {
    let shown = head.uri.path_and_query().map_or("", |t| t.as_str());
    if head.raw_path() == shown.as_bytes() {
        Ok(())
    } else {
        Err(BadPath::NotAbsolute.into())
    }
}
