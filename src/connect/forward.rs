//! Implements `skep forward`: connections of this machine that go on to a port of a
//! container, each as one signed stream through an agent.
//!
//! The first server that answers is used until it does not any more, as with
//! `skep connect`. A connection ends with its agent; the next one goes through the next
//! server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{CONNECTION, UPGRADE};
use http::{Method, StatusCode};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use ring::rand::SystemRandom;
use serde::Deserialize;
use skep_filters::auth::BodyBinding;
use skep_filters::auth::profile::SKEP_TARGET;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::AgentUrl;
use crate::connect::access::Access;
use crate::upstream::client::{Budget, Client};
use crate::upstream::clocks::{Asking, Skew};
use crate::upstream::error;
use crate::upstream::headers;
use crate::upstream::peers;
use crate::upstream::request;

/// How long an agent may take to answer: it may have to make a container first.
const ANSWER: Duration = Duration::from_secs(45);

/// Bounds a refusal, in bytes.
const REFUSAL: usize = 64 << 10;

/// The buffer of one direction of a connection.
const BUFFER: usize = 64 << 10;

/// The pause between two signs of life of an agent with open connections, and how long
/// each may take.
const SIGN: Duration = Duration::from_secs(5);

/// The signs in a row that an agent has to miss.
const MISSES: u32 = 3;

/// The container that a name means now.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Found {
    id: String,
    /// The container's name.
    pub(crate) name: String,
    /// Its node.
    pub(crate) node_name: String,
}

/// Connects to ports of one container, service or task.
pub(crate) struct Forward {
    servers: Vec<Server>,
    current: AtomicUsize,
    access: Access,
    client: Client,
    /// The container, service or task.
    target: String,
    node: Option<String>,
    /// The container that was found last, which needs no look-up.
    found: Mutex<Option<Found>>,
    random: SystemRandom,
}

struct Server {
    url: AgentUrl,
    skew: Mutex<Skew>,
    /// Counts its open connections.
    open: watch::Sender<usize>,
    /// Changes when it gives no sign of life any more.
    lost: watch::Sender<u64>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No agent can be reached.
    #[error("no agent answered\n  {}", .0.join("\n  "))]
    Unreached(Vec<String>),
    /// An agent refuses.
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
}

/// Why one agent gives no connection.
enum AskError {
    Unreached(String),
    Refused(StatusCode, String),
}

/// A stream to the port, with the bytes that came with its head.
struct Opened {
    server: usize,
    stream: Stream,
    first: Option<Bytes>,
}

impl Forward {
    /// Connections through these agents; `node` is the node of the target, if its name
    /// alone does not say.
    pub(crate) fn new(
        servers: Vec<AgentUrl>,
        access: Access,
        target: String,
        node: Option<String>,
    ) -> Self {
        let server = |url| Server {
            url,
            skew: Mutex::new(Skew::ZERO),
            open: watch::Sender::new(0),
            lost: watch::Sender::new(0),
        };
        Self {
            servers: servers.into_iter().map(server).collect(),
            current: AtomicUsize::new(0),
            access,
            client: Client::new(),
            target,
            node,
            found: Mutex::default(),
            random: SystemRandom::new(),
        }
    }

    /// Looks whether the port could be connected to, and prepares its node for it.
    ///
    /// # Errors
    /// If it could not.
    pub(crate) async fn check(&self, port: u16) -> Result<Found, ForwardError> {
        let target = format!("{}?port={port}&check=1", path(&self.target));
        let found = self
            .ask(|server| self.found(server, target.clone()).boxed())
            .await?;
        *self.lock_found() = Some(found.clone());
        Ok(found)
    }

