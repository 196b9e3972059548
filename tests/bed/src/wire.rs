//! HTTP/1.1 as bytes on a stream, for both ends. This parser is lenient on
//! purpose: it shows what it receives. The strict one is under test.

mod body;
mod head;

use std::io;

use bytes::Bytes;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf,
    WriteHalf, split,
};

pub(crate) use body::Body;
pub use body::chunk;
pub use head::Head;

/// Any connected stream: Unix, TCP or TLS.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One end of a connection. Bytes read beyond a head stay in `reader`, so they
/// are the first bytes of whatever comes after it.
pub(crate) struct Link {
    pub(crate) reader: BufReader<ReadHalf<Box<dyn Duplex>>>,
    pub(crate) writer: WriteHalf<Box<dyn Duplex>>,
}

impl Link {
    pub(crate) fn new(io: Box<dyn Duplex>) -> Self {
        let (reader, writer) = split(io);
        let reader = BufReader::new(reader);
        Self { reader, writer }
    }

    /// Writes and flushes (TLS buffers until then).
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await?;
        self.writer.flush().await
    }

    /// Ends this direction only: `shutdown(SHUT_WR)`, under TLS after a close_notify.
    pub(crate) async fn close_write(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }

    /// The next bytes that arrive; empty at the end.
    pub(crate) async fn receive(&mut self) -> io::Result<Bytes> {
        let mut buffer = vec![0; 16 * 1024];
        let n = self.reader.read(&mut buffer).await?;
        buffer.truncate(n);
        Ok(buffer.into())
    }

    /// Completes when the other end has ended its direction, unless it sends
    /// something before that. Consumes nothing.
    pub(crate) async fn ended(&mut self) {
        if let Ok([_, ..]) = self.reader.fill_buf().await {
            std::future::pending().await
        }
    }
}
