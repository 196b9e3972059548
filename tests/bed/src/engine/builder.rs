//! The description of a fake engine before it starts.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::DuplexStream;

use super::FakeEngine;
use super::config::Config;
use super::listen::Listening;
use super::seen::Shared;
use super::store::SwarmStore;

/// Describes a fake engine; [`EngineBuilder::start`] makes it listen.
#[derive(Clone)]
pub struct EngineBuilder {
    config: Config,
    tcp: Option<SocketAddr>,
}

impl EngineBuilder {
    pub(super) fn new(name: &str) -> Self {
        let config = Config::new(name);
        Self { config, tcp: None }
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// The node id; by default the name, padded with zeros to 25 characters.
    pub fn id(self, id: &str) -> Self {
        self.with(|c| c.id = id.to_owned())
    }

    /// Whether the node is a manager (relevant only in a swarm); a worker by default.
    pub fn manager(self, manager: bool) -> Self {
        self.with(|c| c.manager = manager)
    }

    /// Whether the node is in a swarm; it is by default.
    pub fn in_swarm(self, in_swarm: bool) -> Self {
        self.with(|c| c.in_swarm = in_swarm)
    }

    /// `Swarm.NodeAddr`; 127.0.0.1 by default.
    pub fn node_addr(self, address: &str) -> Self {
        self.with(|c| c.address = address.to_owned())
    }

    /// The other managers the node knows: node id and `ip:2377`.
    pub fn remote_managers(self, managers: &[(&str, &str)]) -> Self {
        let own = |(id, address): &(&str, &str)| ((*id).to_owned(), (*address).to_owned());
        self.with(|c| c.managers = managers.iter().map(own).collect())
    }

    /// The engine's version and its maximum API version; 26.1.5 and 1.45 by default.
    pub fn version(self, engine: &str, api: &str) -> Self {
        self.with(|c| {
            c.version = engine.to_owned();
            c.api_version = api.to_owned();
        })
    }

    /// The minimum API version; 1.24 by default. The engine refuses requests outside the range.
    pub fn api_min(self, api: &str) -> Self {
        self.with(|c| c.api_min = api.to_owned())
    }

    /// The rows of `GET /containers/json`; see [`crate::fixture::container`].
    pub fn containers(self, rows: Vec<Value>) -> Self {
        self.with(|c| c.put("containers", rows))
    }

    /// The rows of `GET /images/json`.
    pub fn images(self, rows: Vec<Value>) -> Self {
        self.with(|c| c.put("images", rows))
    }

    /// The images that the engine has after a load, whatever the archive has.
    pub fn loads(self, rows: Vec<Value>) -> Self {
        self.with(|c| c.put("loads", rows))
    }

    /// The rows of `GET /volumes`.
    pub fn volumes(self, rows: Vec<Value>) -> Self {
        self.with(|c| c.put("volumes", rows))
    }

    /// The rows of `GET /networks`.
    pub fn networks(self, rows: Vec<Value>) -> Self {
        self.with(|c| c.put("networks", rows))
    }

    /// The rows of `GET /nodes`, `/services`, `/tasks`, `/secrets` or
    /// `/configs`, which only a manager answers.
    pub fn swarm_objects(self, kind: &'static str, rows: Vec<Value>) -> Self {
        self.with(|c| c.put(kind, rows))
    }

    /// The configs, which it shares with the other managers.
    pub fn store(self, store: &SwarmStore) -> Self {
        self.with(|c| c.store = Some(store.clone()))
    }

    /// The past events that `GET /events` returns with `since` or `until`. Live
    /// events come from [`FakeEngine::publish`], and from a `tick` after every
    /// interval.
    pub fn events(self, messages: Vec<Value>) -> Self {
        self.with(|c| c.put("events", messages))
    }

    /// The exec ids that this engine knows; by default each of the names below.
    /// The part before the first dot of an id selects the mode, so that `echo.1`
    /// and `echo.2` can exist on two nodes. The name of a container selects the
    /// mode of `attach`.
    /// - `echo`: echoes in upper case; 300 ms after the client's end, sends
    ///   [`tail`](crate::tail)
    /// - `server-first`: sends `hello`, ends its own direction after 100 ms, reads on
    /// - `early`: sends `early` in one segment with the head, then echoes
    /// - `eager`: sends the 101 before it reads the request's body, then echoes
    /// - `flood`: sends [`noise`](crate::noise) without end; reads nothing
    /// - `deaf`: reads nothing until an event is published, then echoes
    /// - `exact` (and every other name): echoes
    pub fn execs(self, ids: &[&str]) -> Self {
        self.with(|c| c.execs = ids.iter().map(|&id| id.to_owned()).collect())
    }

    /// The program of containers that are created: whoever attaches to one runs it. It
    /// gets the container's input and output as one stream.
    pub fn program<F>(self, program: impl Fn(DuplexStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.with(|c| c.program = Some(Arc::new(move |stream| Box::pin(program(stream)))))
    }

    /// A fixed answer to this method and path (without API version and query).
    pub fn answer(self, method: &str, path: &str, status: u16, body: Value) -> Self {
        self.with(|c| c.fix(method, path, status, body))
    }

    /// The time between two lines of a stream, and before the first; 50 ms by
    /// default. An hour makes an idle stream.
    pub fn interval(self, interval: Duration) -> Self {
        self.with(|c| c.interval = interval)
    }

    /// The time until the container of a `wait` exits; 100 ms by default.
    pub fn wait(self, wait: Duration) -> Self {
        self.with(|c| c.wait = wait)
    }

    /// The size of the archive from `GET /images/get`, in bytes; 1 MiB by default.
    pub fn transfer(self, bytes: u64) -> Self {
        self.with(|c| c.transfer = bytes)
    }

    /// Listens on TCP as well; port 0 takes a free one.
    pub fn tcp(mut self, address: SocketAddr) -> Self {
        self.tcp = Some(address);
        self
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// If the socket cannot be made or the address cannot be bound.
    pub async fn start(self) -> io::Result<FakeEngine> {
        let folder = tempfile::Builder::new().prefix("skep-bed-").tempdir()?;
        let shared = Arc::new(Shared::new(self.config));
        let socket = folder.path().join("docker.sock");
        let (listening, tcp) = Listening::start(&shared, &socket, self.tcp).await?;
        let listening = Mutex::new(Some(listening));
        Ok(FakeEngine {
            shared,
            folder,
            tcp,
            listening,
        })
    }
}