    /// Carries one connection to the port, until both directions have ended.
    ///
    /// # Errors
    /// If there is no connection to the port; the local one is reset then.
    pub(crate) async fn carry(&self, mut local: TcpStream, port: u16) -> Result<(), ForwardError> {
        let opened = match self.open(port).await {
            Ok(opened) => opened,
            Err(e) => {
                drop(local.set_zero_linger());
                return Err(e);
            }
        };
        let server = &self.servers[opened.server];
        let mut lost = server.lost.subscribe();
        server.open.send_modify(|open| *open += 1);
        let mut remote = opened.stream;
        let copied = async {
            local.set_nodelay(true)?;
            local.write_all(&opened.first.unwrap_or_default()).await?;
            copy_bidirectional_with_sizes(&mut local, &mut remote, BUFFER, BUFFER).await
        };
        let copied = tokio::select! {
            copied = copied => copied.map(drop).map_err(|e| e.to_string()),
            _ = lost.changed() => Err(format!("{} does not answer any more", server.url)),
        };
        server.open.send_modify(|open| *open -= 1);
        if let Err(reason) = copied {
            // The program sees a reset, and not the end of a complete stream.
            tracing::debug!(
                "a connection to port {port} of {} broke: {reason}",
                self.target
            );
            drop(local.set_zero_linger());
        }
        Ok(())
    }

    /// Ends the connections through agents that give no sign of life; never resolves.
    pub(crate) async fn watch(&self) {
        let all = self.servers.iter().enumerate();
        let watched = all.map(|(n, server)| async move {
            let mut open = server.open.subscribe();
            let mut misses = 0;
            loop {
                if open.wait_for(|open| *open > 0).await.is_err() {
                    return;
                }
                sleep(SIGN).await;
                let sign = timeout(SIGN, self.sign_of_life(n)).await;
                misses = if sign.unwrap_or(false) { 0 } else { misses + 1 };
                if misses >= MISSES {
                    misses = 0;
                    server.lost.send_modify(|times| *times += 1);
                }
            }
        });
        futures::future::join_all(watched).await;
    }

    /// Whether an agent answers anything at all.
    async fn sign_of_life(&self, server: usize) -> bool {
        let asked = async {
            let mut head = request::get("/skep/v1/health")?;
            self.sign(&mut head, server)?;
            let peer = self.peer(server).await?;
            self.client.fetch(&peer, head, &Budget::one(REFUSAL)).await
        };
        asked.await.is_ok()
    }

    async fn open(&self, port: u16) -> Result<Opened, ForwardError> {
        let known = self.lock_found().clone();
        let id = match &known {
            Some(found) => found.id.clone(),
            None => self.check(port).await?.id,
        };
        let refused = match self.open_to(&id, port).await {
            Err(ForwardError::Refused { status, message }) => {
                ForwardError::Refused { status, message }
            }
            other => return other,
        };
        if known.is_none() {
            return Err(refused);
        }
        // The task may have ended, and another one may have taken its place.
        let now = self.check(port).await?.id;
        match now == id {
            true => Err(refused),
            false => self.open_to(&now, port).await,
        }
    }

    async fn open_to(&self, id: &str, port: u16) -> Result<Opened, ForwardError> {
        let target = format!("{}?port={port}", path(id));
        self.ask(|server| self.opened(server, target.clone()).boxed())
            .await
    }

    async fn found(&self, server: usize, target: String) -> Result<Found, AskError> {
        let (mut session, status) = self.send(server, &target, false).await?;
        let body = whole(&mut session).await;
        if status != StatusCode::OK {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|e| AskError::Unreached(format!("it is no agent: {e}")))
    }

