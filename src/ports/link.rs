//! The one stream between an agent and a helper, over which all connections to a
//! container go. It is HTTP/2, whose crate Pingora brings: windows, ends and resets of
//! many streams on one are solved there.
//!
//! A request names the port and the container's addresses; 200 answers that a
//! connection is open, 502 that there is none, with the reason in a header.

use std::net::IpAddr;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::stream::LinkStream;

/// The bytes of one connection that may be under way to a side that does not read.
pub(super) const WINDOW: u32 = 128 << 10;

/// The most connections to one container.
pub(super) const MOST: u32 = 256;

/// The longest frame.
pub(super) const FRAME: u32 = 64 << 10;

/// The crate closes a link with too many frames of a few bytes that nobody has taken: all
/// connections, because of one. Here they are taken at once.
pub(super) const SMALL_FRAMES: usize = 1 << 30;

/// The addresses of the container, with commas between them.
pub(super) const ADDRESSES: HeaderName = HeaderName::from_static("skep-addresses");

/// Why there is no connection.
pub(super) const REASON: HeaderName = HeaderName::from_static("skep-reason");

/// The agent's side.
#[derive(Clone)]
pub(super) struct Link(SendRequest<Bytes>);

/// Why no connection was opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The port takes none.
    Refused(String),
    /// The link is broken.
    Lost(String),
}

impl Link {
    /// Begins the link. The connection has to be polled as long as it lasts.
    ///
    /// # Errors
    /// If the stream fails.
    pub(super) async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
        stream: S,
    ) -> Result<(Self, Connection<S, Bytes>), h2::Error> {
        let (requests, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * MOST)
            .initial_max_send_streams(MOST as usize)
            .max_frame_size(FRAME)
            .max_send_buffer_size(WINDOW as usize)
            .data_frame_budget(SMALL_FRAMES)
            .handshake(stream)
            .await?;
        Ok((Self(requests), connection))
    }

    /// Opens a connection to a port of the container's loopback, or of these addresses.
    ///
    /// # Errors
    /// As [`OpenError`].
    pub(super) async fn open(
        &self,
        port: u16,
        addresses: &[IpAddr],
    ) -> Result<LinkStream, OpenError> {
        let lost = |e: h2::Error| OpenError::Lost(e.to_string());
        let mut requests = self.0.clone().ready().await.map_err(lost)?;
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let addresses = HeaderValue::try_from(texts.join(","));
        let addresses = addresses.unwrap_or_else(|_| HeaderValue::from_static(""));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://helper/{port}"))
            .header(ADDRESSES, addresses)
            .body(());
        let request = request.map_err(|e| OpenError::Lost(e.to_string()))?;
        let (answer, send) = requests.send_request(request, false).map_err(lost)?;
        let answer = answer.await.map_err(lost)?;
        if answer.status() != StatusCode::OK {
            let reason = answer.headers().get(REASON);
            let reason = reason.and_then(|reason| reason.to_str().ok());
            let reason = reason.unwrap_or("the helper gives no reason").to_owned();
            return Err(OpenError::Refused(reason));
        }
        Ok(LinkStream::new(send, answer.into_body()))
    }
}
