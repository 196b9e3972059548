//! The raw client: it sends the bytes of a test and returns the answer. It
//! follows no redirect, retries nothing, keeps no pool, and aborts a step that
//! takes longer than its limit.

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

use crate::wait::{LIMIT, within};
use crate::wire::{Duplex, Link};

pub use connection::Connection;
pub use hijack::{Hijack, RawStream};
pub use response::Response;
pub use streaming::Streaming;

/// Header fields as a test writes them.
pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

/// The target of requests, and the time limit of each step.
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

    /// A raw connection for another protocol or program.
    pub async fn dial(&self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        self.open().await
    }

    /// `GET` on its own connection.
    pub async fn get(&self, target: &str, headers: Fields<'_>) -> io::Result<Response> {
        self.request("GET", target, headers, b"").await
    }

    /// One request on its own connection. Adds `Host` and `Content-Length` if the
    /// headers lack them; the latter not beside a `Transfer-Encoding`, for which
    /// `body` must contain the chunks.
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

    /// Sends these bytes unchanged and reads one answer.
    pub async fn raw(&self, bytes: &[u8]) -> io::Result<Response> {
        let mut connection = self.connect().await?;
        connection.send(bytes).await?;
        connection.response("GET").await
    }

    /// Sends a request and hijacks the connection after the head of the answer,
    /// whatever its status.
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

    /// Sends a request and reads its answer in pieces. With
    /// `Transfer-Encoding: chunked` the test can send more of the body: see
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
