//! The keys of the cluster, and signed requests with them: as the operator, and as
//! another agent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ring::rand::{SecureRandom, SystemRandom};
use skep::agent::Agent;
use skep::config::{self, Config, Discover};
use skep::platform::{self, clock};
use skep::trust::{Generation, Leaf, Secret};
use skep_bed::{Client, FakeEngine};
use skep_filters::auth::{BodyBinding, Signer, SigningKey};
use tokio::task::JoinHandle;

/// The time stamp's node id of a probe of an agent that is not known yet.
const ANY_NODE: &str = "*probe";

/// An agent in this process, which is asked for nothing but its certificate.
pub(crate) struct Helper {
    pub(crate) secret: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) generation: Arc<Generation>,
    pub(crate) leaf: Arc<Leaf>,
    agent: JoinHandle<()>,
    _engine: FakeEngine,
}

/// Calls one agent with one key.
pub(crate) struct Caller {
    pub(crate) client: Client,
    signer: Signer,
    random: SystemRandom,
    target: Option<String>,
}

impl Helper {
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let secret = folder.join("secret");
        platform::write_private(&secret, Secret::generate()?.as_bytes())?;
        let engine = FakeEngine::node("helper").start().await?;
        let mut config = Config {
            engine: config::Engine::Socket(engine.socket()),
            state_dir: folder.join("state-helper"),
            ..Config::default()
        };
        for listen in &mut config.listen {
            listen.address = free_address().await?;
        }
        config.cluster.secret_files = vec![secret.clone()];
        config.cluster.discover = vec![Discover::Static(Vec::new())];
        let agent = Agent::start(config).await?;
        let trust = agent.trust();
        let generation = trust.generations().first().context("no secret")?.clone();
        let leaf = trust.leaf(0).context("no certificate")?;
        let agent = tokio::spawn(async move {
            // It runs until the end.
            let _ = agent.run(std::future::pending()).await;
        });
        Ok(Self {
            secret,
            folder: folder.to_owned(),
            generation,
            leaf,
            agent,
            _engine: engine,
        })
    }

    /// The operator as a caller of this agent.
    pub(crate) fn operator(&self, address: SocketAddr) -> anyhow::Result<Caller> {
        let ours = &self.generation;
        let key = SigningKey::hmac(&ours.operator_key_id(), ours.operator_key())?;
        self.caller(address, key, false, None)
    }

    /// An agent as a caller of that of this node; without one it probes.
    pub(crate) fn agent(&self, address: SocketAddr, node: Option<&str>) -> anyhow::Result<Caller> {
        let ours = &self.generation;
        let key = SigningKey::hmac(&ours.agent_key_id(), ours.peer_key())?;
        self.caller(address, key, true, Some(node.unwrap_or(ANY_NODE)))
    }

    fn caller(
        &self,
        address: SocketAddr,
        key: SigningKey,
        is_agent: bool,
        target: Option<&str>,
    ) -> anyhow::Result<Caller> {
        let ours = &self.generation;
        let identity = is_agent.then(|| {
            let key = self.leaf.key_pkcs8.to_vec();
            Some((vec![self.leaf.cert_der.clone()], key.try_into().ok()?))
        });
        let roots = vec![ours.ca_der().clone()];
        let client = Client::tls(address, ours.peer_sni(), roots, identity.flatten())?;
        Ok(Caller {
            client: client.limit(std::time::Duration::from_secs(120)),
            signer: Signer::new(key, ours.audience().clone()),
            random: SystemRandom::new(),
            target: target.map(str::to_owned),
        })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.agent.abort();
    }
}

impl Caller {
    /// The headers of a signed `GET`.
    pub(crate) fn sign(&self, target: &str) -> anyhow::Result<Vec<(String, String)>> {
        let mut request = http::Request::get(target).header("host", "docker");
        if let Some(node) = &self.target {
            request = request.header("skep-target", node);
        }
        let mut parts = request.body(())?.into_parts().0;
        let mut nonce = [0; 16];
        self.random
            .fill(&mut nonce)
            .map_err(|_| anyhow::anyhow!("no random bytes"))?;
        let now = clock::now().as_secs();
        self.signer
            .sign(&mut parts, BodyBinding::Empty, now, nonce)?;
        let fields = parts.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(fields.collect())
    }

    /// A signed `GET` on its own connection.
    pub(crate) async fn get(&self, target: &str) -> anyhow::Result<skep_bed::Response> {
        let fields = self.sign(target)?;
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Ok(self.client.get(target, &fields).await?)
    }
}

/// A free port of this machine.
pub(crate) async fn free_address() -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    listener.local_addr()
}
