//! Accepts connections and serves the requests on each, one after the other.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::exchange::{After, Exchange};
use super::fault::{self, Behaviour};
use super::seen::{Connected, Shared};
use super::{hijack, route};
use crate::wire::{Duplex, Head, Link};

/// The answer of Go's server to a malformed head.
const NOT_HTTP: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                        Connection: close\r\n\r\n400 Bad Request";

/// The listening part of an engine. It stops soon after it is dropped.
pub(super) struct Listening {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    socket: PathBuf,
}

impl Listening {
    pub(super) async fn start(
        shared: &Arc<Shared>,
        socket: &Path,
        tcp: Option<SocketAddr>,
    ) -> io::Result<(Self, Option<SocketAddr>)> {
        let unix = UnixListener::bind(socket)?;
        let tcp = match tcp {
            Some(address) => Some(TcpListener::bind(address).await?),
            None => None,
        };
        let address = tcp.as_ref().map(TcpListener::local_addr).transpose()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(Arc::clone(shared), unix, tcp, stopped));
        let socket = socket.to_owned();
        Ok((Self { stop, task, socket }, address))
    }

    pub(super) async fn stop(self) {
        drop(self.stop);
        // Both fail only if nothing is left to stop.
        let _ = self.task.await;
        let _ = tokio::fs::remove_file(self.socket).await;
    }
}

async fn accept(
    shared: Arc<Shared>,
    unix: UnixListener,
    tcp: Option<TcpListener>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        let io: Box<dyn Duplex> = tokio::select! {
            _ = &mut stopped => break,
            Ok((stream, _)) = unix.accept() => Box::new(stream),
            Ok(stream) = accept_tcp(tcp.as_ref()) => Box::new(stream),
            Some(_) = connections.join_next() => continue,
        };
        connections.spawn(connection(shared.connected(), Link::new(io)));
    }
    drop((unix, tcp));
    connections.shutdown().await;
}

async fn accept_tcp(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn connection(connected: Connected, mut link: Link) {
    // An error means that the client left, which does not concern the engine.
    let _ = match connected.shared.config().behaviour {
        Behaviour::Refuse => Ok(()),
        Behaviour::Eager => hijack::eager(&connected, &mut link).await,
        _ => serve(&connected, &mut link).await,
    };
}

async fn serve(connected: &Connected, link: &mut Link) -> io::Result<()> {
    loop {
        let head = match Head::read(&mut link.reader).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return link.send(NOT_HTTP.as_bytes()).await;
            }
            Err(e) => return Err(e),
        };
        let Some(mut exchange) = Exchange::begin(connected, link, head) else {
            return link.send(NOT_HTTP.as_bytes()).await;
        };
        let after = match fault::inflict(&mut exchange).await? {
            Some(after) => after,
            None => route::answer(&mut exchange).await?,
        };
        if after == After::Close {
            return Ok(());
        }
    }
}
