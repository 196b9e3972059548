//! Reads whole bodies, to check them against their signature or to sign them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use skep_filters::auth::BodyBinding;
use skep_filters::endpoint::{Body, Match};
use tokio::time::timeout;

use crate::exchange::judged::RequestBody;
use crate::exchange::reject::{Reject, internal};

/// The longest body that is held, in bytes: moby's limit for the body that an
/// authorisation plugin gets.
pub(crate) const LONGEST: usize = 4 << 20;

/// The time within which a held body has to arrive.
const DEADLINE: Duration = Duration::from_secs(60);

/// The longest pause between two parts of it.
const PAUSE: Duration = Duration::from_secs(10);

/// The whole body of a request. `hold` takes memory for each part that arrives.
///
/// # Errors
/// If it is longer than [`LONGEST`], slower than [`DEADLINE`], pauses longer than
/// [`PAUSE`] or ends early, or if there is no memory for it.
pub(crate) async fn read(
    session: &mut Session,
    hold: impl Fn(usize) -> Result<(), Reject>,
) -> Result<Bytes, Reject> {
    let mut body = BytesMut::new();
    let keep = |chunk: &Bytes| {
        hold(chunk.len())?;
        body.extend_from_slice(chunk);
        Ok(())
    };
    each(session, keep).await?;
    Ok(body.freeze())
}

/// Reads a body that nothing needs, and holds none of it.
///
/// # Errors
/// As [`read`].
pub(crate) async fn discard(session: &mut Session) -> Result<(), Reject> {
    each(session, |_| Ok(())).await
}

async fn each(
    session: &mut Session,
    mut take: impl FnMut(&Bytes) -> Result<(), Reject>,
) -> Result<(), Reject> {
    let incomplete = |_| Reject::BodyIncomplete;
    // The body is read here, before there is an upstream that could send the `100`.
    if session.req_header().headers.contains_key(EXPECT) {
        session
            .write_continue_response()
            .await
            .map_err(incomplete)?;
    }
    let whole = async {
        let mut length = 0;
        loop {
            let chunk = timeout(PAUSE, session.read_request_body()).await;
            let chunk = chunk.map_err(|_| Reject::BodyIncomplete)?;
            let Some(chunk) = chunk.map_err(incomplete)? else {
                break;
            };
            length += chunk.len();
            if length > LONGEST {
                return Err(Reject::BodyTooLong(LONGEST));
            }
            take(&chunk)?;
        }
        Ok(())
    };
    timeout(DEADLINE, whole)
        .await
        .unwrap_or(Err(Reject::BodyIncomplete))
}

/// Makes the head that of a request without a body, after the body was read.
///
/// # Errors
/// If a header cannot be written, which is a defect.
pub(crate) fn none(head: &mut RequestHeader) -> Result<RequestBody, Reject> {
    for name in [TRANSFER_ENCODING, CONTENT_ENCODING, EXPECT] {
        head.remove_header(&name);
    }
    head.insert_header(CONTENT_LENGTH, "0").map_err(internal)?;
    Ok(RequestBody {
        binding: BodyBinding::Empty,
        held: Some(Bytes::new()),
    })
}

/// Whether the body is read before the request is routed: JSON, which routing and
/// placement read.
pub(crate) fn decides_the_route(found: Option<&Match>) -> bool {
    found.is_some_and(|found| match found.endpoint.body {
        Body::Json(_) => true,
        Body::None | Body::Stream | Body::Form => false,
    })
}
