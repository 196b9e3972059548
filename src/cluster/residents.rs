//! Finds the container that has an address, on this node's engine.
//!
//! An answer about a connection comes from a list that was read after the connection
//! began: the container that had the address before may have ended. Labels that the
//! container has from its image do not count: the author of the image chose them.

mod endpoint;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use self::endpoint::{Endpoints, Network};
use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::request;

/// How long a list counts for connections that began before it was read.
const AGE: Duration = Duration::from_secs(10);

/// How long the engine may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The pause before the engine is asked again for a container that starts.
const PAUSE: Duration = Duration::from_millis(100);

/// Bounds the list of containers, the list of networks, and one network's endpoints.
const LIST: usize = 16 << 20;

/// Bounds one inspect.
const INSPECT: usize = 1 << 20;

/// The images whose labels are remembered.
const IMAGES: usize = 256;

/// A running container of this node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Resident {
    /// Its first name, without the slash.
    pub(crate) name: String,
    /// Its labels, without those that it has from its image.
    pub(crate) labels: Labels,
}

type Labels = HashMap<String, String>;

/// The containers of this node by address.
pub(crate) struct Residents {
    client: Arc<Client>,
    engine: Arc<Engine>,
    table: ArcSwapOption<Table>,
    /// Held while the engine is asked, so that all who wait share one list.
    asking: Mutex<Asked>,
}

/// Answers of the engine that count beside the list.
#[derive(Default)]
struct Asked {
    /// Labels of images, by their id.
    images: HashMap<String, Labels>,
    /// The addresses that are no container's, since the last list.
    strangers: HashSet<IpAddr>,
}

/// The container that has an address.
enum Found {
    Resident(Resident),
    /// Several containers have the address, or none.
    Nobody,
    /// A container that the engine does not list yet.
    Starts,
}

