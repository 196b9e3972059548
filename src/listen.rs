//! Accepts connections, and hands each one to a Pingora proxy. At the end the
//! loops drain: no new connection, no new request on an old one, and a deadline
//! for running requests.
//!
//! Pingora's `Server::run` does not fit: it binds only after the start has
//! reported success, sleeps through its grace period and owns the runtime.

pub(crate) mod downstream;
pub(crate) mod server_headers;
pub(crate) mod takeover;
pub(crate) mod visitor;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use pingora::proxy::{HttpProxy, ProxyHttp};
use pingora::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::listen::downstream::{Common, Downstream};
use crate::listen::server_headers::ServerHeaders;
use crate::listen::visitor::Visitor;
use crate::platform::keepalive::KEEPALIVE;
use crate::platform::tasks::{TaskError, Tasks};
use crate::platform::{LocalListener, tcp_stream};

/// The most open connections; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 8192;

/// The longest TLS handshake of a client.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The pause after a failed `accept`, most likely for lack of file descriptors:
/// without it the loop would use a whole processor.
const RETRY: Duration = Duration::from_millis(100);

/// A bound listener.
pub(crate) enum Listener {
    Tls(TcpListener, Arc<Acceptor>),
    /// A socket in the file system. With a path, connections carry a [`Visitor`].
    Local(LocalListener, Option<Arc<Path>>),
}

impl Listener {
    /// Binds TCP.
    ///
    /// # Errors
    /// As `bind(2)`, most often because the port is in use.
    pub(crate) async fn tls(address: SocketAddr, acceptor: Arc<Acceptor>) -> io::Result<Self> {
        Ok(Self::Tls(TcpListener::bind(address).await?, acceptor))
    }

    /// The bound address, with the port that the kernel chose for port 0.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tls(tcp, _) => tcp.local_addr().ok(),
            Self::Local(..) => None,
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tls(tcp, acceptor) => {
                let (tcp, _) = tcp.accept().await?;
                // Pingora's listeners do both, `process_new` does neither.
                let _ = tcp.set_nodelay(true);
                let _ = set_tcp_keepalive(&tcp, &KEEPALIVE);
                Ok(Accepted::Tls(tcp, acceptor.clone()))
            }
            Self::Local(local, name) => {
                let (mut stream, uid) = local.accept().await?;
                if let Some(socket) = name.clone() {
                    let attached = Visitor { socket, uid }.attach(&mut stream);
                    attached.map_err(io::Error::other)?;
                }
                Ok(Accepted::Plain(Box::new(stream)))
            }
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(..) => match self.address() {
                Some(address) => write!(f, "listener at {address}"),
                None => f.write_str("listener"),
            },
            Self::Local(_, Some(path)) => write!(f, "listener at {}", path.display()),
            Self::Local(_, None) => f.write_str("listener at a socket"),
        }
    }
}

enum Accepted {
    Tls(TcpStream, Arc<Acceptor>),
    Plain(Stream),
}

impl Accepted {
    async fn handshake(self) -> Option<Stream> {
        let (tcp, acceptor) = match self {
            Self::Plain(stream) => return Some(stream),
            Self::Tls(tcp, acceptor) => (tcp, acceptor),
        };
        let peer = tcp.peer_addr().ok();
        match timeout(HANDSHAKE, acceptor.tls_handshake(tcp_stream(tcp))).await {
            Ok(Ok(tls)) => Some(Box::new(tls)),
            Ok(Err(e)) => {
                tracing::debug!("TLS handshake with {peer:?} failed: {e}");
                None
            }
            Err(_) => {
                tracing::debug!("TLS handshake with {peer:?} took too long");
                None
            }
        }
    }
}

