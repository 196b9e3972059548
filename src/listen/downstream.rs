//! Wraps a client's connection, to guard the time before Pingora's hooks run.
//!
//! No hook runs for an incomplete or malformed head: Pingora answers by itself,
//! and its limits are wide. So the connection limits unauthenticated clients by
//! [`heads`] on the way in, and gives [`refusal`]s a message on the way out. While
//! a request is in progress, it passes all bytes through.

mod heads;
mod held;
mod passed;
mod refusal;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::listen::exchanges::{Exchange, Exchanges};
use crate::listen::linger::{self, Left};
use crate::listen::places::{Full, Place, Standing};
use crate::listen::server_headers::ServerHeaders;
use crate::platform::Hangup;
use heads::{Budget, Head};
use held::Held;

/// The longest time until the first byte of a request, as Pingora's.
const FIRST_BYTE: Duration = Duration::from_secs(60);

/// A connection whose heads are bounded and whose refusals explain themselves.
#[derive(Debug)]
pub(crate) struct Downstream {
    inner: Stream,
    /// Absent in tests.
    place: Option<Arc<Place>>,
    hangup: Option<Hangup>,
    /// The request's first byte, which is read before Pingora gets the connection.
    first: Option<u8>,
    in_progress: AtomicBool,
    /// Ends the request in progress.
    end: Mutex<Option<End>>,
    exchanges: Arc<Exchanges>,
    /// The exchange of the request in progress.
    exchange: Mutex<Option<Exchange>>,
    head: Head,
    /// The header lines of every refusal.
    lines: Arc<str>,
    replacement: Option<Replacement>,
    /// The head of the answer, until its body follows.
    held: Held,
    /// Bytes that were dropped after the refusal of a head.
    dropped: usize,
    /// Takes the connection when the proxy drops it.
    left: Option<oneshot::Sender<Left>>,
    /// Whether an answer was sent, or a part of one, since the last request began.
    answered: bool,
    /// Whether the client has closed the connection, or it has failed.
    over: bool,
    /// Whether the proxy gets no more of the request's body.
    body_ended: AtomicBool,
}

/// State that all connections of one agent share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    budget: Arc<Budget>,
    lines: Arc<str>,
    pub(super) exchanges: Arc<Exchanges>,
    /// Where connections linger after their last answer.
    pub(super) lingering: Arc<linger::Places>,
}

