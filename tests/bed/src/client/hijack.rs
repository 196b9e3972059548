//! The client's end of a hijacked exchange: raw bytes in both directions, each
//! of which ends on its own.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{Connection, Response};
use crate::wait::within;
use crate::wire::Head;

/// The answer to a request that hijacked its connection.
pub struct Hijack {
    /// The status code: 101, or 200 in the old style, if the engine accepted.
    pub status: u16,
    /// The head of the answer.
    pub head: Head,
    /// The bytes after the head, in both directions.
    pub stream: RawStream,
}

impl Hijack {
    /// Reads the rest as an ordinary body, for a refusal.
    pub async fn response(self) -> io::Result<Response> {
        let mut connection = self.stream.connection;
        connection.body_of(self.head, "POST").await
    }
}

/// A connection that no longer carries HTTP.
pub struct RawStream {
    pub(super) connection: Connection,
}

impl RawStream {
    /// Sends these bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send(bytes).await
    }

    /// Ends the sending direction only (under TLS with a close_notify).
    pub async fn close_write(&mut self) -> io::Result<()> {
        let close = self.connection.link.close_write();
        within(self.connection.limit, "half-close", close).await
    }

    /// The next bytes that arrive; empty after the other end has ended its direction.
    pub async fn receive(&mut self) -> io::Result<Bytes> {
        let receive = self.connection.link.receive();
        within(self.connection.limit, "bytes", receive).await
    }

    /// Exactly this number of bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` if there are fewer.
    pub async fn receive_exact(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let reading = self.connection.link.reader.read_exact(&mut bytes);
        within(self.connection.limit, "exact number of bytes", reading).await?;
        Ok(bytes)
    }

    /// Everything until the other end ends its direction.
    pub async fn receive_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match self.receive().await? {
                bytes if bytes.is_empty() => return Ok(all),
                bytes => all.extend_from_slice(&bytes),
            }
        }
    }

    /// The two directions, for tasks that use both at once. Without limits;
    /// shutting the writer down is the half-close.
    pub fn into_split(
        self,
    ) -> (
        impl AsyncRead + Send + Unpin + 'static,
        impl AsyncWrite + Send + Unpin + 'static,
    ) {
        let link = self.connection.link;
        (link.reader, link.writer)
    }
}