/// Accepts until `stop` resolves, then drains for at most `drain`. Pingora's own
/// refusals carry `server_headers`.
///
/// # Errors
/// If a listener ends before `stop` resolves. It drains in this case too.
pub(crate) async fn serve<P>(
    proxy: Arc<HttpProxy<P>>,
    listeners: Vec<Listener>,
    server_headers: &ServerHeaders,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> Result<(), TaskError>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let (stopping, stopped) = watch::channel(false);
    let shared = Shared {
        permits: Arc::new(Semaphore::new(CONNECTIONS)),
        common: Common::new(server_headers),
    };
    let mut loops = Tasks::default();
    for listener in listeners {
        let name = listener.to_string();
        let accepting = accept_loop(proxy.clone(), listener, shared.clone(), stopped.clone());
        loops.spawn(name, accepting);
    }
    let mut open = Vec::new();
    let served = tokio::select! {
        () = stop => Ok(()),
        (error, connections) = loops.failed() => {
            tracing::error!("{error}");
            open.extend(connections);
            Err(error)
        }
    };
    let _ = stopping.send(true);
    open.extend(loops.ended().await);
    // Wakes the connections that wait for a next request; they close.
    ServerApp::cleanup(&*proxy).await;
    let finished = timeout(drain, async {
        for mut connections in open {
            while connections.join_next().await.is_some() {}
        }
    });
    if finished.await.is_err() {
        tracing::warn!("connections were still busy after {drain:?} and are closed");
    }
    served
}

/// State that all listeners share.
#[derive(Clone)]
struct Shared {
    permits: Arc<Semaphore>,
    common: Common,
}

/// Serves one listener until `stopped` changes, and returns its open connections.
async fn accept_loop<P>(
    proxy: Arc<HttpProxy<P>>,
    listener: Listener,
    shared: Shared,
    stopped: ShutdownWatch,
) -> JoinSet<()>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let mut connections = JoinSet::new();
    let mut stop = stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &shared.permits) => accepted,
            _ = stop.changed() => return connections,
            // Removes finished tasks, which would otherwise accumulate in the set.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((permit, accepted)) => {
                let (proxy, common) = (proxy.clone(), shared.common.clone());
                connections.spawn(connection(proxy, permit, accepted, common, stopped.clone()));
            }
            Err(e) => {
                tracing::warn!("accept failed: {e}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn accept(
    listener: &Listener,
    permits: &Arc<Semaphore>,
) -> io::Result<(OwnedSemaphorePermit, Accepted)> {
    let permit = permits.clone().acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    Ok((permit, listener.accept().await?))
}

async fn connection<P>(
    proxy: Arc<HttpProxy<P>>,
    _permit: OwnedSemaphorePermit,
    accepted: Accepted,
    common: Common,
    stopped: ShutdownWatch,
) where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let stream = accepted.handshake().await;
    let mut next: Option<Stream> = stream.map(|s| Box::new(Downstream::new(s, &common)) as Stream);
    while let Some(stream) = next {
        next = proxy.process_new(stream, &stopped).await;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use pingora::listeners::tls::TlsSettings;
    use rustix::net::sockopt;

    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_sends_at_once_and_notices_a_dead_peer() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["agent".to_owned()]).unwrap();
        let [certificate, key] = [
            ("certificate", made.cert.pem()),
            ("key", made.signing_key.serialize_pem()),
        ]
        .map(|(name, pem)| {
            let file = folder.path().join(name);
            std::fs::write(&file, pem).unwrap();
            file.display().to_string()
        });
        let tls = TlsSettings::intermediate(&certificate, &key).unwrap();
        let address = ([127, 0, 0, 1], 0).into();
        let listener = Listener::tls(address, Arc::new(tls.build())).await.unwrap();
        let client = TcpStream::connect(listener.address().unwrap());
        let (_client, accepted) = tokio::join!(client, listener.accept());
        let Accepted::Tls(tcp, _) = accepted.unwrap() else {
            panic!("not over TLS");
        };
        assert!(tcp.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&tcp).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&tcp).unwrap(), KEEPALIVE.idle);
    }
}
