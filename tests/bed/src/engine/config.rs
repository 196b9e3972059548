//! The state and the behaviour of a fake engine. A change replaces the whole
//! value: a request keeps the one with which it began.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::DuplexStream;

use super::fault::Behaviour;
use super::hijack::MODES;
use super::store::SwarmStore;
use super::swarm::Creation;

/// A container's program: it gets its input and output as one stream.
pub(super) type Program =
    Arc<dyn Fn(DuplexStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) address: String,
    pub(super) version: String,
    pub(super) api_version: String,
    pub(super) api_min: String,
    pub(super) manager: bool,
    pub(super) in_swarm: bool,
    pub(super) managers: Vec<(String, String)>,
    pub(super) execs: Vec<String>,
    pub(super) interval: Duration,
    pub(super) wait: Duration,
    pub(super) transfer: u64,
    pub(super) delay: Duration,
    pub(super) behaviour: Behaviour,
    pub(super) behaviours: Vec<(String, Behaviour)>,
    /// The number of containers and networks that were created.
    pub(super) made: usize,
    /// The number of creations in the swarm since one was set to fail.
    pub(super) creations: usize,
    /// The creation that fails.
    pub(super) failing: Option<(usize, Creation)>,
    /// Why tasks of services are rejected.
    pub(super) task_error: Option<String>,
    /// What the containers run that are created.
    pub(super) program: Option<Program>,
    /// The configs that it shares with other managers.
    pub(super) store: Option<SwarmStore>,
    objects: BTreeMap<&'static str, Vec<Value>>,
    fixed: BTreeMap<(String, String), (u16, Value)>,
}

impl Config {
    pub(super) fn new(name: &str) -> Self {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        let id: String = letters.collect::<String>().to_ascii_lowercase();
        Self {
            name: name.to_owned(),
            id: format!("{id:0<25.25}"),
            address: "127.0.0.1".to_owned(),
            version: "26.1.5".to_owned(),
            api_version: "1.45".to_owned(),
            api_min: "1.24".to_owned(),
            manager: false,
            in_swarm: true,
            managers: Vec::new(),
            execs: MODES.iter().map(|(name, _)| (*name).to_owned()).collect(),
            interval: Duration::from_millis(50),
            wait: Duration::from_millis(100),
            transfer: 1024 * 1024,
            delay: Duration::ZERO,
            behaviour: Behaviour::Normal,
            behaviours: Vec::new(),
            made: 0,
            creations: 0,
            failing: None,
            task_error: None,
            program: None,
            store: None,
            objects: BTreeMap::new(),
            fixed: BTreeMap::new(),
        }
    }

    /// The configs that this manager shares with others.
    pub(super) fn shared_store(&self) -> Option<SwarmStore> {
        self.store.clone().filter(|_| self.is_manager())
    }

    pub(super) fn is_manager(&self) -> bool {
        self.in_swarm && self.manager
    }

    pub(super) fn put(&mut self, kind: &'static str, rows: Vec<Value>) {
        self.objects.insert(kind, rows);
    }

    pub(super) fn rows(&self, kind: &str) -> &[Value] {
        self.objects.get(kind).map_or(&[], Vec::as_slice)
    }

    pub(super) fn fix(&mut self, method: &str, path: &str, status: u16, body: Value) {
        let asked = (method.to_owned(), path.to_owned());
        self.fixed.insert(asked, (status, body));
    }

    pub(super) fn fixed(&self, method: &str, path: &str) -> Option<&(u16, Value)> {
        self.fixed.get(&(method.to_owned(), path.to_owned()))
    }

    pub(super) fn behaviour_of(&self, path: &str) -> Behaviour {
        let special = |(prefix, _): &&(String, Behaviour)| path.starts_with(prefix.as_str());
        let longest = self.behaviours.iter().filter(special);
        longest
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(self.behaviour, |(_, behaviour)| *behaviour)
    }
}