struct Table {
    /// When the engine was asked.
    began: Instant,
    /// `None` for an address that several containers have.
    by_address: HashMap<IpAddr, Option<Container>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    names: Option<Vec<String>>,
    #[serde(rename = "ImageID")]
    image: String,
    labels: Option<Labels>,
    network_settings: NetworkSettings,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<HashMap<String, Option<Attachment>>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Attachment {
    #[serde(rename = "IPAddress")]
    v4: String,
    #[serde(rename = "GlobalIPv6Address")]
    v6: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Image {
    config: Option<ImageConfig>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageConfig {
    labels: Option<Labels>,
}

/// The engine did not say which containers there are; a sentence for the caller.
#[derive(Debug, thiserror::Error)]
#[error("the engine does not say which container calls: {0}")]
pub(crate) struct Unknown(String);

impl Residents {
    /// Asks this engine.
    pub(crate) fn new(client: Arc<Client>, engine: Arc<Engine>) -> Self {
        Self {
            client,
            engine,
            table: ArcSwapOption::empty(),
            asking: Mutex::default(),
        }
    }

    /// The container with this address, for a connection that began at `since`.
    ///
    /// Waits for a container that has the address and that the engine does not list yet.
    ///
    /// # Errors
    /// If the engine does not answer, or does not list the container in time.
    pub(crate) async fn at(
        &self,
        address: IpAddr,
        since: Instant,
    ) -> Result<Option<Resident>, Unknown> {
        let address = address.to_canonical();
        let end = Instant::now() + DEADLINE;
        let mut since = since;
        loop {
            let found = timeout_at(end, self.find(address, since)).await;
            match found.map_err(|_| Unknown(format!("no answer within {DEADLINE:?}")))?? {
                Found::Resident(resident) => return Ok(Some(resident)),
                Found::Nobody => return Ok(None),
                Found::Starts if Instant::now() + PAUSE > end => {
                    return Err(Unknown(format!(
                        "it does not list the one at {address} yet"
                    )));
                }
                Found::Starts => sleep(PAUSE).await,
            }
            since = Instant::now();
        }
    }

    async fn find(&self, address: IpAddr, since: Instant) -> Result<Found, Unknown> {
        let mut asked = self.asking.lock().await;
        let table = match self.fresh(since) {
            Some(table) => table,
            None => {
                asked.strangers.clear();
                self.read().await?
            }
        };
        let Some(known) = table.by_address.get(&address) else {
            if asked.strangers.contains(&address) || !self.has_endpoint(address).await? {
                asked.strangers.insert(address);
                return Ok(Found::Nobody);
            }
            return Ok(Found::Starts);
        };
        let Some(container) = known else {
            return Ok(Found::Nobody);
        };
        let images = &mut asked.images;
        if !images.contains_key(&container.image) {
            let labels = self.labels_of_image(&container.image).await?;
            if images.len() >= IMAGES {
                images.clear();
            }
            images.insert(container.image.clone(), labels);
        }
        let empty = Labels::new();
        let of_image = images.get(&container.image).unwrap_or(&empty);
        Ok(Found::Resident(container.resident(of_image)))
    }

    /// Whether a container has the address in one of this engine's networks.
    async fn has_endpoint(&self, address: IpAddr) -> Result<bool, Unknown> {
        let networks: Option<Vec<Network>> = self.ask("/networks", LIST).await?;
        for network in networks.into_iter().flatten() {
            if !network.holds(address) {
                continue;
            }
            let path = format!("/networks/{}", request::escape(&network.id));
            let endpoints: Option<Endpoints> = self.ask(&path, LIST).await?;
            if endpoints.is_some_and(|endpoints| endpoints.has(address)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fresh(&self, since: Instant) -> Option<Arc<Table>> {
        let table = self.table.load_full()?;
        (table.began >= since && table.began.elapsed() < AGE).then_some(table)
    }

    async fn read(&self) -> Result<Arc<Table>, Unknown> {
        let began = Instant::now();
        let list: Option<Vec<Container>> = self.ask("/containers/json", LIST).await?;
        let table = Arc::new(Table::of(began, list.unwrap_or_default()));
        self.table.store(Some(table.clone()));
        Ok(table)
    }

    /// An image that is gone could have had any label.
    async fn labels_of_image(&self, id: &str) -> Result<Labels, Unknown> {
        let path = format!("/images/{}/json", request::escape(id));
        let image: Option<Image> = self.ask(&path, INSPECT).await?;
        let image = image.ok_or_else(|| Unknown(format!("its image {id} is gone")))?;
        Ok(image.config.unwrap_or_default().labels.unwrap_or_default())
    }

    /// The object at this path of the engine's API; `None` if there is none.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
    ) -> Result<Option<T>, Unknown> {
        let explain = |e: Box<pingora::Error>| Unknown(error::explain(&e));
        let peer = self.engine.peer().await.map_err(explain)?;
        let head = request::get(path).map_err(explain)?;
        let answer = self.client.fetch(&peer, head, &Budget::one(limit)).await;
        let answer = answer.map_err(explain)?;
        match answer.head.status.as_u16() {
            200 => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|e| Unknown(format!("GET {path}: {e}"))),
            404 => Ok(None),
            status => Err(Unknown(format!("GET {path} was answered {status}"))),
        }
    }
}

impl Table {
    fn of(began: Instant, containers: Vec<Container>) -> Self {
        let mut by_address = HashMap::new();
        for container in containers {
            let mut own = container.addresses();
            own.sort();
            own.dedup();
            for address in own {
                by_address
                    .entry(address)
                    .and_modify(|other| *other = None)
                    .or_insert_with(|| Some(container.clone()));
            }
        }
        Self { began, by_address }
    }
}

impl Container {
    fn addresses(&self) -> Vec<IpAddr> {
        let networks = self.network_settings.networks.iter().flatten();
        let attached = networks.filter_map(|(_, attachment)| attachment.as_ref());
        attached
            .flat_map(|attachment| [&attachment.v4, &attachment.v6])
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    fn resident(&self, of_image: &Labels) -> Resident {
        let name = self.names.iter().flatten();
        let mut own = name.filter_map(|name| name.strip_prefix('/'));
        // `/web/db` is a link to this container.
        let name = own.find(|name| !name.contains('/')).unwrap_or_default();
        let labels = self.labels.iter().flatten();
        let labels = labels.filter(|(name, value)| of_image.get(*name) != Some(*value));
        Resident {
            name: name.to_owned(),
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(containers: serde_json::Value) -> Table {
        Table::of(Instant::now(), serde_json::from_value(containers).unwrap())
    }

    fn name_at(table: &Table, address: &str) -> Option<String> {
        let found = table.by_address.get(&address.parse().unwrap())?.as_ref()?;
        Some(found.resident(&Labels::new()).name)
    }

    #[test]
    fn a_container_has_the_addresses_of_all_its_networks() {
        let table = table(json!([
            {
                "Names": ["/web/db", "/db"],
                "NetworkSettings": { "Networks": {
                    "a": { "IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd00::2" },
                    "b": { "IPAddress": "172.19.0.2", "GlobalIPv6Address": "" },
                    "host": null,
                } },
            },
            { "Names": null, "Labels": null, "NetworkSettings": { "Networks": null } },
        ]));
        for address in ["172.18.0.2", "172.19.0.2", "fd00::2"] {
            assert_eq!(name_at(&table, address).as_deref(), Some("db"), "{address}");
        }
        assert_eq!(name_at(&table, "172.18.0.3"), None);
    }

    #[test]
    fn an_address_that_two_containers_have_is_nobodys() {
        let at = |name: &str| {
            json!({
                "Names": [format!("/{name}")],
                "NetworkSettings": { "Networks": { name: { "IPAddress": "10.0.0.2" } } },
            })
        };
        let table = table(json!([at("a"), at("b"), at("c")]));
        assert_eq!(name_at(&table, "10.0.0.2"), None);
    }

    #[test]
    fn the_labels_of_the_image_are_not_the_containers_own() {
        let container: Container = serde_json::from_value(json!({
            "Names": ["/a"], "Labels": { "own": "1", "both": "2", "changed": "3" },
        }))
        .unwrap();
        let of_image = [("both", "2"), ("changed", "other")];
        let of_image = of_image.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let labels = container.resident(&Labels::from(of_image)).labels;
        let mut names: Vec<_> = labels.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["changed", "own"]);
    }
}
