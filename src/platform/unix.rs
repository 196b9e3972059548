//! Implements the platform for Unix: sockets in the file system, modes, signals.

mod private_socket;

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::GetSocketDigest;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, OrErr};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use super::Duplex;
use super::socket_file::SocketFile;

/// An empty file that can always be opened.
pub(crate) const EMPTY_FILE: &str = "/dev/null";

/// The files in which systems keep the certificate authorities that they trust.
pub(crate) const ROOT_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whether group or others may read the file; `false` if its mode cannot be
/// read.
pub(crate) fn readable_by_others(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|m| m.permissions().mode() & 0o044 != 0)
}

/// Whether others may write to the file, which is to connect to a socket; `false` if its
/// mode cannot be read.
pub(crate) fn writable_by_others(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|m| m.permissions().mode() & 0o002 != 0)
}

/// Creates a file that only its owner may read.
///
/// # Errors
/// As `open(2)`; the file must not exist.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Opens a file to write at its end. Only its owner may read a new one.
///
/// # Errors
/// As `open(2)`, or its folder cannot be created.
pub(crate) fn append_private(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

/// Connects to the configured path, whose socket may be bound under another name.
#[derive(Debug)]
struct ConfiguredPath(PathBuf);

#[async_trait]
impl L4Connect for ConfiguredPath {
    async fn connect(&self, _: &SocketAddr) -> pingora::Result<Stream> {
        let stream = UnixStream::connect(&self.0).await;
        Ok(stream
            .or_err(ErrorType::ConnectError, "connecting to the engine's socket")?
            .into())
    }
}

/// The name under which a process has bound its socket.
///
/// Pingora compares it with `getpeername()` before it reuses a connection. A
/// path through a symbolic link (`/var/run`) or a bind mount would never match,
/// so the peer gets the bound name and connects through the path.
///
/// # Errors
/// No process listens.
pub(crate) async fn bound_name(path: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(path).await?;
    let address = stream.peer_addr()?;
    let name = address.as_pathname().and_then(Path::to_str);
    // A name that is not text cannot be compared: no connection is reused.
    let name = name.filter(|n| !n.is_empty()).or_else(|| path.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| io::Error::other("the socket's name is not text"))
}

/// A peer for the engine's socket, reusable under its bound name.
///
/// # Errors
/// The name is not a socket address.
pub(crate) fn socket_peer(path: &Path, bound: &str) -> pingora::Result<HttpPeer> {
    let mut peer = HttpPeer::new_uds(bound, false, String::new())?;
    peer.options.custom_l4 = Some(std::sync::Arc::new(ConfiguredPath(path.to_owned())));
    Ok(peer)
}

/// A named pipe exists on Windows only.
///
/// # Errors
/// Always.
pub(crate) fn pipe_peer(_: &str) -> pingora::Result<HttpPeer> {
    pingora::Error::e_explain(
        ErrorType::ConnectError,
        "named pipes (npipe://) exist on Windows only",
    )
}

/// Whether there are sockets in the file system.
pub(crate) const HAS_SOCKETS: bool = true;

/// A socket in the file system that local programs connect to.
pub(crate) struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, to recognise another file at the path.
    inode: (u64, u64),
}

