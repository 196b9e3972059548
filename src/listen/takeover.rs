//! Takes a client's connection out of Pingora's hands.

use bytes::Bytes;
use http::header::CONNECTION;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{ErrorType, OkOrErr};

use crate::listen::downstream::Downstream;
use crate::listen::exchanges::Exchange;
use crate::platform::Hangup;

/// A connection that Pingora had.
pub(crate) struct Taken {
    pub(crate) stream: Stream,
    /// Absent for a connection that was not accepted here.
    pub(crate) hangup: Option<Hangup>,
    /// Open as long as the connection is used.
    pub(crate) _exchange: Option<Exchange>,
    /// The bytes that came after the request.
    pub(crate) early: Option<Bytes>,
}

/// Takes the connection of a session whose request was read to its end. The
/// session keeps a dummy connection.
pub(crate) async fn take(session: &mut Session) -> pingora::Result<Taken> {
    // `finish` would close the connection of a client that sent `close`, and
    // keeps the bytes after the request only if pipelining is on.
    session.req_header_mut().remove_header(&CONNECTION);
    session.set_pipelining_enabled(true);
    session.set_keepalive(Some(60));
    let dummy = ServerSession::new_http1(Box::new(tokio::io::duplex(1).0));
    let taken = std::mem::replace(&mut *session.downstream_session, dummy);
    let connection = taken.finish().await?;
    let connection = connection.or_err(ErrorType::ConnectionClosed, "the client is gone")?;
    let (stream, early) = connection.into_parts();
    let (stream, hangup, exchange) = Downstream::unwrap(stream);
    Ok(Taken {
        stream,
        hangup,
        _exchange: exchange,
        early: early.map(|b| b.freeze()),
    })
}
