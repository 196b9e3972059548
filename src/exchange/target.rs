//! Refuses targets that this agent and an engine could read differently.

use http::Uri;
use http::header::CONTENT_TYPE;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::BadPath;

use crate::exchange::reject::Reject;

/// The target of a request.
///
/// # Errors
/// If an engine could read another target, or other parameters.
pub(crate) fn plain_target(session: &Session) -> Result<Uri, Reject> {
    let head = session.req_header();
    plain(head)?;
    let form = head.headers.get(CONTENT_TYPE);
    let form = form.is_some_and(|t| {
        let t = t.as_bytes();
        t.len() >= 33 && t[..33].eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    });
    // axios sends this type also without a body, where it has no meaning.
    let form = form && BodyBinding::uncovered(&head.headers)? == BodyBinding::Unsigned;
    // Go reads parameters from such a body too, and they override those of the
    // query, which was judged (net/http `ParseForm`). Go before 1.17 also reads `;`
    // in a query as a separator.
    if form || head.uri.query().is_some_and(|q| q.contains(';')) {
        return Err(Reject::Ambiguous);
    }
    Ok(head.uri.clone())
}

/// Refuses a target that is not in origin form (`http://docker/info`, `foo:/info`).
/// Pingora sends it unchanged, but its URI, which is verified and judged, differs.
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
