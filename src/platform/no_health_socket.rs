//! The socket of the local health check, on systems that have none: it cannot be
//! bound, and checks call the agent's listener.

use std::io;
use std::net::SocketAddr;

use tokio::io::DuplexStream;

/// The agent's end.
pub(crate) struct HealthListener(());

impl HealthListener {
    /// There are no such sockets here.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn bind(_: SocketAddr) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never yields a connection.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn accept(&self) -> io::Result<DuplexStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// There are no such sockets here.
///
/// # Errors
/// Always.
pub(crate) async fn connect(_: SocketAddr) -> io::Result<DuplexStream> {
    Err(io::ErrorKind::Unsupported.into())
}
