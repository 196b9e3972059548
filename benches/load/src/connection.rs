//! A caller's connection: HTTP/1.1 over TLS, one request at a time, with as little
//! work of its own as possible.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The longest head of an answer.
const HEAD: usize = 16 * 1024;

/// The TLS settings of the callers.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts this authority for this name. All callers use one cipher suite, so
    /// that every front does the same encryption.
    pub(crate) fn new(authority: &CertificateDer<'static>, name: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let mut provider = rustls::crypto::ring::default_provider();
        provider
            .cipher_suites
            .retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name.to_owned())?,
        })
    }
}

/// One open connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// A whole answer.
pub(crate) struct Answer<'a> {
    pub(crate) head: &'a [u8],
    /// The length of the body, its chunking included.
    pub(crate) length: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, tls: &Tls) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Self {
            stream: tls.connector.connect(tls.name.clone(), tcp).await?,
            head: Vec::with_capacity(HEAD),
            body: vec![0; 64 * 1024],
        })
    }

    /// Sends a request and reads the whole answer, which must be a 200.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.head.clear();
        let end = loop {
            if self.head.len() == HEAD || self.stream.read_buf(&mut self.head).await? == 0 {
                bail!("the answer has no head");
            }
            let end = self.head.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
        };
        let length = match content_length(&self.head[..end]) {
            Some(length) => {
                let arrived = self.head.len() - end;
                let left = length.checked_sub(arrived).context("a longer answer")?;
                self.skip(left).await?;
                length
            }
            None => self.read_chunks().await? - end,
        };
        if !self.head.starts_with(b"HTTP/1.1 200 ") {
            bail!(
                "the answer is not a 200: {}",
                String::from_utf8_lossy(&self.head)
            );
        }
        let head = &self.head[..end];
        Ok(Answer { head, length })
    }

    /// Reads the rest of a body with a known length.
    async fn skip(&mut self, mut left: usize) -> anyhow::Result<()> {
        while left > 0 {
            let piece = left.min(self.body.len());
            match self.stream.read(&mut self.body[..piece]).await? {
                0 => bail!("the answer ended early"),
                n => left -= n,
            }
        }
        Ok(())
    }

    /// Reads the rest of a chunked body. JSON has no empty line, and nothing
    /// follows the answer, so the end is visible without counting chunks.
    async fn read_chunks(&mut self) -> anyhow::Result<usize> {
        while !self.head.ends_with(b"\r\n0\r\n\r\n") {
            if self.stream.read_buf(&mut self.head).await? == 0 {
                bail!("the answer ended early");
            }
        }
        Ok(self.head.len())
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|&byte| byte == b'\n');
    let line = lines.find(|line| {
        line.get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })?;
    std::str::from_utf8(&line[NAME.len()..])
        .ok()?
        .trim()
        .parse()
        .ok()
}
