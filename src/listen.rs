//! Accepts connections, bounds their number, and hands each one to a Pingora proxy.
//!
//! The end has two parts. While long exchanges are open, everything goes on: the
//! agent may be its node's only door. Then there is no new connection, no new
//! request on an old one, and a moment for the short requests that are open.
//!
//! Pingora's `Server::run` does not fit: it binds only after the start has
//! reported success, sleeps through its grace period and owns the runtime.

pub mod bounds;
pub(crate) mod downstream;
pub(crate) mod exchanges;
mod linger;
pub(crate) mod memory;
pub(crate) mod places;
pub(crate) mod plain;
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

use pingora::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use pingora::proxy::{HttpProxy, ProxyHttp};
use pingora::server::ShutdownWatch;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::listen::downstream::{Common, Downstream};
use crate::listen::exchanges::SHORT;
use crate::listen::places::{Place, Places, Source};
use crate::listen::plain::Door;
use crate::listen::server_headers::ServerHeaders;
use crate::listen::visitor::{Host, User, Visitor};
use crate::platform::keepalive::KEEPALIVE;
use crate::platform::tasks::{TaskError, Tasks};
use crate::platform::{self, Hangup, LocalListener, tcp_stream};

/// The longest TLS handshake of a client.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The seconds that Pingora waits for more of a request; it also lets the connection
/// be used again.
const KEPT_ALIVE: u64 = 60;

/// The pause after a failed `accept`, most likely for lack of file descriptors:
/// without it the loop would use a whole processor.
const RETRY: Duration = Duration::from_millis(100);

/// A bound listener.
pub(crate) enum Listener {
    Tls(TcpListener, Arc<Acceptor>),
    /// An address without TLS. Connections carry a [`Visitor`].
    Plain(TcpListener, Arc<Door>),
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

    /// Binds TCP, for connections without TLS.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub(crate) async fn plain(address: SocketAddr, door: Arc<Door>) -> io::Result<Self> {
        Ok(Self::Plain(TcpListener::bind(address).await?, door))
    }

    /// The bound address, with the port that the kernel chose for port 0.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tls(tcp, _) | Self::Plain(tcp, _) => tcp.local_addr().ok(),
            Self::Local(..) => None,
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tls(tcp, acceptor) => {
                let (tcp, address) = tcp.accept().await?;
                tune(&tcp);
                Ok(Accepted {
                    hangup: Hangup::of(&tcp)?,
                    source: address.ip().into(),
                    transport: Transport::Tls(tcp, acceptor.clone()),
                })
            }
            Self::Plain(tcp, door) => {
                let (tcp, from) = accept_admitted(tcp, door).await?;
                tune(&tcp);
                let hangup = Hangup::of(&tcp)?;
                let mut stream = tcp_stream(tcp);
                let visitor = Visitor::Host(Host {
                    listener: door.listener,
                    from,
                    since: Instant::now(),
                });
                visitor.attach(&mut stream).map_err(io::Error::other)?;
                Ok(Accepted {
                    hangup,
                    source: from.ip().into(),
                    transport: Transport::Plain(Box::new(stream)),
                })
            }
            Self::Local(local, name) => {
                let (mut stream, hangup, uid) = local.accept().await?;
                if let Some(socket) = name.clone() {
                    let visitor = Visitor::User(User { socket, uid });
                    visitor.attach(&mut stream).map_err(io::Error::other)?;
                }
                Ok(Accepted {
                    hangup,
                    source: Source::User(uid),
                    transport: Transport::Plain(Box::new(stream)),
                })
            }
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(..) | Self::Plain(..) => match self.address() {
                Some(address) => write!(f, "listener at {address}"),
                None => f.write_str("listener"),
            },
            Self::Local(_, Some(path)) => write!(f, "listener at {}", path.display()),
            Self::Local(_, None) => f.write_str("listener at a socket"),
        }
    }
}

/// The next connection from a host that may connect; others are closed at once.
async fn accept_admitted(tcp: &TcpListener, door: &Door) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        let (stream, from) = tcp.accept().await?;
        if door.admits(from.ip()) {
            return Ok((stream, from));
        }
    }
}

/// Pingora's listeners do both, `process_new` does neither.
fn tune(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let _ = set_tcp_keepalive(tcp, &KEEPALIVE);
}

/// A new connection.
struct Accepted {
    transport: Transport,
    hangup: Hangup,
    source: Source,
}

enum Transport {
    Tls(TcpStream, Arc<Acceptor>),
    Plain(Stream),
}

