//! An answer that a test reads while it arrives.

use std::io;

use bytes::Bytes;

use super::Connection;
use crate::wait::within;
use crate::wire::{Body, Head};

/// An open answer. Dropping it closes the connection.
pub struct Streaming {
    /// The status code.
    pub status: u16,
    /// The head of the answer.
    pub head: Head,
    connection: Connection,
    body: Body,
    line: Vec<u8>,
}

impl Streaming {
    pub(super) async fn begin(mut connection: Connection, method: &str) -> io::Result<Self> {
        let head = connection.head().await?;
        Ok(Self {
            status: head.status()?,
            body: Body::of_response(&head, method)?,
            head,
            connection,
            line: Vec::new(),
        })
    }

    /// Sends more of the request, unchanged. A chunked body consists of
    /// [`chunk`](crate::chunk)s and ends with `0\r\n\r\n`.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.send(bytes).await
    }

    /// The next piece of the body: a chunk, or the part of it that has arrived;
    /// `None` at the end. Do not mix with [`Streaming::next_line`].
    pub async fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let next = self.body.next(&mut self.connection.link.reader);
        within(self.connection.limit, "next chunk", next).await
    }

    /// The next line without its end; `None` at the end of the body.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.line.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                return Ok(Some(text(&line[..end])));
            }
            match self.next_chunk().await? {
                Some(bytes) => self.line.extend_from_slice(&bytes),
                None if self.line.is_empty() => return Ok(None),
                None => return Ok(Some(text(&std::mem::take(&mut self.line)))),
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}
