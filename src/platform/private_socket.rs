//! Binds a socket that nobody else can open, not even for a moment.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixSocket};

/// The connections that may wait to be accepted, as in the standard library.
const BACKLOG: u32 = 128;

/// Binds a socket at this path, which only this user may open. The path is the name
/// that clients see (`getpeername`), also if the file is moved afterwards.
///
/// # Errors
/// As `bind(2)`, or if others may open the file.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    bind_with_mode(&socket, path, Mode::RUSR | Mode::WUSR)?;
    let found = path.symlink_metadata()?;
    if found.permissions().mode() & 0o077 != 0 || found.uid() != rustix::process::geteuid().as_raw()
    {
        return Err(io::Error::other("the new socket is open to other users"));
    }
    socket.listen(BACKLOG)
}

/// Linux gives the file the mode that its socket has (`unix_bind` in
/// net/unix/af_unix.c).
#[cfg(target_os = "linux")]
fn bind_with_mode(socket: &UnixSocket, path: &Path, mode: Mode) -> io::Result<()> {
    rustix::fs::fchmod(socket, mode)?;
    socket.bind(path)
}

/// Elsewhere the mode depends on the process's mask only.
#[cfg(not(target_os = "linux"))]
fn bind_with_mode(socket: &UnixSocket, path: &Path, _: Mode) -> io::Result<()> {
    let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let bound = socket.bind(path);
    rustix::process::umask(before);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_may_open_a_new_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let _listener = bind(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
