//! A crowd: one TLS server that stands for thousands of machines. It listens at all
//! loopback addresses, and what it answers depends on the address that was called.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The longest head of a request.
const HEAD: usize = 64 * 1024;

/// What a machine answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// JSON.
    pub body: Arc<[u8]>,
}

/// What the machine at this address answers to a request with this head.
pub type Answer =
    Arc<dyn Fn(Ipv4Addr, String) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// The certificate of all machines, and the authority of those who may call them.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The certificate, in DER.
    pub certificate: &'a [u8],
    /// Its key, in PKCS#8.
    pub key: &'a [u8],
    /// The authority of the callers' certificates, in DER.
    pub authority: &'a [u8],
}

/// The machines, until it is dropped.
pub struct Crowd {
    port: u16,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    /// The requests by address and path.
    requests: Mutex<BTreeMap<(Ipv4Addr, String), u64>>,
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Crowd {
    /// Listens at a free port.
    ///
    /// # Errors
    /// If there is none, or the certificate is not usable.
    pub async fn start(credentials: Credentials<'_>, answer: Answer) -> io::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config(credentials)?));
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        let port = listener.local_addr()?.port();
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        let counted = counts.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, peer)) = listener.accept().await else {
                    continue;
                };
                while connections.try_join_next().is_some() {}
                // Nobody else has anything to call here.
                if peer.ip().is_loopback() {
                    let (acceptor, counts) = (acceptor.clone(), counted.clone());
                    let served = serve(stream, acceptor, counts, answer.clone());
                    connections.spawn(async move { drop(served.await) });
                }
            }
        });
        Ok(Self {
            port,
            counts,
            _tasks: tasks,
        })
    }

    /// The address of the machine with this number, in a network of its own.
    pub fn address(&self, network: u8, number: usize) -> SocketAddr {
        Self::address_at(self.port, network, number)
    }

    /// The same, of a crowd at this port.
    pub fn address_at(port: u16, network: u8, number: usize) -> SocketAddr {
        let [_, _, high, low] = u32::try_from(number + 1).unwrap_or_default().to_be_bytes();
        (Ipv4Addr::new(127, network, high, low), port).into()
    }

    /// The port of every machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The requests for paths that begin like this, so far.
    pub fn requests(&self, path: &str) -> u64 {
        let requests = self.counts.requests();
        let of_path = requests
            .iter()
            .filter(|((_, asked), _)| asked.starts_with(path));
        of_path.map(|(_, count)| count).sum()
    }

    /// The machines that were asked for a path that begins like this.
    pub fn asked(&self, path: &str) -> usize {
        let requests = self.counts.requests();
        let of_path = requests.keys().filter(|(_, asked)| asked.starts_with(path));
        let machines: std::collections::BTreeSet<_> = of_path.map(|(ip, _)| *ip).collect();
        machines.len()
    }

    /// The connections so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// The bytes so far, in both directions, with those of TLS.
    pub fn bytes(&self) -> u64 {
        self.counts.received.load(Ordering::Relaxed) + self.counts.sent.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn requests(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Ipv4Addr, String), u64>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn config(credentials: Credentials<'_>) -> io::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(credentials.authority.to_vec()))
        .map_err(io::Error::other)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let certificate = CertificateDer::from(credentials.certificate.to_vec());
    let key = PrivatePkcs8KeyDer::from(credentials.key.to_vec());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier.map_err(io::Error::other)?)
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .map_err(io::Error::other)
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    counts: Arc<Counts>,
    answer: Answer,
) -> io::Result<()> {
    counts.connections.fetch_add(1, Ordering::Relaxed);
    stream.set_nodelay(true)?;
    let IpAddr::V4(machine) = stream.local_addr()?.ip() else {
        return Ok(());
    };
    let stream = Counted {
        stream,
        counts: counts.clone(),
    };
    let mut stream = acceptor.accept(stream).await?;
    while let Some(head) = head(&mut stream).await? {
        let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        *counts.requests().entry((machine, path)).or_default() += 1;
        let Reply { status, body } = answer(machine, head).await;
        let head = format!(
            "HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.flush().await?;
    }
    Ok(())
}

/// The head of the next request, which has no body; `None` at the end.
async fn head(stream: &mut TlsStream<Counted>) -> io::Result<Option<String>> {
    let mut head = Vec::with_capacity(2048);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// A connection whose bytes are counted.
struct Counted {
    stream: TcpStream,
    counts: Arc<Counts>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        self.counts
            .received
            .fetch_add(bytes as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(bytes)) = &written {
            self.counts.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
