//! Bodies that are read whole before anything is done with them: to be checked
//! against their signature, or to be signed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use pingora::proxy::Session;
use skep_filters::endpoint::{Body, Match};
use tokio::time::timeout;

use crate::exchange::reject::Reject;

/// The longest body that is held: as moby's own limit for what an
/// authorisation plugin is shown.
pub(crate) const LONGEST: usize = 4 << 20;

/// A body that is held has to arrive within this.
const DEADLINE: Duration = Duration::from_secs(60);

/// The whole body of a request.
///
/// # Errors
/// If it is too long, too slow or breaks off.
pub(crate) async fn read(session: &mut Session) -> Result<Bytes, Reject> {
    let incomplete = |_| Reject::BodyIncomplete;
    // Nobody upstream will say it: the body is wanted here.
    if session.req_header().headers.contains_key(EXPECT) {
        session
            .write_continue_response()
            .await
            .map_err(incomplete)?;
    }
    let whole = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await.map_err(incomplete)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(Reject::BodyTooLong(LONGEST));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    timeout(DEADLINE, whole)
        .await
        .unwrap_or(Err(Reject::BodyIncomplete))
}

/// Whether a body is read before anything is done with the request: JSON, by
/// which requests are routed.
pub(crate) fn decides_the_route(found: Option<&Match>) -> bool {
    found.is_some_and(|found| match found.endpoint.body {
        Body::Json(_) => true,
        Body::None => !found.endpoint.wire.is_tunnel(),
        Body::Stream => false,
    })
}
