//! A whole answer.

use std::io;

use bytes::Bytes;
use serde_json::Value;

use crate::wire::Head;

/// An answer that has been read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head: all fields in order, and the original bytes.
    pub head: Head,
    /// The body without its chunking.
    pub body: Bytes,
}

impl Response {
    pub(super) fn new(head: Head, body: Vec<u8>) -> io::Result<Self> {
        let status = head.status()?;
        let body = body.into();
        Ok(Self { status, head, body })
    }

    /// The value of the first field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not JSON; the error shows the body.
    pub fn json(&self) -> io::Result<Value> {
        serde_json::from_slice(&self.body).map_err(|e| {
            let why = format!(
                "{} with a body that is not JSON ({e}): {}",
                self.status,
                self.text()
            );
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }

    /// The `message` of Docker's error object, if the body is one.
    pub fn message(&self) -> Option<String> {
        let body = self.json().ok()?;
        body.get("message")?.as_str().map(str::to_owned)
    }
}