/// Resolves when the request in progress has to end.
struct End(Pin<Box<dyn Future<Output = ()> + Send>>);

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("End")
    }
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
            exchanges: Arc::default(),
            lingering: Arc::default(),
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
            end: Mutex::default(),
            exchanges: common.exchanges.clone(),
            exchange: Mutex::default(),
            head: Head::new(common.budget.clone()),
            lines: common.lines.clone(),
            replacement: None,
            held: Held::default(),
            dropped: 0,
            left: None,
            answered: false,
            over: false,
            body_ended: AtomicBool::new(false),
        }
    }

    /// The connection with its place.
    pub(crate) fn at(mut self, place: Arc<Place>, hangup: Hangup) -> Self {
        self.place = Some(place);
        self.hangup = Some(hangup);
        self
    }

    /// Waits for the first byte of the next request; false if none comes. Until then
    /// a connection needs no buffer, and nothing of Pingora's state of a request.
    pub(crate) async fn has_first_byte(&mut self) -> bool {
        self.answered = false;
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
        match Self::of(connection).and_then(|this| this.place.as_ref()) {
            Some(place) => place.prove(standing),
            None => Ok(()),
        }
    }

    /// Receives the connection when the proxy drops it after an answer.
    pub(super) fn left(&mut self) -> oneshot::Receiver<Left> {
        let (sender, receiver) = oneshot::channel();
        self.left = Some(sender);
        receiver
    }

    /// Records whether a request of this connection is in progress in the hooks.
    pub(crate) fn set_request_in_progress(connection: Option<&Stream>, in_progress: bool) {
        if let Some(this) = Self::of(connection) {
            this.in_progress.store(in_progress, Ordering::Relaxed);
            let exchange = in_progress.then(|| this.exchanges.begin());
            *this.exchange.lock().unwrap_or_else(PoisonError::into_inner) = exchange;
            *this.end.lock().unwrap_or_else(PoisonError::into_inner) = None;
            this.head.clear();
        }
    }

    /// Breaks the connection when `end` resolves while the request is in progress: the
    /// proxy, which has the request, waits for nothing else that could tell it.
    pub(crate) fn end_with(
        connection: Option<&Stream>,
        end: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Some(this) = Self::of(connection) {
            let end = End(Box::pin(end));
            *this.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        }
    }

    /// Ends the request's body for the proxy, because the answer is complete. The
    /// proxy would pass the rest on, and wait for it without a limit; `linger` drops
    /// it within bounds.
    pub(crate) fn end_body(connection: Option<&Stream>) {
        if let Some(this) = Self::of(connection) {
            this.body_ended.store(true, Ordering::Relaxed);
        }
    }

    /// Whether [`Self::end_body`] has ended the body of the last request.
    pub(crate) fn has_ended_body(connection: Option<&Stream>) -> bool {
        Self::of(connection).is_some_and(|this| this.body_ended.load(Ordering::Relaxed))
    }

    fn of(connection: Option<&Stream>) -> Option<&Self> {
        connection?.as_any().downcast_ref()
    }

    /// Whether the agent has begun to stop, so that this is the connection's last
    /// request.
    pub(crate) fn is_draining(connection: Option<&Stream>) -> bool {
        Self::of(connection).is_some_and(|this| this.exchanges.is_draining())
    }

    /// The connection inside, its hangup and its exchange, if it is wrapped.
    pub(crate) fn unwrap(connection: Stream) -> (Stream, Option<Hangup>, Option<Exchange>) {
        if !connection.as_any().is::<Self>() {
            return (connection, None, None);
        }
        match connection.into_any().downcast::<Self>() {
            Ok(mut this) => {
                this.left = None;
                let exchange = this.exchange.get_mut();
                let exchange = exchange.unwrap_or_else(PoisonError::into_inner).take();
                (this.take_inner(), this.hangup.take(), exchange)
            }
            // Unreachable: the check above found this type.
            Err(_) => (dummy(), None, None),
        }
    }

    /// Closes the connection, which waits for a request.
    pub(crate) async fn close(mut self: Box<Self>) {
        // There is no answer that the client could still have to read.
        self.left = None;
        let _ = AsyncWriteExt::shutdown(&mut *self).await;
    }

    /// Whether its client has authenticated a request.
    fn is_known(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.is_proven())
    }

    /// Answers a head that is too long; resolves with the error that ends the
    /// connection for the proxy.
    fn poll_refuse_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let lines = &self.lines;
        let refusal = self.replacement.get_or_insert_with(|| Replacement {
            bytes: refusal::too_long(lines),
            written: 0,
            stands_for: 0,
        });
        while refusal.written < refusal.bytes.len() {
            let rest = &refusal.bytes[refusal.written..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                Ok(n) => refusal.written += n,
                Err(e) => return Poll::Ready(e),
            }
        }
        if let Err(e) = ready!(Pin::new(&mut self.inner).poll_flush(cx)) {
            return Poll::Ready(e);
        }
        // Closed with unread bytes, the connection would lose the answer.
        let mut scratch = [0; 4 << 10];
        while self.dropped < heads::DROPPED {
            let mut rest = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut rest) {
                Poll::Ready(Ok(())) if !rest.filled().is_empty() => {
                    self.dropped += rest.filled().len();
                }
                Poll::Pending => return self.head.poll_deadline(cx),
                Poll::Ready(_) => break,
            }
        }
        self.replacement = None;
        Poll::Ready(io::ErrorKind::InvalidData.into())
    }

    /// Writes a head that was held back.
    fn poll_send_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(self.held.poll_send(Pin::new(&mut self.inner), cx));
        self.answered |= sent.is_ok();
        self.over |= sent.is_err();
        Poll::Ready(sent)
    }

    fn take_inner(&mut self) -> Stream {
        std::mem::replace(&mut self.inner, dummy())
    }

    /// Notes what a write means for the end of the connection.
    fn note_write(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(n)) => self.answered |= *n > 0,
            Poll::Ready(Err(_)) => self.over = true,
            Poll::Pending => {}
        }
        written
    }

    /// Notes what a read means for the end of the connection.
    fn note_read(
        &mut self,
        had: usize,
        read: Poll<io::Result<()>>,
        buf: &ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &read {
            Poll::Ready(Ok(())) => self.over |= buf.filled().len() == had && buf.remaining() > 0,
            Poll::Ready(Err(_)) => self.over = true,
            Poll::Pending => {}
        }
        read
    }
}

impl Drop for Downstream {
    fn drop(&mut self) {
        if !self.answered || self.over {
            return;
        }
        if let Some(left) = self.left.take() {
            let known = self.is_known();
            let stream = self.take_inner();
            // Fails if the listener has ended: the connection closes.
            drop(left.send(Left { stream, known }));
        }
    }
}

/// Stands for a connection that was taken.
fn dummy() -> Stream {
    Box::new(tokio::io::duplex(1).0)
}

impl AsyncRead for Downstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if this.in_progress.load(Ordering::Relaxed) {
            let end = this.end.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(end) = end
                && end.0.as_mut().poll(cx).is_ready()
            {
                this.over = true;
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if this.body_ended.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            let read = Pin::new(&mut this.inner).poll_read(cx, buf);
            return this.note_read(before, read, buf);
        }
        this.answered = false;
        let known = this.is_known();
        if this.head.is_too_long(known) {
            return this.poll_refuse_head(cx).map(Err);
        }
        if buf.remaining() > 0
            && let Some(first) = this.first.take()
        {
            buf.put_slice(&[first]);
        }
        let had = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        match this.note_read(had, read, buf) {
            Poll::Pending if had > before => Poll::Ready(this.head.add(1, known)),
            Poll::Pending => this.head.poll_deadline(cx).map(Err),
            Poll::Ready(Ok(())) => Poll::Ready(this.head.add(buf.filled().len() - before, known)),
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
            if this.held.hold(buf) {
                return Poll::Ready(Ok(buf.len()));
            }
            let written = this.held.poll_write(Pin::new(&mut this.inner), cx, buf);
            return this.note_write(written);
        }
        ready!(this.poll_send_held(cx))?;
        if this.replacement.is_none() {
            match refusal::explain(buf, &this.lines) {
                None => {
                    let written = Pin::new(&mut this.inner).poll_write(cx, buf);
                    return this.note_write(written);
                }
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
                return this.note_write(Poll::Ready(Ok(length)));
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
        ready!(self.poll_send_held(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_held(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Pingora writes only bodies vectored, and refusals have none.
        ready!(self.poll_send_held(cx))?;
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_write(written)
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
