//! Hides the differences between operating systems behind one set of names.
//!
//! No other module names a Unix or a Windows type. This module decides nothing:
//! callers decide what a readable secret or a missing socket means.

use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(unix)]
pub(crate) mod health_socket;
#[cfg(windows)]
#[path = "platform/no_health_socket.rs"]
pub(crate) mod health_socket;
mod socket_file;
mod whole_file;

pub mod clock;
pub mod keepalive;
pub(crate) mod lateness;
pub mod tasks;

#[cfg(unix)]
#[path = "platform/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "platform/windows.rs"]
mod system;

pub(crate) use socket_file::SocketFile;
pub use system::*;
pub(crate) use whole_file::replace_private;
pub use whole_file::write_private;

/// A stream in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}
