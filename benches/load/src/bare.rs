//! Bare Pingora: the framework's own cost, which is the minimum for skep. It only
//! terminates TLS and selects the engine as the upstream.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use clap::Args;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Transport;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Args)]
pub(crate) struct Bare {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    engine: PathBuf,
    #[arg(long)]
    certificate: String,
    #[arg(long)]
    key: String,
}

struct ToEngine(String);

#[async_trait]
impl ProxyHttp for ToEngine {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new_uds(&self.0, false, String::new())?))
    }
}

impl Bare {
    /// Serves until the process ends.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        let tls = TlsSettings::intermediate(&self.certificate, &self.key)?;
        let acceptor = Arc::new(tls.build());
        let to_engine = ToEngine(self.engine.to_string_lossy().into_owned());
        let proxy = Arc::new(http_proxy(&Arc::new(ServerConf::default()), to_engine));
        let listener = TcpListener::bind(self.listen).await?;
        let (_stopping, stopped) = watch::channel(false);
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let (proxy, acceptor, stopped) = (proxy.clone(), acceptor.clone(), stopped.clone());
            tokio::spawn(async move {
                let tls = acceptor.tls_handshake(Transport::from(tcp)).await;
                let mut next: Option<Stream> = tls.ok().map(|tls| Box::new(tls) as Stream);
                while let Some(stream) = next {
                    next = pingora::apps::ServerApp::process_new(&proxy, stream, &stopped).await;
                }
            });
        }
    }
}
