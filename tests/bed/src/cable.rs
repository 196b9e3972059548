//! A wire between two ends that can go dead without closing connections. So a
//! stopped process, or a machine without power, looks to its peers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Forwards connections to its far end until it is dropped.
pub struct Cable {
    near: SocketAddr,
    state: watch::Sender<State>,
    running: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    far: Option<SocketAddr>,
    whole: bool,
}

impl Cable {
    /// A cable without a far end.
    ///
    /// # Errors
    /// If no address can be bound.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (state, seen) = watch::channel(State {
            far: None,
            whole: true,
        });
        Ok(Self {
            near,
            state,
            running: tokio::spawn(run(listener, seen)),
        })
    }

    /// The near end. The cable forwards connections to the far end.
    pub fn address(&self) -> SocketAddr {
        self.near
    }

    /// Sets the far end.
    pub fn lead_to(&self, far: SocketAddr) {
        self.state.send_modify(|state| state.far = Some(far));
    }

    /// Stops every byte and every end of a connection. The cable still accepts
    /// connections, as a kernel does for a stopped process.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.whole = false);
    }

    /// Passes bytes again, including those that waited.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.whole = true);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn run(listener: tokio::net::TcpListener, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        connections.spawn(connection(near, state.clone()));
    }
}

async fn connection(near: TcpStream, mut state: watch::Receiver<State>) -> io::Result<()> {
    let ready = state.wait_for(|state| state.whole && state.far.is_some());
    let far = ready.await.map_err(io::Error::other)?.far;
    let far = TcpStream::connect(far.ok_or(io::ErrorKind::NotConnected)?).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::try_join!(
        pass(from_near, to_far, state.clone()),
        pass(from_far, to_near, state),
    )?;
    Ok(())
}

/// Copies one direction to its end.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        let whole = state.wait_for(|state| state.whole).await;
        drop(whole.map_err(io::Error::other)?);
        match n {
            0 => return to.shutdown().await,
            n => to.write_all(&buffer[..n]).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn bytes_sent_through_a_cut_cable_arrive_after_it_is_mended() {
        let far = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cable = Cable::new().unwrap();
        cable.lead_to(far.local_addr().unwrap());
        let mut near = TcpStream::connect(cable.address()).await.unwrap();
        let (mut far, _) = far.accept().await.unwrap();
        near.write_all(b"a").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'a');
        cable.cut();
        near.write_all(b"b").await.unwrap();
        near.shutdown().await.unwrap();
        let read = timeout(Duration::from_millis(50), far.read_u8()).await;
        assert!(read.is_err(), "{read:?}");
        cable.mend();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"b");
    }
}
