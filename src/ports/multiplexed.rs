//! The stream of an attach to a container without a terminal: input goes in as it is,
//! output comes in frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use skep_filters::frames::{Frames, OUTPUT};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes that are read at once.
const BLOCK: usize = 64 << 10;

/// Reads the output without its frames. The container's input is written as it is.
pub(super) struct Multiplexed<S> {
    inner: S,
    block: Box<[u8]>,
    /// The part of the block that was not read yet.
    from: usize,
    to: usize,
    frames: Frames,
}

impl<S> Multiplexed<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            block: vec![0; BLOCK].into(),
            from: 0,
            to: 0,
            frames: Frames::default(),
        }
    }

    /// Moves the output in the block to the reader's buffer.
    fn take(&mut self, buffer: &mut ReadBuf<'_>) {
        while self.from < self.to && buffer.remaining() > 0 {
            let end = self.to.min(self.from + buffer.remaining());
            let mut bytes = &self.block[self.from..end];
            let next = self.frames.next(&mut bytes);
            self.from = end - bytes.len();
            if let Some((OUTPUT, piece)) = next {
                buffer.put_slice(piece);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Multiplexed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        loop {
            this.take(buffer);
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut block = ReadBuf::new(&mut this.block);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut block))?;
            (this.from, this.to) = (0, block.filled().len());
            if this.to == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Multiplexed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A reader that gives these pieces, one for each read.
    struct Pieces(std::collections::VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(piece) = self.0.pop_front() {
                buffer.put_slice(&piece);
            }
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn the_output_alone_arrives_wherever_a_read_ends() {
        const ERRORS: u8 = 2;
        let mut wire = Vec::new();
        for (stream, length, body) in [
            (OUTPUT, 5, "begin"),
            (ERRORS, 2, "no"),
            (OUTPUT, 0, ""),
            (OUTPUT, 3, "end"),
        ] {
            wire.extend([stream, 0, 0, 0, 0, 0, 0, length]);
            wire.extend(body.as_bytes());
        }
        for cut in 1..wire.len() {
            for room in 1..=wire.len() {
                let pieces = wire.chunks(cut).map(<[u8]>::to_vec).collect();
                let mut output = Multiplexed::new(Pieces(pieces));
                let mut out = Vec::new();
                let mut buffer = vec![0; room];
                loop {
                    let read = futures::executor::block_on(output.read(&mut buffer)).unwrap();
                    if read == 0 {
                        break;
                    }
                    out.extend_from_slice(&buffer[..read]);
                }
                assert_eq!(out, b"beginend", "{cut} {room}");
            }
        }
    }
}
