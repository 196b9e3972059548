//! Gives a body to the refusals that Pingora sends before any hook runs.
//!
//! A request that does not parse is answered by the framework with an empty
//! 400 (405 for `CONNECT`), but every error of ours is `{"message": …}`. No
//! hook sees these, so the connection itself replaces them on their way out,
//! and only while no request is in hand: no byte of an answer is looked at.
//!
//! For the same reason it bounds what a stranger can make it wait for and hold
//! before any hook runs: the framework's time limit is for each read, and its
//! limit for a head is a megabyte.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::tls::TlsRef;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How the framework signs its own answers; an engine's name is `Docker/…`,
/// and what we answer ourselves carries no `Server` at all.
const SIGNED: &[u8] = b"Server: Pingora";

/// A request's head is complete this long after its first byte.
const HEAD_DEADLINE: Duration = Duration::from_secs(20);

/// Bytes read before a head is complete.
const HEAD_LIMIT: usize = 256 << 10;

/// A connection whose framework-made refusals explain themselves.
#[derive(Debug)]
pub struct Downstream {
    inner: Stream,
    in_hand: AtomicBool,
    head: AtomicUsize,
    timer: Option<Pin<Box<Sleep>>>,
    replacement: Option<Replacement>,
}

#[derive(Debug)]
struct Replacement {
    bytes: Vec<u8>,
    written: usize,
    stands_for: usize,
}

impl Downstream {
    /// Wraps a connection.
    pub fn new(inner: Stream) -> Self {
        Self {
            inner,
            in_hand: AtomicBool::new(false),
            head: AtomicUsize::new(0),
            timer: None,
            replacement: None,
        }
    }

    /// Says whether a request of this connection is in the hands of the hooks.
    pub fn in_hand(connection: Option<&Stream>, yes: bool) {
        let this = connection.and_then(|stream| stream.as_any().downcast_ref::<Self>());
        if let Some(this) = this {
            this.in_hand.store(yes, Ordering::Relaxed);
            this.head.store(0, Ordering::Relaxed);
        }
    }

    /// The connection inside, if it is wrapped.
    pub fn unwrap(connection: Stream) -> Stream {
        if !connection.as_any().is::<Self>() {
            return connection;
        }
        match connection.into_any().downcast::<Self>() {
            Ok(this) => this.inner,
            // Cannot be: the type was asked for above.
            Err(_) => Box::new(tokio::io::duplex(1).0),
        }
    }
}

/// The replacement of a refusal, if `head` is one.
fn explain(head: &[u8]) -> Option<Vec<u8>> {
    let (status, message) = if head.starts_with(b"HTTP/1.1 400 ") {
        ("400 Bad Request", "the request is not well-formed HTTP/1.1")
    } else if head.starts_with(b"HTTP/1.1 405 ") {
        ("405 Method Not Allowed", "CONNECT is not served here")
    } else {
        return None;
    };
    let signed = head.windows(SIGNED.len()).any(|window| window == SIGNED);
    if !signed || !head.ends_with(b"\r\n\r\n") {
        return None;
    }
    let body = format!("{{\"message\":\"{message}\"}}\n");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    Some(answer.into_bytes())
}

impl AsyncWrite for Downstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.in_hand.load(Ordering::Relaxed) {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        }
        if this.replacement.is_none() {
            match explain(buf) {
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
        // Only bodies are written in pieces; refusals have none.
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl AsyncRead for Downstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.in_hand.load(Ordering::Relaxed) {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        let had = this.head.load(Ordering::Relaxed);
        if had == 0 {
            this.timer = None;
        }
        if had > HEAD_LIMIT {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        let head = had + buf.filled().len() - before;
        this.head.store(head, Ordering::Relaxed);
        if head > 0 && read.is_pending() {
            // Made only for a head that did not come in one piece.
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(sleep(HEAD_DEADLINE)));
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

// === What Pingora asks of a connection, answered by the one inside ===

#[async_trait]
impl Shutdown for Downstream {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Downstream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Downstream {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Downstream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Downstream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Downstream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

#[async_trait]
impl Peek for Downstream {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buf).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn through(bytes: &[u8], in_hand: bool) -> String {
        let (near, mut far) = tokio::io::duplex(7);
        let mut stream: Stream = Box::new(Downstream::new(Box::new(near)));
        Downstream::in_hand(Some(&stream), in_hand);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            stream.write_all(&bytes).await.unwrap();
            AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        });
        let mut seen = String::new();
        far.read_to_string(&mut seen).await.unwrap();
        seen
    }

    #[tokio::test]
    async fn a_refusal_of_the_framework_gets_a_json_body() {
        let refusal = b"HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 0\r\n\r\n";
        let seen = through(refusal, false).await;
        let (head, body) = seen.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Content-Type: application/json\r\n"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["message"].is_string());
    }

    const PAUSE: Duration = Duration::from_secs(5);

    /// Sends the pieces, with `pause` after each.
    async fn slow_request(pieces: &[&[u8]], pause: Duration) -> io::Result<usize> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut stream = Downstream::new(Box::new(near));
        let mut read = 0;
        let mut buffer = vec![0; 64 << 10];
        for piece in pieces {
            far.write_all(piece).await.unwrap();
            while let Ok(inner) = tokio::time::timeout(pause, stream.read(&mut buffer)).await {
                read = inner?;
            }
        }
        Ok(read)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_in_is_cut_off_and_a_silent_connection_is_not() {
        let drip: Vec<&[u8]> = vec![b"G"; 10];
        let error = slow_request(&drip, PAUSE).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(slow_request(&[], PAUSE).await.is_ok());
        assert!(slow_request(&[b"GET / HTTP/1.1\r\n"], PAUSE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_head_is_cut_off() {
        let piece = vec![b'a'; 64 << 10];
        let pieces: Vec<&[u8]> = vec![&piece; 8];
        let error = slow_request(&pieces, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn an_engines_own_400_passes_untouched() {
        let answer = "HTTP/1.1 400 Bad Request\r\nServer: Docker/20.10\r\n\r\n";
        assert_eq!(through(answer.as_bytes(), false).await, answer);
    }

    #[tokio::test]
    async fn an_answer_that_quotes_a_refusal_passes_untouched() {
        let quote = "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(through(quote.as_bytes(), true).await, quote);
    }
}
