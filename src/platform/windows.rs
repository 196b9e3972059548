//! Implements the platform for Windows: Ctrl-C; named pipes are not supported
//! yet. Not yet built or run on a real host.

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

use super::Duplex;
use super::socket_file::SocketFile;

/// An empty file that can always be opened.
pub(crate) const EMPTY_FILE: &str = "NUL";

/// No file has the certificate authorities here.
pub(crate) const ROOT_FILES: &[&str] = &[];

/// Always `false`: access lists are not read.
pub(crate) fn readable_by_others(_: &Path) -> bool {
    false
}

/// Whether others may connect; access lists are not looked at.
pub(crate) fn writable_by_others(_: &Path) -> bool {
    false
}

/// Creates a file with the access list of its folder.
///
/// # Errors
/// The file exists already, or it cannot be created.
pub(crate) fn create_private(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::create_new(path)
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
pub(crate) async fn bound_name(_: &Path) -> io::Result<String> {
    Err(unsupported())
}

/// Sockets in the file system exist on Unix only.
///
/// # Errors
/// Always.
pub(crate) fn socket_peer(_: &Path, _: &str) -> pingora::Result<HttpPeer> {
    Error::e_explain(
        ErrorType::ConnectError,
        "sockets (unix://) exist on Unix only",
    )
}

/// Named pipes are not supported yet.
///
/// # Errors
/// Always.
pub(crate) fn pipe_peer(_: &str) -> pingora::Result<HttpPeer> {
    Error::e_explain(
        ErrorType::ConnectError,
        "named pipes (npipe://) are not supported yet; use tcp://",
    )
}

/// Whether there are sockets in the file system.
pub(crate) const HAS_SOCKETS: bool = false;

/// The counterpart of a Unix socket, which cannot be made here.
pub(crate) struct LocalListener(());

impl LocalListener {
    /// Sockets in the file system exist on Unix only.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn bind(_: &Path, _: SocketFile) -> io::Result<Self> {
        Err(unsupported())
    }

    /// Never yields a connection.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Hangup, Option<u32>)> {
        Err(unsupported())
    }
}

/// A connection's other end is noticed here only by reading and writing.
#[derive(Debug)]
pub(crate) struct Hangup;

impl Hangup {
    /// The hangup of a connection.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn of<T>(_: &T) -> io::Result<Self> {
        Ok(Self)
    }

    /// Always `false`.
    pub(crate) fn has_come(&self) -> bool {
        false
    }
}

/// Windows has no such limit.
pub(crate) fn raise_file_limit() -> usize {
    usize::MAX
}

/// Pingora's stream, with its addresses, for an accepted TCP connection.
pub(crate) fn tcp_stream(tcp: TcpStream) -> Stream {
    let digest = SocketDigest::from_raw_socket(tcp.as_raw_socket());
    let mut stream = Stream::from(tcp);
    stream.set_socket_digest(digest);
    stream
}

/// No engine for Windows gives a container the network of another one.
///
/// # Errors
/// Always.
pub(crate) fn standard_streams() -> io::Result<Box<dyn Duplex>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows does not use huge pages by itself.
pub fn disable_huge_pages() {}

/// Windows writes no core files, and has no such switch for a process.
pub fn forbid_memory_dumps() {}

/// Windows has no programs that give rights to those who run them.
pub fn forbid_new_privileges() {}

/// Waits for a signal that ends the program, and returns its name.
pub(crate) async fn shutdown_signal() -> &'static str {
    if tokio::signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    "Ctrl-C"
}

/// Windows has no signal to reload.
#[derive(Debug)]
pub(crate) struct Reloads;

/// A stream without signals; the agent checks its files every few seconds.
pub(crate) fn reload_signals() -> Reloads {
    Reloads
}

impl Reloads {
    /// Never resolves.
    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}

/// Opens a file to write at its end.
///
/// # Errors
/// As the system reports, or its folder cannot be created.
pub(crate) fn append_private(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
}

/// A file name from bytes; names are text here.
pub fn os_string_from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
}

/// A new file has the access list of its folder.
///
/// # Errors
/// Never.
pub(crate) fn inherit(_: &File, _: Option<&File>) -> io::Result<()> {
    Ok(())
}

/// A new file has the access list of its folder.
pub(crate) fn private(_: &mut cap_std::fs::OpenOptions) {}

/// At most `most` bytes of a file from `start`, none at its end.
///
/// # Errors
/// As the system reports.
pub(crate) fn read_at(file: &File, start: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let read = std::os::windows::fs::FileExt::seek_read(file, &mut bytes, start)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The space of a file system is not read yet.
///
/// # Errors
/// Always.
pub(crate) fn space_of(_: &File) -> io::Result<(u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The space of a file system is not read yet.
///
/// # Errors
/// Always.
pub(crate) fn space(_: &Path) -> io::Result<(u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}
