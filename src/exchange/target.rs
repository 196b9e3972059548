//! Refuses targets that this agent and an engine could read differently.

use http::Uri;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use skep_filters::endpoint::BadPath;

use crate::exchange::reject::Reject;

/// The target of a request.
///
/// # Errors
/// If an engine could read another target, or other parameters.
pub(crate) fn plain_target(session: &Session) -> Result<Uri, Reject> {
    let head = session.req_header();
    plain(head)?;
    // Go before 1.17 reads `;` in a query as a separator.
    if head.uri.query().is_some_and(|q| q.contains(';')) {
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
