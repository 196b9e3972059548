//! Request heads of our own making.

use http::header::HOST;
use pingora::http::RequestHeader;

/// What engines and agents are called in `Host`; they do not look at it.
const AUTHORITY: &str = "docker";

/// A plain `GET`.
///
/// # Errors
/// Fails if the target is not a request target.
pub fn get(target: &str) -> pingora::Result<RequestHeader> {
    let mut head = RequestHeader::build("GET", target.as_bytes(), Some(8))?;
    head.insert_header(HOST, AUTHORITY)?;
    Ok(head)
}