    async fn opened(&self, server: usize, target: String) -> Result<Opened, AskError> {
        let (mut session, status) = self.send(server, &target, true).await?;
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let body = whole(&mut session).await;
            return Err(refused(status, &body));
        }
        // Only bytes that came together with the head: a pending read is cancelled.
        let first = session.read_body_bytes().now_or_never();
        let first = first.transpose().map_err(unreached)?.flatten();
        Ok(Opened {
            server,
            stream: session.into_inner(),
            first,
        })
    }

    /// Asks the servers in turn, the one that answered last first.
    async fn ask<'a, T>(
        &'a self,
        asked: impl Fn(usize) -> BoxFuture<'a, Result<T, AskError>>,
    ) -> Result<T, ForwardError> {
        let mut failures = Vec::new();
        let mut refusal = None;
        let first = self.current.load(Ordering::Relaxed);
        for n in 0..self.servers.len() {
            let server = (first + n) % self.servers.len();
            match asked(server).await {
                Ok(answer) => {
                    self.current.store(server, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(AskError::Unreached(reason)) => {
                    failures.push(format!("{}: {reason}", self.servers[server].url));
                }
                // Another agent may reach the node.
                Err(AskError::Refused(status, message))
                    if status == StatusCode::SERVICE_UNAVAILABLE =>
                {
                    refusal.get_or_insert(ForwardError::Refused { status, message });
                }
                Err(AskError::Refused(status, message)) => {
                    return Err(ForwardError::Refused { status, message });
                }
            }
        }
        Err(refusal.unwrap_or(ForwardError::Unreached(failures)))
    }

    /// Sends a request to one agent, and reads the head of the answer.
    async fn send(
        &self,
        server: usize,
        target: &str,
        upgrade: bool,
    ) -> Result<(HttpSession, StatusCode), AskError> {
        let sent = timeout(ANSWER, self.sent(server, target, upgrade)).await;
        let sent = sent.map_err(|_| AskError::Unreached(format!("no answer within {ANSWER:?}")))?;
        sent.map_err(unreached)
    }

    async fn sent(
        &self,
        server: usize,
        target: &str,
        upgrade: bool,
    ) -> pingora::Result<(HttpSession, StatusCode)> {
        let mut is_first = true;
        loop {
            let asking = Asking::now();
            let mut head = request::build(&Method::POST, target)?;
            if upgrade {
                head.insert_header(CONNECTION, "Upgrade")?;
                head.insert_header(UPGRADE, "tcp")?;
            }
            self.sign(&mut head, server)?;
            let peer = self.peer(server).await?;
            let mut session = self.client.dedicated(&peer).await?;
            session.write_request_header(Box::new(head)).await?;
            session.finish_body().await?;
            let status = headers::answer_head(&mut session).await?.status;
            if status == StatusCode::UNAUTHORIZED && is_first {
                is_first = false;
                let body = whole(&mut session).await;
                if let Some(measured) = asking.refused(&body) {
                    // The agent's time came over TLS that verified the agent.
                    *lock(&self.servers[server].skew) = measured.skew;
                }
                continue;
            }
            return Ok((session, status));
        }
    }

    fn sign(&self, head: &mut pingora::http::RequestHeader, server: usize) -> pingora::Result<()> {
        if let Some(node) = &self.node {
            head.insert_header(SKEP_TARGET, node)?;
        }
        let skew = *lock(&self.servers[server].skew);
        let signer = &self.access.signer;
        peers::sign_at(head, signer, BodyBinding::Empty, &self.random, skew)
    }

    async fn peer(&self, server: usize) -> pingora::Result<pingora::upstreams::peer::HttpPeer> {
        let url = &self.servers[server].url;
        let peer = self.access.peer(url).await;
        let failed = pingora::ErrorType::ConnectError;
        peer.map_err(|e| pingora::Error::because(failed, url.to_string(), e))
    }

    fn lock_found(&self) -> std::sync::MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(skew: &Mutex<Skew>) -> std::sync::MutexGuard<'_, Skew> {
    skew.lock().unwrap_or_else(PoisonError::into_inner)
}

fn path(target: &str) -> String {
    request::escape(&format!("/skep/v1/containers/{target}/forward"))
}

fn unreached(e: Box<pingora::Error>) -> AskError {
    AskError::Unreached(error::explain(&e))
}

fn refused(status: StatusCode, body: &[u8]) -> AskError {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let message = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message,
        Err(_) => format!("the agent answered with status {status}"),
    };
    AskError::Refused(status, message)
}

/// The body of an answer, as far as it comes.
async fn whole(session: &mut HttpSession) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = session.read_body_bytes().await {
        if body.len() + bytes.len() > REFUSAL {
            break;
        }
        body.extend_from_slice(&bytes);
    }
    body
}
