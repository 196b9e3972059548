//! One connection of the client, for any number of requests.

use std::io;
use std::time::Duration;

use super::{Fields, Hijack, RawStream, Response};
use crate::wait::within;
use crate::wire::{Body, Head, Link};

/// An open connection. Reads and writes are separate steps, so requests can be
/// pipelined, cut or malformed.
pub struct Connection {
    pub(super) link: Link,
    pub(super) limit: Duration,
}

impl Connection {
    pub(super) fn new(link: Link, limit: Duration) -> Self {
        Self { link, limit }
    }

    /// Sends these bytes unchanged.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.limit, "send", self.link.send(bytes)).await
    }

    /// Sends a request without reading the answer.
    pub async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: Fields<'_>,
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = head(method, target, headers, body.len());
        bytes.extend_from_slice(body);
        self.send(&bytes).await
    }

    /// The head of the next answer, without interim answers (1xx except 101).
    pub async fn head(&mut self) -> io::Result<Head> {
        loop {
            let read = Head::read(&mut self.link.reader);
            let Some(head) = within(self.limit, "head of an answer", read).await? else {
                let why = "the connection ended without an answer";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            };
            if !matches!(head.status()?, 100 | 102..=199) {
                return Ok(head);
            }
        }
    }

    /// The whole next answer; `method` is that of its request (an answer to HEAD has no body).
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends before the answer does.
    pub async fn response(&mut self, method: &str) -> io::Result<Response> {
        let head = self.head().await?;
        self.body_of(head, method).await
    }

    /// The answer that has this head, once its body has come.
    ///
    /// # Errors
    /// As [`Self::response`].
    pub async fn body_of(&mut self, head: Head, method: &str) -> io::Result<Response> {
        let mut rest = Body::of_response(&head, method)?;
        let mut body = Vec::new();
        loop {
            let next = rest.next(&mut self.link.reader);
            match within(self.limit, "body of an answer", next).await? {
                Some(bytes) => body.extend_from_slice(&bytes),
                None => return Response::new(head, body),
            }
        }
    }

    /// Sends a request and reads its answer.
    pub async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: Fields<'_>,
        body: &[u8],
    ) -> io::Result<Response> {
        self.ask(method, target, headers, body).await?;
        self.response(method).await
    }

    /// Hijacks the connection after the head of the next answer.
    pub async fn hijack(mut self) -> io::Result<Hijack> {
        let head = self.head().await?;
        Ok(Hijack {
            status: head.status()?,
            head,
            stream: self.into_raw(),
        })
    }

    /// Hijacks the connection immediately.
    pub fn into_raw(self) -> RawStream {
        RawStream { connection: self }
    }

    /// Whether the other end closes without sending more.
    pub async fn closed(&mut self) -> io::Result<bool> {
        let rest = within(self.limit, "end of the connection", self.link.receive()).await;
        match rest {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => Err(e),
            Err(_) => Ok(true),
            Ok(bytes) => Ok(bytes.is_empty()),
        }
    }
}

fn head(method: &str, target: &str, headers: Fields<'_>, body: usize) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !has("Host") {
        head.push_str("Host: docker\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // Go's client also sends a length of 0 for methods that may have a body.
    let counted = body > 0 || matches!(method, "POST" | "PUT" | "PATCH");
    if counted && !has("Content-Length") && !has("Transfer-Encoding") {
        head.push_str(&format!("Content-Length: {body}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_and_length_are_added_to_a_request() {
        let head =
            |method, headers, body| String::from_utf8(head(method, "/x", headers, body)).unwrap();
        let get = "GET /x HTTP/1.1\r\nHost: docker\r\n\r\n";
        assert_eq!(head("GET", &[], 0), get);
        let post = "POST /x HTTP/1.1\r\nhost: a\r\nA: 1\r\nA: 2\r\nContent-Length: 3\r\n\r\n";
        let fields: Fields<'_> = &[("host", "a"), ("A", "1"), ("A", "2")];
        assert_eq!(head("POST", fields, 3), post);
        assert!(head("POST", &[], 0).contains("Content-Length: 0\r\n"));
        assert!(!head("POST", &[("transfer-encoding", "chunked")], 3).contains("Length"));
        assert!(head("POST", &[("Content-Length", "9")], 3).ends_with("Length: 9\r\n\r\n"));
    }
}
