//! Holds the head of an answer back until the body follows, so that a small answer is
//! one TLS record, one system call and one packet.
//!
//! Pingora writes a head and its body one after the other. It flushes after the body,
//! and after a head that no body of known length follows.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Longer heads are written at once.
const LIMIT: usize = 8 << 10;

/// The head that is held back, if any.
#[derive(Debug, Default)]
pub(super) struct Held {
    head: Vec<u8>,
    sent: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Holds these bytes back if they are a head and nothing else; whether it does.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> bool {
        let is_head = bytes.starts_with(b"HTTP/1.") && bytes.ends_with(b"\r\n\r\n");
        let holds = is_head && bytes.len() <= LIMIT && self.is_empty();
        if holds {
            self.head.extend_from_slice(bytes);
        }
        holds
    }

    /// Writes the head and these bytes together; resolves with the count of these.
    pub(super) fn poll_write(
        &mut self,
        mut to: Pin<&mut (impl AsyncWrite + ?Sized)>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        while !self.is_empty() {
            let head = &self.head[self.sent..];
            let both = [IoSlice::new(head), IoSlice::new(bytes)];
            let written = ready!(to.as_mut().poll_write_vectored(cx, &both))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let left = head.len();
            self.sent += written;
            if written >= left {
                // Frees the buffer: a connection that waits holds none.
                *self = Self::default();
            }
            if written > left {
                return Poll::Ready(Ok(written - left));
            }
        }
        match bytes {
            [] => Poll::Ready(Ok(0)),
            bytes => to.poll_write(cx, bytes),
        }
    }

    /// Writes the head alone.
    pub(super) fn poll_send(
        &mut self,
        to: Pin<&mut (impl AsyncWrite + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_write(to, cx, &[]).map_ok(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::task::noop_waker;

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";

    /// Takes so many bytes with each write.
    #[derive(Default)]
    struct Sink {
        takes: VecDeque<usize>,
        writes: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = bytes.iter().flat_map(|part| part.to_vec()).collect();
            let takes = self.takes.pop_front().unwrap_or(usize::MAX);
            let taken = &all[..takes.min(all.len())];
            self.writes.push(taken.to_vec());
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes a head, then these pieces, to a sink that takes so many bytes each time.
    fn through(takes: &[usize], pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut sink = Sink {
            takes: takes.iter().copied().collect(),
            ..Sink::default()
        };
        let mut held = Held::default();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        assert!(held.hold(HEAD));
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let written = held.poll_write(Pin::new(&mut sink), &mut cx, rest);
                let Poll::Ready(Ok(written)) = written else {
                    panic!("{written:?}");
                };
                rest = &rest[written..];
            }
        }
        assert!(held.is_empty());
        sink.writes
    }

    #[test]
    fn a_head_leaves_with_its_body_in_one_write() {
        assert_eq!(through(&[], &[b"OK"]), [[HEAD, b"OK"].concat()]);
    }

    #[test]
    fn nothing_is_lost_or_repeated_wherever_a_write_ends() {
        let whole = [HEAD, b"OK", b"more"].concat();
        for first in 1..=whole.len() {
            for second in 1..4 {
                let writes = through(&[first, second, 1], &[b"OK", b"more"]);
                assert_eq!(writes.concat(), whole, "{first} {second}");
            }
        }
    }

    #[test]
    fn heads_alone_are_held() {
        for other in [
            &b"OK"[..],
            b"",
            b"HTTP/1.1 200 OK\r\n\r\nOK",
            b"2\r\nOK\r\n\r\n",
        ] {
            assert!(!Held::default().hold(other), "{other:?}");
        }
        let long = [
            b"HTTP/1.1 200 OK\r\na: ",
            &vec![b'a'; LIMIT][..],
            b"\r\n\r\n",
        ]
        .concat();
        assert!(!Held::default().hold(&long));
        let mut held = Held::default();
        assert!(held.hold(HEAD));
        assert!(!held.hold(HEAD), "a body that looks like a head");
    }
}
