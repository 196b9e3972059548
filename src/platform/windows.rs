//! Windows: Ctrl-C, and the places that named pipes will take. Not yet built or
//! run on a real host.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::windows::io::AsRawSocket;
use std::path::Path;

use pingora::protocols::GetSocketDigest;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::net::TcpStream;

/// A file that can be opened and holds nothing.
pub const EMPTY_FILE: &str = "NUL";

/// The certificate authorities are in no file here.
pub const ROOT_FILES: &[&str] = &[];

/// Where the engine listens unless told otherwise.
pub const DEFAULT_ENGINE: &str = "npipe:////./pipe/docker_engine";

/// Access lists are not judged: always `false`.
pub fn readable_by_others(_: &Path) -> bool {
    false
}

/// Writes a new file under the access list its folder hands down.
///
/// # Errors
/// Fails if the file exists already or its folder cannot be made.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::create_new(path)?.write_all(bytes)
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "sockets in the file system exist on Unix only",
    )
}

/// Sockets in the file system exist on Unix only.
///
/// # Errors
/// Always.
pub async fn bound_name(_: &Path) -> io::Result<String> {
    Err(unsupported())
}

/// Sockets in the file system exist on Unix only.
///
/// # Errors
/// Always.
pub fn socket_peer(_: &Path, _: &str) -> pingora::Result<HttpPeer> {
    Error::e_explain(
        ErrorType::ConnectError,
        "sockets (unix://) exist on Unix only",
    )
}

/// The engine behind a named pipe is not reached yet.
///
/// # Errors
/// Always.
pub fn pipe_peer(_: &str) -> pingora::Result<HttpPeer> {
    Error::e_explain(
        ErrorType::ConnectError,
        "named pipes (npipe://) are not supported yet; use tcp://",
    )
}

/// Whether programs can meet at sockets in the file system.
pub const HAS_SOCKETS: bool = false;

/// Whom the file of a socket would belong to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketFile {
    /// The user.
    pub owner: Option<u32>,
    /// The group.
    pub group: Option<u32>,
    /// The bits of `chmod`.
    pub mode: u32,
}

impl SocketFile {
    /// For this program's own user only.
    pub const PRIVATE: Self = Self {
        owner: None,
        group: None,
        mode: 0o600,
    };
}

/// Stands where a Unix socket would listen.
pub struct LocalListener(());

impl LocalListener {
    /// Sockets in the file system exist on Unix only.
    ///
    /// # Errors
    /// Always.
    pub fn bind(_: &Path, _: SocketFile) -> io::Result<Self> {
        Err(unsupported())
    }

    /// Never yields a connection.
    ///
    /// # Errors
    /// Always.
    pub async fn accept(&self) -> io::Result<(Stream, Option<u32>)> {
        Err(unsupported())
    }
}

/// An accepted TCP connection as Pingora's stream that knows its addresses.
pub fn tcp_stream(tcp: TcpStream) -> Stream {
    let digest = SocketDigest::from_raw_socket(tcp.as_raw_socket());
    let mut stream = Stream::from(tcp);
    stream.set_socket_digest(digest);
    stream
}

/// Windows has no such habit.
pub fn disable_huge_pages() {}

/// Waits until the program is told to end; the name of the signal.
pub async fn shutdown_signal() -> &'static str {
    if tokio::signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    "Ctrl-C"
}

/// Windows has no such signal.
#[derive(Debug)]
pub struct Reloads;

/// Listens for nothing: files are looked at every few seconds.
pub fn reload_signals() -> Reloads {
    Reloads
}

impl Reloads {
    /// Never resolves.
    pub async fn next(&mut self) {
        std::future::pending().await
    }
}

/// Opens a file to write at its end.
///
/// # Errors
/// As the system says, or if its folder cannot be made.
pub fn append_private(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
}

/// A file name out of bytes; names are text here.
pub fn os_string_from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
}

/// A new file has the access list that its folder hands down.
///
/// # Errors
/// Never.
pub fn inherit(_: &File, _: Option<&File>) -> io::Result<()> {
    Ok(())
}

/// A new file has the access list that its folder hands down.
pub fn private(_: &mut cap_std::fs::OpenOptions) {}

/// Bytes of a file from there on, as many at most; none at its end.
///
/// # Errors
/// As the system says.
pub fn read_at(file: &File, start: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let read = std::os::windows::fs::FileExt::seek_read(file, &mut bytes, start)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The space of a file system is not asked yet.
///
/// # Errors
/// Always.
pub fn space_of(_: &File) -> io::Result<(u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The space of a file system is not asked yet.
///
/// # Errors
/// Always.
pub fn space(_: &Path) -> io::Result<(u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}
