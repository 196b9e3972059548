//! The socket of the local health check: a name in Linux's abstract namespace, which
//! needs no folder and ends with the agent. It belongs to the network namespace, so
//! each container has its own.
//!
//! Both ends take only a process of the same user or of root. Elsewhere than on Linux
//! it cannot be bound.

use std::io;
use std::net::SocketAddr;

use tokio::net::{UnixListener, UnixStream};

/// The agent's end.
pub(crate) struct HealthListener(UnixListener);

impl HealthListener {
    /// Listens for the checks of the agent with this address.
    ///
    /// # Errors
    /// If another process has the name, or the system has no such names.
    pub(crate) fn bind(agent: SocketAddr) -> io::Result<Self> {
        UnixListener::bind(name(agent)?).map(Self)
    }

    /// The next check.
    ///
    /// # Errors
    /// As `accept(2)`, or if another user checks.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        trusted(self.0.accept().await?.0)
    }
}

/// Connects to the agent with this address. Does not wait if too many checks wait
/// already.
///
/// # Errors
/// If no agent listens for checks, or a process of another user does.
pub(crate) async fn connect(agent: SocketAddr) -> io::Result<UnixStream> {
    trusted(UnixStream::connect(name(agent)?).await?)
}

fn trusted(stream: UnixStream) -> io::Result<UnixStream> {
    let peer = stream.peer_cred()?.uid();
    match peer == rustix::process::geteuid().as_raw() || peer == 0 {
        true => Ok(stream),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Tokio takes a path that begins with a zero byte for an abstract name.
fn name(agent: SocketAddr) -> io::Result<String> {
    match cfg!(target_os = "linux") {
        true => Ok(format!("\0skep-health/{agent}")),
        false => Err(io::ErrorKind::Unsupported.into()),
    }
}