impl Transport {
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

/// Accepts until `stop` resolves, and then until the long exchanges have ended, for
/// at most `drain`. Pingora's own refusals carry `server_headers`.
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
    let common = Common::new(server_headers);
    // Each listener has its own places, so that a crowd at one of them leaves the
    // others free.
    let places = bounds::connections(platform::raise_file_limit()) / listeners.len().max(1);
    let mut loops = Tasks::default();
    for listener in listeners {
        let name = listener.to_string();
        let shared = Shared {
            places: Arc::new(Places::new(places)),
            common: common.clone(),
        };
        let accepting = accept_loop(proxy.clone(), listener, shared, stopped.clone());
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
    let drained = common.exchanges.drain(Instant::now() + drain);
    tokio::select! {
        () = drained => {}
        // A listener has failed: the others need not go on.
        (error, connections) = loops.failed() => {
            tracing::error!("{error}");
            open.extend(connections);
        }
    }
    let _ = stopping.send(true);
    open.extend(loops.ended().await);
    // Wakes the connections that wait for a next request; they close.
    ServerApp::cleanup(&*proxy).await;
    let finished = timeout(SHORT.min(drain), async {
        for mut connections in open {
            while connections.join_next().await.is_some() {}
        }
    });
    if finished.await.is_err() {
        tracing::warn!("connections were still busy after {drain:?} and are closed");
    }
    served
}

/// State that the connections of a listener share.
struct Shared {
    places: Arc<Places>,
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
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return connections,
            // Removes finished tasks, which would otherwise accumulate in the set.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok(accepted) => {
                let place = Arc::new(shared.places.take(accepted.source));
                let (proxy, common) = (proxy.clone(), shared.common.clone());
                connections.spawn(connection(proxy, place, accepted, common, stopped.clone()));
            }
            Err(e) => {
                tracing::warn!("accept failed: {e}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Serves a connection until it ends, or a new one takes its place.
async fn connection<P>(
    proxy: Arc<HttpProxy<P>>,
    place: Arc<Place>,
    accepted: Accepted,
    common: Common,
    stopped: ShutdownWatch,
) where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    tokio::select! {
        () = place.lost() => {}
        () = serve_connection(proxy, place.clone(), accepted, common, stopped) => {}
    }
}

/// The steps are boxed: an idle connection keeps only what it needs while idle.
async fn serve_connection<P>(
    proxy: Arc<HttpProxy<P>>,
    place: Arc<Place>,
    accepted: Accepted,
    common: Common,
    mut stopped: ShutdownWatch,
) where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let Some(stream) = Box::pin(accepted.transport.handshake()).await else {
        return;
    };
    let downstream = Downstream::new(stream, &common).at(place, accepted.hangup);
    let mut downstream = Box::new(downstream);
    let left = downstream.left();
    let mut settings = None;
    loop {
        let begun = tokio::select! {
            begun = downstream.has_first_byte() => begun,
            _ = stopped.changed() => false,
        };
        if !begun {
            downstream.close().await;
            return;
        }
        let answered = answer(&proxy, downstream, settings, &stopped);
        match Box::pin(answered).await {
            Some((connection, kept)) => (downstream, settings) = (connection, kept),
            None => break,
        }
    }
    linger::finish(left, &common.lingering, stopped).await;
}

/// Answers the request that has begun. Returns the connection and Pingora's settings
/// for it if another request may follow; Pingora's own loop, in `process_new`, would
/// hold its state of a request and a buffer while it waits for that one.
async fn answer<P>(
    proxy: &Arc<HttpProxy<P>>,
    downstream: Box<Downstream>,
    settings: Option<HttpPersistentSettings>,
    stopped: &ShutdownWatch,
) -> Option<(Box<Downstream>, Option<HttpPersistentSettings>)>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let mut session = ServerSession::new_http1(downstream);
    match settings {
        Some(settings) => settings.apply_to_session(&mut session),
        None => session.set_keepalive(Some(KEPT_ALIVE)),
    }
    let reused = proxy.process_new_http(session, stopped).await?;
    let (stream, settings) = reused.consume();
    let downstream = stream.into_any().downcast::<Downstream>();
    Some((downstream.ok()?, settings))
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
        let Transport::Tls(tcp, _) = accepted.unwrap().transport else {
            panic!("not over TLS");
        };
        assert!(tcp.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&tcp).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&tcp).unwrap(), KEEPALIVE.idle);
    }
}
