//! The raw client: it sends what a test says, byte for byte, and shows what
//! came back. It follows nothing, retries nothing, keeps no pool, and gives up
//! a step that takes longer than its limit.

mod connection;
mod hijack;
mod response;
mod streaming;
mod tls;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::patience::{LIMIT, within};
use crate::wire::{Duplex, Link};

pub use connection::Connection;
pub use hijack::{Hijack, RawStream};
pub use response::Response;
pub use streaming::Streaming;

/// Header fields as a test writes them.
pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

/// Where requests go, and how long each step of one may take.
#[derive(Clone)]
pub struct Client {
    target: Target,
    limit: Duration,
}

#[derive(Clone)]
enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Tls(SocketAddr, tls::Tls),
}

impl Client {
    /// Plain HTTP over TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::to(Target::Tcp(address))
    }

    /// Plain HTTP over a Unix socket.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::to(Target::Unix(path.as_ref().to_owned()))
    }

    /// HTTPS: the server must present a certificate for `server_name` that
    /// one of `roots` vouches for; `identity` is the client's own certificate
    /// chain and key.
    ///
    /// # Errors
    /// If a certificate, the key or the name is not usable.
    pub fn tls(
        address: SocketAddr,
        server_name: &str,
        roots: Vec<CertificateDer<'static>>,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> io::Result<Self> {
        let tls = tls::Tls::new(server_name, roots, identity)?;
        Ok(Self::to(Target::Tls(address, tls)))
    }

    fn to(target: Target) -> Self {
        let limit = LIMIT;
        Self { target, limit }
    }

    /// The same client with another limit for each step.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Opens a connection that can take several requests.
    pub async fn connect(&self) -> io::Result<Connection> {
        let io = within(self.limit, "connect", self.open()).await?;
        Ok(Connection::new(Link::new(io), self.limit))
    }

    async fn open(&self) -> io::Result<Box<dyn Duplex>> {
        Ok(match &self.target {
            Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Target::Tcp(address) => Box::new(tcp(*address).await?),
            Target::Tls(address, tls) => Box::new(tls.wrap(tcp(*address).await?).await?),
        })
    }

    /// A connection on which somebody else speaks.
    pub async fn dial(&self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        self.open().await
    }

    /// `GET` on a connection of its own.
    pub async fn get(&self, target: &str, headers: Fields<'_>) -> io::Result<Response> {
        self.request("GET", target, headers, b"").await
    }

    /// One request on a connection of its own. `Host` and `Content-Length` are
    /// added where the headers do not say (the latter not beside a
    /// `Transfer-Encoding`: then `body` is sent as it is, chunks and all).
    pub async fn request(
        &self,
        method: &str,
        target: &str,
        headers: Fields<'_>,
        body: &[u8],
    ) -> io::Result<Response> {
        let mut connection = self.connect().await?;
        connection.request(method, target, headers, body).await
    }

    /// Sends these bytes as they are and reads one answer to them.
    pub async fn raw(&self, bytes: &[u8]) -> io::Result<Response> {
        let mut connection = self.connect().await?;
        connection.send(bytes).await?;
        connection.response("GET").await
    }

    /// Sends a request and takes the connection over once the head of the
    /// answer is there, whatever it says.
    pub async fn hijack(
        &self,
        method: &str,
        target: &str,
        headers: Fields<'_>,
        body: &[u8],
    ) -> io::Result<Hijack> {
        let mut connection = self.connect().await?;
        connection.ask(method, target, headers, body).await?;
        connection.hijack().await
    }

    /// Sends a request and reads its answer piece by piece. With
    /// `Transfer-Encoding: chunked` the request's body may go on as well: see
    /// [`Streaming::send`].
    pub async fn stream(
        &self,
        method: &str,
        target: &str,
        headers: Fields<'_>,
        body: &[u8],
    ) -> io::Result<Streaming> {
        let mut connection = self.connect().await?;
        connection.ask(method, target, headers, body).await?;
        Streaming::begin(connection, method).await
    }
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
