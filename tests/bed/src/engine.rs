//! A fake Docker engine. It answers like moby wherever an agent could notice a
//! difference, runs no container, records every request, and misbehaves on
//! demand.

mod builder;
mod config;
mod creation;
mod events;
mod exchange;
mod fault;
mod hijack;
mod identity;
mod images;
mod listen;
mod objects;
mod rfc3339;
mod route;
mod seen;
mod store;
mod streams;
mod swarm;
mod transfer;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub use builder::EngineBuilder;
pub use fault::Behaviour;
pub use hijack::tail;
pub use seen::Seen;
pub use store::SwarmStore;
pub use swarm::Creation;

use listen::Listening;
use seen::Shared;

/// A fake engine, listening until it is stopped or dropped; its socket's
/// folder goes with it.
pub struct FakeEngine {
    shared: Arc<Shared>,
    folder: TempDir,
    tcp: Option<SocketAddr>,
    listening: Mutex<Option<Listening>>,
}

impl FakeEngine {
    /// Describes the engine of a node with this hostname; by default a worker of
    /// a swarm without any object.
    pub fn node(name: &str) -> EngineBuilder {
        EngineBuilder::new(name)
    }

    /// The path of the Unix socket, also while stopped.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// The TCP address, if configured; a restart keeps it.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// The node id (`Swarm.NodeID`), also when not in a swarm.
    pub fn id(&self) -> String {
        self.shared.config().id.clone()
    }

    /// All requests since the first start, in the order in which their heads
    /// arrived, up to 65,536.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen()
    }

    /// The requests for this path (without API version and query).
    pub fn requests_to(&self, path: &str) -> Vec<Seen> {
        let mut seen = self.shared.seen();
        seen.retain(|request| request.path == path);
        seen
    }

    /// The number of accepted connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.accepted()
    }

    /// The number of open connections.
    pub fn open_connections(&self) -> u64 {
        self.shared.open()
    }

    /// Promotes or demotes the node.
    pub fn set_manager(&self, manager: bool) {
        self.shared.change(|config| config.manager = manager);
    }

    /// Takes the node into the swarm or out of it.
    pub fn set_in_swarm(&self, in_swarm: bool) {
        self.shared.change(|config| config.in_swarm = in_swarm);
    }

    /// Replaces the containers.
    pub fn set_containers(&self, containers: Vec<Value>) {
        self.shared
            .change(|config| config.put("containers", containers));
    }

    /// Sends an event to all listeners, and keeps it for later requests for the past.
    pub fn publish(&self, event: Value) {
        self.shared.publish(event);
    }

    /// The number of open event streams.
    pub fn listeners(&self) -> usize {
        self.shared.listeners()
    }

    /// Waits this long before each answer.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.change(|config| config.delay = delay);
    }

    /// Sets the behaviour for all requests, except for paths with [`set_behaviour_of`].
    ///
    /// [`set_behaviour_of`]: Self::set_behaviour_of
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.shared.change(|config| config.behaviour = behaviour);
    }

    /// Sets the behaviour for paths (without API version and query) with this prefix.
    pub fn set_behaviour_of(&self, path: &str, behaviour: Behaviour) {
        self.shared.change(|config| {
            config.behaviours.retain(|(prefix, _)| prefix != path);
            config.behaviours.push((path.to_owned(), behaviour));
        });
    }

    /// Answers this method and path (without API version and query) with this
    /// status and body instead of the fake's own answer.
    pub fn set_answer(&self, method: &str, path: &str, status: u16, body: Value) {
        self.shared
            .change(|config| config.fix(method, path, status, body));
    }

    /// The objects of this kind (`secrets`, `networks` and so on), as the engine has them.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.shared.config().rows(kind).to_vec()
    }

    /// Fails the nth creation of a secret, config, network or service from now on.
    pub fn set_failing_creation(&self, nth: usize, how: Creation) {
        self.shared.change(|config| {
            config.creations = 0;
            config.failing = Some((nth, how));
        });
    }

    /// No creation fails any more.
    pub fn unset_failing_creation(&self) {
        self.shared.change(|config| config.failing = None);
    }

    /// Rejects all tasks of services from now on for this reason; `None` runs them.
    pub fn set_task_error(&self, reason: Option<&str>) {
        self.shared
            .change(|config| config.task_error = reason.map(str::to_owned));
    }

    /// Stops listening and cuts every connection; returns when they are gone.
    pub async fn stop(&self) {
        let listening = self.listening().take();
        if let Some(listening) = listening {
            listening.stop().await;
        }
    }

    /// Listens again at the same address with the same state; stops first if necessary.
    ///
    /// # Errors
    /// If the address has been taken meanwhile.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        let (listening, _) = Listening::start(&self.shared, &self.socket(), self.tcp).await?;
        *self.listening() = Some(listening);
        Ok(())
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, Option<Listening>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
