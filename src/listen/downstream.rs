//! Wraps a client's connection, to guard the time before Pingora's hooks run.
//!
//! No hook runs for an incomplete or malformed head: Pingora answers by itself,
//! and its limits are wide. So the connection limits unauthenticated clients by
//! [`heads`] on the way in, and gives [`refusal`]s a message on the way out. While
//! a request is in progress, it passes all bytes through.

mod heads;
mod passed;
mod refusal;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::listen::places::{Full, Place, Standing};
use crate::listen::server_headers::ServerHeaders;
use crate::platform::Hangup;
use heads::{Budget, Head};

/// The longest time until the first byte of a connection, as Pingora's.
const FIRST_BYTE: Duration = Duration::from_secs(60);

/// A connection whose heads are bounded and whose refusals explain themselves.
#[derive(Debug)]
pub(crate) struct Downstream {
    inner: Stream,
    /// Absent in tests.
    place: Option<Arc<Place>>,
    hangup: Option<Hangup>,
    /// The first byte, if it was read before Pingora got the connection.
    first: Option<u8>,
    in_progress: AtomicBool,
    head: Head,
    /// The header lines of every refusal.
    lines: Arc<str>,
    replacement: Option<Replacement>,
}

/// State that all connections of one agent share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    budget: Arc<Budget>,
    lines: Arc<str>,
}

#[derive(Debug)]
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    stands_for: usize,
}

impl Common {
    /// State for connections whose refusals carry these headers.
    pub(crate) fn new(server_headers: &ServerHeaders) -> Self {
        Self {
            budget: Arc::default(),
            lines: server_headers.all_lines().into(),
        }
    }
}

impl Downstream {
    pub(crate) fn new(inner: Stream, common: &Common) -> Self {
        Self {
            inner,
            place: None,
            hangup: None,
            first: None,
            in_progress: AtomicBool::new(false),
            head: Head::new(common.budget.clone()),
            lines: common.lines.clone(),
            replacement: None,
        }
    }

    /// The connection with its place.
    pub(crate) fn at(self, place: Arc<Place>, hangup: Hangup) -> Self {
        Self {
            place: Some(place),
            hangup: Some(hangup),
            ..self
        }
    }

    /// Waits for the first byte; false if none comes. Until then a connection
    /// needs no buffer, and nothing of Pingora's state of a request.
    pub(crate) async fn has_first_byte(&mut self) -> bool {
        match timeout(FIRST_BYTE, self.inner.read_u8()).await {
            Ok(Ok(byte)) => {
                self.first = Some(byte);
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Gives the connection the place of an authenticated caller.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn prove(connection: Option<&Stream>, standing: Standing<'_>) -> Result<(), Full> {
        let this = connection.and_then(|stream| stream.as_any().downcast_ref::<Self>());
        match this.and_then(|this| this.place.as_ref()) {
            Some(place) => place.prove(standing),
            None => Ok(()),
        }
    }

    /// Records whether a request of this connection is in progress in the hooks.
    pub(crate) fn set_request_in_progress(connection: Option<&Stream>, in_progress: bool) {
        let this = connection.and_then(|stream| stream.as_any().downcast_ref::<Self>());
        if let Some(this) = this {
            this.in_progress.store(in_progress, Ordering::Relaxed);
            this.head.clear();
        }
    }

    /// The connection inside and its hangup, if it is wrapped.
    pub(crate) fn unwrap(connection: Stream) -> (Stream, Option<Hangup>) {
        if !connection.as_any().is::<Self>() {
            return (connection, None);
        }
        match connection.into_any().downcast::<Self>() {
            Ok(this) => (this.inner, this.hangup),
            // Unreachable: the check above found this type.
            Err(_) => (Box::new(tokio::io::duplex(1).0), None),
        }
    }
}

impl AsyncRead for Downstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.in_progress.load(Ordering::Relaxed) {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        this.head.check_limits()?;
        let before = buf.filled().len();
        if buf.remaining() > 0
            && let Some(first) = this.first.take()
        {
            buf.put_slice(&[first]);
        }
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Pending if buf.filled().len() > before => Poll::Ready(this.head.add(1)),
            Poll::Pending => this.head.poll_deadline(cx).map(Err),
            Poll::Ready(Ok(())) => Poll::Ready(this.head.add(buf.filled().len() - before)),
            failed => failed,
        }
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.in_progress.load(Ordering::Relaxed) {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        }
        if this.replacement.is_none() {
            match refusal::explain(buf, &this.lines) {
                None => return Pin::new(&mut this.inner).poll_write(cx, buf),
                Some(bytes) => {
                    this.replacement = Some(Replacement {
                        bytes,
                        written: 0,
                        stands_for: buf.len(),
                    });
                }
            }
        }
        while let Some(r) = &mut this.replacement {
            if r.written == r.bytes.len() {
                let length = r.stands_for;
                this.replacement = None;
                return Poll::Ready(Ok(length));
            }
            let n = ready!(Pin::new(&mut this.inner).poll_write(cx, &r.bytes[r.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            r.written += n;
        }
        Poll::Ready(Ok(0))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Pingora writes only bodies vectored, and refusals have none.
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::listen::server_headers::AgentHeaders;

    static AGENT: [(&str, HeaderValue); 1] =
        [("Portainer-Agent", HeaderValue::from_static("2.45.0"))];

    const REFUSAL: &str =
        "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 0\r\n\r\n";

    async fn through(bytes: &str, agent: AgentHeaders, in_progress: bool) -> String {
        let (near, mut far) = tokio::io::duplex(7);
        let node = HeaderValue::from_static("id n1");
        let common = Common::new(&ServerHeaders::new(node, agent).anonymous());
        let mut stream: Stream = Box::new(Downstream::new(Box::new(near), &common));
        Downstream::set_request_in_progress(Some(&stream), in_progress);
        let bytes = bytes.to_owned();
        tokio::spawn(async move {
            stream.write_all(bytes.as_bytes()).await.unwrap();
            AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        });
        let mut seen = String::new();
        far.read_to_string(&mut seen).await.unwrap();
        seen
    }

    #[tokio::test]
    async fn a_refusal_of_the_framework_gets_a_json_body() {
        let seen = through(REFUSAL, &[], false).await;
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Type: application/json\r\n"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(!head.contains("Portainer-Agent"));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["message"].is_string());
    }

    #[tokio::test]
    async fn a_refusal_of_the_framework_has_the_agent_s_headers_but_not_the_node() {
        let seen = through(REFUSAL, &AGENT, false).await;
        let (head, _) = seen.split_once("\r\n\r\n").unwrap();
        let line = "Portainer-Agent: 2.45.0";
        assert!(head.split("\r\n").any(|l| l == line), "{head}");
        assert!(!head.contains("Skep-Node"), "{head}");
    }

    #[tokio::test]
    async fn an_engines_own_400_passes_untouched() {
        let answer = "HTTP/1.1 400 Bad Request\r\nServer: Docker/20.10\r\n\r\n";
        assert_eq!(through(answer, &AGENT, false).await, answer);
    }

    #[tokio::test]
    async fn an_answer_that_quotes_a_refusal_passes_untouched() {
        assert_eq!(through(REFUSAL, &AGENT, true).await, REFUSAL);
    }
}
