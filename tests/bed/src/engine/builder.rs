//! What a fake engine is told before it starts.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::FakeEngine;
use super::config::Config;
use super::listen::Listening;
use super::seen::Shared;

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

    /// The node id; by default the name, filled up with zeros to 25 characters.
    pub fn id(self, id: &str) -> Self {
        self.with(|c| c.id = id.to_owned())
    }

    /// Whether the node is a manager (only of meaning inside a swarm); a worker by default.
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

    /// The engine's version and its greatest API version; 26.1.5 and 1.45 by default.
    pub fn version(self, engine: &str, api: &str) -> Self {
        self.with(|c| {
            c.version = engine.to_owned();
            c.api_version = api.to_owned();
        })
    }

    /// The least API version; 1.24 by default. Requests outside of the range are refused.
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

    /// The rows of `GET /volumes`.
    pub fn volumes(self, rows: Vec<Value>) -> Self {
        self.with(|c| c.put("volumes", rows))
    }

    /// The rows of `GET /networks`.
    pub fn networks(self, rows: Vec<Value>) -> Self {
        self.with(|c| c.put("networks", rows))
    }

    /// The rows of `GET /nodes`, `/services`, `/tasks`, `/secrets` or
    /// `/configs`, which a manager answers and nobody else.
    pub fn swarm_objects(self, kind: &'static str, rows: Vec<Value>) -> Self {
        self.with(|c| c.put(kind, rows))
    }

    /// The past that `GET /events` tells if it is asked with `since` or `until`.
    /// What happens later is told by [`FakeEngine::publish`], and by a `tick` of
    /// this engine after every interval.
    pub fn events(self, messages: Vec<Value>) -> Self {
        self.with(|c| c.put("events", messages))
    }

    /// The exec ids this engine knows; by default each of the names below. What
    /// an id does is the part before its first dot, so `echo.1` and `echo.2`
    /// can live on two nodes. A container of such a name is attached to likewise.
    /// - `echo`: all in upper case; 300 ms after the client's end, [`tail`](crate::tail)
    /// - `server-first`: `hello`, ends its own direction after 100 ms, reads on
    /// - `early`: `early` in one segment with the head, then what comes
    /// - `eager`: the 101 before the request's body is read, then what comes
    /// - `flood`: [`noise`](crate::noise) for as long as it is taken; reads nothing
    /// - `deaf`: reads nothing until an event is published, then what came and comes
    /// - `exact` (and every other name): what comes
    pub fn execs(self, ids: &[&str]) -> Self {
        self.with(|c| c.execs = ids.iter().map(|&id| id.to_owned()).collect())
    }

    /// A fixed answer to this method and path (without API version and query).
    pub fn answer(self, method: &str, path: &str, status: u16, body: Value) -> Self {
        self.with(|c| c.fix(method, path, status, body))
    }

    /// The time between two lines of a stream, and before the first; 50 ms by
    /// default. An hour makes it a quiet stream.
    pub fn interval(self, interval: Duration) -> Self {
        self.with(|c| c.interval = interval)
    }

    /// How long a container that is waited for goes on; 100 ms by default.
    pub fn wait(self, wait: Duration) -> Self {
        self.with(|c| c.wait = wait)
    }

    /// The size of what `GET /images/get` sends, in bytes; 1 MiB by default.
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
