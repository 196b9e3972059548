//! Makes one of the streams of an HTTP/2 connection a plain stream of bytes.
//!
//! The window of a stream opens again only as its bytes are read, so a slow reader stops
//! nobody else. What has arrived is kept as bytes and not as frames: a program that
//! sends byte by byte costs no more memory than its window.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::{FlowControl, Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;

/// Both directions of a stream. If it is dropped before both have ended, the other side
/// sees a reset and no end.
pub(super) struct LinkStream {
    send: SendStream<Bytes>,
    has_sent_end: bool,
    window: FlowControl,
    arrived: Arc<Mutex<Arrived>>,
    collecting: AbortHandle,
}

/// What has arrived and was not read yet.
#[derive(Default)]
struct Arrived {
    bytes: BytesMut,
    end: Option<End>,
    reader: Option<Waker>,
}

enum End {
    Whole,
    Broken(io::Error),
}

impl LinkStream {
    /// Call it within a runtime: a task of its own collects what arrives.
    pub(super) fn new(send: SendStream<Bytes>, mut receive: RecvStream) -> Self {
        let window = receive.flow_control().clone();
        let arrived = Arc::new(Mutex::new(Arrived::default()));
        let collecting = tokio::spawn(collect(receive, arrived.clone())).abort_handle();
        Self {
            send,
            has_sent_end: false,
            window,
            arrived,
            collecting,
        }
    }
}

async fn collect(mut receive: RecvStream, arrived: Arc<Mutex<Arrived>>) {
    loop {
        let next = receive.data().await;
        let mut arrived = lock(&arrived);
        match next {
            Some(Ok(bytes)) => arrived.bytes.extend_from_slice(&bytes),
            Some(Err(e)) => arrived.end = Some(End::Broken(broken(e))),
            None => arrived.end = Some(End::Whole),
        }
        if let Some(reader) = arrived.reader.take() {
            reader.wake();
        }
        if arrived.end.is_some() {
            return;
        }
    }
}

fn lock(arrived: &Mutex<Arrived>) -> MutexGuard<'_, Arrived> {
    arrived.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for LinkStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = {
            let mut arrived = lock(&self.arrived);
            let length = arrived.bytes.len().min(buffer.remaining());
            if length == 0 {
                return match &arrived.end {
                    Some(End::Whole) => Poll::Ready(Ok(())),
                    Some(End::Broken(e)) => Poll::Ready(Err(e.kind().into())),
                    None => {
                        arrived.reader = Some(cx.waker().clone());
                        Poll::Pending
                    }
                };
            }
            buffer.put_slice(&arrived.bytes[..length]);
            arrived.bytes.advance(length);
            length
        };
        // After the end there is no window any more.
        drop(self.window.release_capacity(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.send.reserve_capacity(bytes.len());
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(e)) => return Poll::Ready(Err(broken(e))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = bytes.len().min(self.send.capacity());
        let piece = Bytes::copy_from_slice(&bytes[..length]);
        let sent = self.send.send_data(piece, false).map_err(broken);
        Poll::Ready(sent.map(|()| length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The task of the connection writes what it has.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_sent_end {
            return Poll::Ready(Ok(()));
        }
        self.has_sent_end = true;
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(broken))
    }
}

impl Drop for LinkStream {
    fn drop(&mut self) {
        let has_whole = matches!(lock(&self.arrived).end, Some(End::Whole));
        if !(self.has_sent_end && has_whole) {
            self.send.send_reset(Reason::CANCEL);
        }
        self.collecting.abort();
    }
}

fn broken(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        false => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}
