//! Reads whole bodies, to check them against their signature or to sign them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use pingora::proxy::Session;
use skep_filters::endpoint::{Body, Match};
use tokio::time::timeout;

use crate::exchange::reject::Reject;

/// The longest body that is held, in bytes: moby's limit for the body that an
/// authorisation plugin gets.
pub(crate) const LONGEST: usize = 4 << 20;

/// The time within which a held body has to arrive.
const DEADLINE: Duration = Duration::from_secs(60);

/// The whole body of a request.
///
/// # Errors
/// If it is longer than [`LONGEST`], slower than [`DEADLINE`] or ends early.
pub(crate) async fn read(session: &mut Session) -> Result<Bytes, Reject> {
    let incomplete = |_| Reject::BodyIncomplete;
    // The body is read here, before there is an upstream that could send the `100`.
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

/// Whether the body is read before the request is routed: JSON, which routing and
/// placement read.
pub(crate) fn decides_the_route(found: Option<&Match>) -> bool {
    found.is_some_and(|found| match found.endpoint.body {
        Body::Json(_) => true,
        Body::None => !found.endpoint.wire.is_tunnel(),
        Body::Stream => false,
    })
}
