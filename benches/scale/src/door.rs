//! A door to the agent: it passes connections on, and counts their bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The door, until it is dropped.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    bytes: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Door {
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let counted = counted.clone();
                connections.spawn(async move { drop(pass(stream, to, &counted).await) });
            }
        });
        Ok(Self {
            address,
            bytes,
            _tasks: tasks,
        })
    }

    /// The bytes so far, in both directions.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn pass(stream: TcpStream, to: SocketAddr, counted: &AtomicU64) -> io::Result<()> {
    let other = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    other.set_nodelay(true)?;
    let (mut from_client, mut to_client) = stream.into_split();
    let (mut from_agent, mut to_agent) = other.into_split();
    let up = copy(&mut from_client, &mut to_agent, counted);
    let down = copy(&mut from_agent, &mut to_client, counted);
    tokio::try_join!(up, down)?;
    Ok(())
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    counted: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        counted.fetch_add(read as u64, Ordering::Relaxed);
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(bytes).await?;
    }
}