impl LocalListener {
    /// Binds a socket with this owner and mode, in the place of a stale one.
    ///
    /// # Errors
    /// Another file is at the path, or another program listens there.
    pub(crate) fn bind(path: &Path, file: SocketFile) -> io::Result<Self> {
        let error = |kind, why: &str| Err(io::Error::new(kind, why));
        if let Ok(found) = path.symlink_metadata() {
            if !found.file_type().is_socket() {
                let why = "the path exists and is not a socket";
                return error(io::ErrorKind::AlreadyExists, why);
            }
            match std::os::unix::net::UnixStream::connect(path) {
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(_) => return error(io::ErrorKind::AddrInUse, "another program listens there"),
                Err(e) => return Err(e),
            }
        }
        // Clients see the name that the socket was bound under, so it is bound at
        // its path. It gets its owner and mode in a private folder, where nobody
        // can put another file in its place; until then only this user can open
        // it. The rename replaces atomically.
        let parent = path.parent().unwrap_or(Path::new("/"));
        let mut random = [0; 4];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| io::Error::other("the system's random number generator failed"))?;
        let folder = parent.join(format!(".{:08x}", u32::from_be_bytes(random)));
        let staging = folder.join("s");
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return error(
                    e.kind(),
                    "its folder does not exist; create it, or mount a volume there",
                );
            }
            created => created?,
        }
        let bound = bind_and_move(path, &staging).and_then(|listener| {
            if file.owner.is_some() || file.group.is_some() {
                std::os::unix::fs::lchown(&staging, file.owner, file.group)?;
            }
            std::fs::set_permissions(&staging, Permissions::from_mode(file.mode))?;
            let inode = inode(&staging)?;
            std::fs::rename(&staging, path)?;
            Ok(Self {
                listener,
                path: path.to_owned(),
                inode,
            })
        });
        let _ = std::fs::remove_file(&staging);
        let _ = std::fs::remove_dir(&folder);
        bound
    }

    /// The next connection, its hangup, and its user (`SO_PEERCRED`), `None` if
    /// the kernel does not know it.
    ///
    /// # Errors
    /// As `accept(2)`.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Hangup, Option<u32>)> {
        let stream = self.listener.accept().await?.0;
        let hangup = Hangup::of(&stream)?;
        let uid = stream.peer_cred().map(|peer| peer.uid()).ok();
        Ok((stream.into(), hangup, uid))
    }
}

/// Binds a socket at this path, in the place of a stale one, and moves its file.
fn bind_and_move(path: &Path, to: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let listener = private_socket::bind(path)?;
    std::fs::rename(path, to)?;
    Ok(listener)
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|found| found == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Tells a connection whose other end is gone from one that was closed in one
/// direction. Reading cannot: both are an end of the stream.
///
/// It owns a descriptor of the same socket, because Pingora has the other one.
#[derive(Debug)]
pub(crate) struct Hangup(OwnedFd);

impl Hangup {
    /// The hangup of a connection.
    ///
    /// # Errors
    /// As `dup(2)`.
    pub(crate) fn of(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self(socket.as_fd().try_clone_to_owned()?))
    }

    /// Whether the other end is gone: at a Unix socket it was closed, over TCP it
    /// was reset or answers no keep-alive (`POLLHUP` and `POLLERR`, poll(2)).
    pub(crate) fn has_come(&self) -> bool {
        // The kernel always reports these two.
        let mut one = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut one, Some(&now)), Ok(1..))
            && one[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }
}

/// Raises the limit of open files to the highest that this process may have, and
/// returns it.
pub(crate) fn raise_file_limit() -> usize {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        match rustix::process::setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(e) => tracing::warn!("the limit of open files cannot be raised: {e}"),
        }
    }
    let unlimited = usize::MAX;
    limit.current.map_or(unlimited, |files| {
        usize::try_from(files).unwrap_or(unlimited)
    })
}

/// Pingora's stream, with its addresses, for an accepted TCP connection.
pub(crate) fn tcp_stream(tcp: TcpStream) -> Stream {
    let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
    let mut stream = Stream::from(tcp);
    stream.set_socket_digest(digest);
    stream
}

/// Standard input and output as one stream.
///
/// # Errors
/// If they cannot be used.
pub(crate) fn standard_streams() -> io::Result<Box<dyn Duplex>> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    // An engine gives pipes, which need no thread for each read and each write.
    let pipes = (
        pipe::Receiver::from_owned_fd(input.try_clone()?),
        pipe::Sender::from_owned_fd(output.try_clone()?),
    );
    Ok(match pipes {
        (Ok(input), Ok(output)) => Box::new(tokio::io::join(input, output)),
        _ => {
            let [input, output] = [input, output].map(|fd| tokio::fs::File::from(File::from(fd)));
            Box::new(tokio::io::join(input, output))
        }
    })
}

/// Waits for a signal that ends the program, and returns its name.
pub(crate) async fn shutdown_signal() -> &'static str {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}

/// A stream of SIGHUP.
#[derive(Debug)]
pub(crate) struct Reloads(Option<tokio::signal::unix::Signal>);

/// Listens for the signal to read the configuration again. Without a listener,
/// it would end the program.
pub(crate) fn reload_signals() -> Reloads {
    Reloads(signal(SignalKind::hangup()).ok())
}

impl Reloads {
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Keeps the kernel from giving the program memory in pages of 2 MiB. An agent
/// uses little of each, so an idle one would be ten times as large. Call this
/// first.
pub fn disable_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!("huge pages cannot be disabled: {e}");
    }
}

