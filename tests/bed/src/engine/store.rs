//! The raft store of a swarm, as far as it has configs: managers that share one see the
//! same configs, and of two that create one name at the same time one is refused.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::events::decoded;
use super::exchange::{After, Exchange};

/// The configs of a swarm.
#[derive(Clone, Default)]
pub struct SwarmStore(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    made: u64,
    /// By id.
    configs: BTreeMap<String, Value>,
    fails: Option<String>,
}

impl SwarmStore {
    /// The names of all configs.
    pub fn names(&self) -> Vec<String> {
        let stored = self.lock();
        let names = stored.configs.values();
        names
            .filter_map(|row| row["Spec"]["Name"].as_str().map(str::to_owned))
            .collect()
    }

    /// The ids of the configs of this name.
    pub fn ids(&self, name: &str) -> Vec<String> {
        let stored = self.lock();
        let named = stored
            .configs
            .iter()
            .filter(|(_, row)| row["Spec"]["Name"] == name);
        named.map(|(id, _)| id.clone()).collect()
    }

    /// Removes the config of this name, as if an older store were restored.
    pub fn remove(&self, name: &str) {
        self.lock()
            .configs
            .retain(|_, row| row["Spec"]["Name"] != name);
    }

    /// Adds a config.
    pub fn add(&self, name: &str, labels: Value, data: &str) {
        let mut stored = self.lock();
        stored.add(&json!({ "Name": name, "Labels": labels, "Data": data }));
    }

    /// Has the store fail with this message, as without a quorum; `None` ends that.
    pub fn fail(&self, why: Option<&str>) {
        self.lock().fails = why.map(str::to_owned);
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn add(&mut self, spec: &Value) -> String {
        self.made += 1;
        let id = format!("config{:019}", self.made);
        let row = json!({ "ID": id, "Version": { "Index": self.made }, "Spec": spec });
        self.configs.insert(id.clone(), row);
        id
    }
}

/// Answers a call about configs.
pub(super) async fn answer(
    x: &mut Exchange<'_>,
    method: &str,
    rest: &[&str],
    store: SwarmStore,
) -> io::Result<After> {
    match (method, rest) {
        ("GET", []) => list(x, &store).await,
        ("POST", ["create"]) => create(x, &store).await,
        ("GET", [id]) => inspect(x, &store, id).await,
        ("DELETE", [id]) => remove(x, &store, id).await,
        _ => x.error(404, "page not found").await,
    }
}

/// The configs that a filter of labels or of the beginnings of names leaves.
async fn list(x: &mut Exchange<'_>, store: &SwarmStore) -> io::Result<After> {
    let filters = decoded(x.param("filters").unwrap_or_default());
    let filters: Value = serde_json::from_str(&filters).unwrap_or_default();
    let found = {
        let stored = store.lock();
        match &stored.fails {
            Some(why) => Err(why.clone()),
            None => {
                let label = filters["label"][0].as_str();
                let name = filters["name"][0].as_str();
                let fits = |row: &&Value| {
                    let spec = &row["Spec"];
                    let begins = |name: &str| {
                        spec["Name"]
                            .as_str()
                            .is_some_and(|own| own.starts_with(name))
                    };
                    label.is_none_or(|label| spec["Labels"].get(label).is_some())
                        && name.is_none_or(begins)
                };
                Ok(stored
                    .configs
                    .values()
                    .filter(fits)
                    .cloned()
                    .collect::<Vec<_>>())
            }
        }
    };
    match found {
        Ok(mut rows) => {
            rows.extend(x.config.rows("configs").iter().cloned());
            x.json(200, &rows.into()).await
        }
        Err(why) => x.error(503, &why).await,
    }
}

async fn create(x: &mut Exchange<'_>, store: &SwarmStore) -> io::Result<After> {
    x.drain().await?;
    let body = x.ticket.body().unwrap_or_default();
    let created = {
        let mut stored = store.lock();
        let is_taken = |row: &Value| row["Spec"]["Name"] == body["Name"];
        match (&stored.fails, stored.configs.values().any(is_taken)) {
            (Some(why), _) => Err((503, why.clone())),
            (None, true) => {
                let name = body["Name"].as_str().unwrap_or_default();
                let why =
                    format!("rpc error: code = AlreadyExists desc = config {name} already exists");
                Err((409, why))
            }
            (None, false) => Ok(stored.add(&body)),
        }
    };
    match created {
        Ok(id) => x.json(201, &json!({ "ID": id })).await,
        Err((status, why)) => x.error(status, &why).await,
    }
}

fn find(store: &SwarmStore, wanted: &str) -> Option<(String, Value)> {
    let stored = store.lock();
    let mut all = stored.configs.iter();
    let found = all.find(|(id, row)| *id == wanted || row["Spec"]["Name"] == wanted)?;
    Some((found.0.clone(), found.1.clone()))
}

async fn inspect(x: &mut Exchange<'_>, store: &SwarmStore, wanted: &str) -> io::Result<After> {
    match find(store, wanted) {
        Some((_, row)) => x.json(200, &row).await,
        None => x.error(404, &format!("config {wanted} not found")).await,
    }
}

async fn remove(x: &mut Exchange<'_>, store: &SwarmStore, wanted: &str) -> io::Result<After> {
    match find(store, wanted) {
        Some((id, _)) => {
            store.lock().configs.remove(&id);
            x.reply(204, "", b"").await
        }
        None => x.error(404, &format!("config {wanted} not found")).await,
    }
}
