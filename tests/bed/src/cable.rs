//! A wire between two ends that can go dead without a word to either: what a
//! stopped process, or a machine without power, looks like from afar.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to where it leads, until it is dropped.
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
    /// A cable that leads nowhere yet.
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

    /// Its near end: who connects here is connected to its far end.
    pub fn address(&self) -> SocketAddr {
        self.near
    }

    /// Puts its far end there.
    pub fn lead_to(&self, far: SocketAddr) {
        self.state.send_modify(|state| state.far = Some(far));
    }

    /// No byte gets through any more, and no end of a connection. Connections
    /// are still taken, as a kernel takes them for a process that is stopped.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.whole = false);
    }

    /// What has waited goes on.
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

/// One direction, to its end.
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
    async fn what_is_sent_through_a_cut_cable_arrives_once_it_is_mended() {
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
