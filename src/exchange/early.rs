//! Answers of an upstream that come before the request's body has ended.
//!
//! Pingora would pass the rest of the body on, to an upstream that drops it, and wait
//! for it without a limit. Here the request ends with its answer; `listen/linger.rs`
//! ends the connection.

use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::{FailToProxy, Session};

use crate::listen::downstream::Downstream;

/// To be called with the head of every answer.
pub(crate) fn has_begun(session: &mut Session, head: &ResponseHeader) {
    let length = head.headers.get(CONTENT_LENGTH);
    let empty = session.req_header().method == Method::HEAD
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        )
        || length.is_some_and(|length| length == "0");
    if empty && !head.status.is_informational() {
        has_ended(session);
    }
}

/// To be called with the last piece of every answer, before it is sent.
pub(crate) fn has_ended(session: &mut Session) {
    if !session.is_body_done() {
        Downstream::end_body(session.stream());
    }
}

/// The outcome of a request whose body was ended after its answer; to Pingora that is
/// a failure.
pub(crate) fn outcome(session: &Session) -> Option<FailToProxy> {
    let answered = session.response_written()?.status.as_u16();
    Downstream::has_ended_body(session.stream()).then_some(FailToProxy {
        error_code: answered,
        can_reuse_downstream: false,
    })
}