/// Keeps the secrets in memory out of core files and from other processes of the
/// same user (`PR_SET_DUMPABLE`, prctl(2)). Call this before reading a secret.
pub fn forbid_memory_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(e) =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!("other processes of this user can read the memory: {e}");
    }
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(e) = rustix::process::setrlimit(Resource::Core, none) {
        tracing::warn!("a crash may write the memory into a core file: {e}");
    }
}

/// Keeps the program, and what it starts, from gaining rights by running another
/// program (`PR_SET_NO_NEW_PRIVS`, prctl(2)). Stack files cannot set this. Call it
/// before any thread starts.
pub fn forbid_new_privileges() {
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::thread::set_no_new_privs(true) {
        tracing::warn!("no-new-privileges cannot be set: {e}");
    }
}

/// A file name from bytes, which need not be text here.
pub fn os_string_from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    Some(OsString::from_vec(bytes))
}

/// Gives a new file the owner and the mode of the one that it replaces, else an
/// executable mode: scripts uploaded through Portainer's agent can be run.
///
/// # Errors
/// As `fchmod(2)`. If the owner cannot be changed, it stays ours.
pub(crate) fn inherit(file: &File, replaced: Option<&File>) -> io::Result<()> {
    let Some(replaced) = replaced else {
        return file.set_permissions(Permissions::from_mode(0o755));
    };
    let old = replaced.metadata()?;
    let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
    file.set_permissions(Permissions::from_mode(old.permissions().mode() & 0o777))
}

/// Makes a new file readable by its owner only.
pub(crate) fn private(options: &mut cap_std::fs::OpenOptions) {
    cap_std::fs::OpenOptionsExt::mode(options, 0o600);
}

/// At most `most` bytes of a file from `start`, none at its end. The buffer is
/// not cleared first.
///
/// # Errors
/// As `pread(2)`.
pub(crate) fn read_at(file: &File, start: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    let read = || rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), start);
    rustix::io::retry_on_intr(read)?;
    // A vector may have more room than requested.
    bytes.truncate(most);
    Ok(bytes)
}

/// The size of the file system of a path, and its free space, in bytes.
///
/// # Errors
/// As `statvfs(3)`.
pub(crate) fn space(path: &Path) -> io::Result<(u64, u64)> {
    Ok(bytes_of(rustix::fs::statvfs(path)?))
}

/// The size of the file system of a file, and its free space, in bytes.
///
/// # Errors
/// As `fstatvfs(3)`.
pub(crate) fn space_of(file: &File) -> io::Result<(u64, u64)> {
    Ok(bytes_of(rustix::fs::fstatvfs(file)?))
}

fn bytes_of(found: rustix::fs::StatVfs) -> (u64, u64) {
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    (bytes(found.f_blocks), bytes(found.f_bavail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::write_private;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_memory_goes_into_no_core_file_and_to_no_other_process() {
        forbid_memory_dumps();
        let dumpable = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, rustix::process::DumpableBehavior::NotDumpable);
        let limit = rustix::process::getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }

    #[test]
    fn the_limit_of_open_files_is_the_highest_that_the_kernel_allows() {
        let raised = raise_file_limit();
        let limit = rustix::process::getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(limit.current, Some(raised as u64));
    }

    #[tokio::test]
    async fn a_closed_socket_is_told_from_one_that_was_closed_in_one_direction() {
        use tokio::io::AsyncWriteExt;
        let (near, mut far) = UnixStream::pair().unwrap();
        let hangup = Hangup::of(&near).unwrap();
        assert!(!hangup.has_come());
        far.shutdown().await.unwrap();
        assert!(!hangup.has_come());
        drop(far);
        assert!(hangup.has_come());
    }

    #[test]
    fn only_the_owner_reads_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/secret");
        write_private(&path, b"x").unwrap();
        assert!(!readable_by_others(&path));
        assert_eq!(
            write_private(&path, b"y").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(readable_by_others(&path));
    }

    #[tokio::test]
    async fn a_symlinked_socket_has_the_name_it_was_bound_under() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.sock");
        let link = folder.path().join("link.sock");
        let _listener = UnixListener::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(bound_name(&link).await.unwrap(), real.to_str().unwrap());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = LocalListener::bind(&path, SocketFile::PRIVATE).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = LocalListener::bind(&path, SocketFile::PRIVATE);
        assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        assert!(!path.exists());
    }
}
