//! Reads the objects that belong to this node's agent from its engine: callers with
//! a policy must not act on them. They are read in every round, because networks
//! and services change.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skep_filters::endpoint::query;
use skep_filters::policy::{Guarded, Named, Stack};

use super::published::{Bindings, Published, ServicePort};
use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::request;

/// Bounds one inspect.
const LIMIT: usize = 1 << 20;

/// Networks that every engine or Swarm has: others may use them too.
const SHARED: [&str; 8] = [
    "bridge",
    "default",
    "docker_gwbridge",
    "host",
    "ingress",
    "nat",
    "none",
    "podman",
];

const SERVICE_ID: &str = "com.docker.swarm.service.id";
const SERVICE_NAME: &str = "com.docker.swarm.service.name";

/// Finds the objects of this node's agent.
pub(crate) struct OwnObjects {
    client: Arc<Client>,
    engine: Arc<Engine>,
    /// The agent's container, if the configuration names it.
    configured: Option<String>,
    /// The files and folders of the agent that hold secrets and settings.
    paths: Vec<PathBuf>,
    /// The full id of the agent's container, once found.
    id: ArcSwapOption<String>,
    /// The ports of the agent that are published; `None` until they are known.
    published: ArcSwapOption<Published>,
    /// The agent's container, once found: what is read of it never changes.
    own: ArcSwapOption<OwnContainer>,
    /// The containers that this agent has made for itself.
    helpers: Mutex<Vec<Named>>,
}

/// The agent's container, as far as it tells how to make others like it.
#[derive(Clone, Debug)]
pub(crate) struct OwnContainer {
    pub(crate) id: String,
    /// The id of its image.
    pub(crate) image: String,
    /// Whose network it has.
    pub(crate) network_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Container {
    id: String,
    name: String,
    image: String,
    hostname_path: String,
    config: ContainerConfig,
    graph_driver: GraphDriver,
    mounts: Option<Vec<Mount>>,
    host_config: HostConfig,
    network_settings: NetworkSettings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
    port_bindings: Option<Bindings>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerConfig {
    image: String,
    labels: Option<HashMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct GraphDriver {
    data: Option<HashMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Mount {
    r#type: String,
    name: String,
    source: String,
    destination: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<HashMap<String, Attachment>>,
    ports: Option<Bindings>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attachment {
    #[serde(rename = "NetworkID")]
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Image {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceSpec {
    name: String,
    task_template: TaskTemplate,
    endpoint_spec: Option<EndpointSpec>,
    networks: Option<Vec<Target>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EndpointSpec {
    ports: Option<Vec<ServicePort>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaskTemplate {
    container_spec: Option<ContainerSpec>,
    networks: Option<Vec<Target>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec {
    secrets: Option<Vec<SecretReference>>,
    configs: Option<Vec<ConfigReference>>,
}

#[derive(Deserialize)]
struct SecretReference {
    #[serde(rename = "SecretID", default)]
    id: String,
    #[serde(rename = "SecretName", default)]
    name: String,
}

#[derive(Deserialize)]
struct ConfigReference {
    #[serde(rename = "ConfigID", default)]
    id: String,
    #[serde(rename = "ConfigName", default)]
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Target {
    target: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    id: String,
    name: String,
}

impl OwnObjects {
    /// Asks this engine.
    pub(crate) fn new(
        client: Arc<Client>,
        engine: Arc<Engine>,
        configured: Option<String>,
        paths: Vec<PathBuf>,
    ) -> Self {
        Self {
            client,
            engine,
            configured,
            paths,
            id: ArcSwapOption::empty(),
            published: ArcSwapOption::empty(),
            own: ArcSwapOption::empty(),
            helpers: Mutex::default(),
        }
    }

    /// The objects of this agent. On a manager also what the services of other
    /// agents use, which only managers can tell.
    ///
    /// # Errors
    /// A sentence for the log, if the engine does not answer.
    pub(crate) async fn read(
        &self,
        manages: bool,
        others: &BTreeSet<String>,
    ) -> Result<Guarded, String> {
        let mut guarded = Guarded::default();
        let mut services = others.clone();
        let mut published = Published::default();
        let mut own_service = None;
        match self.container().await? {
            // Without a container, the agent's paths are those of the host.
            None => guarded.paths = self.paths.iter().flat_map(|path| here(path)).collect(),
            Some(container) => {
                guarded = self.of_container(&container);
                own_service = guarded.services.first().map(|own| own.id.clone());
                self.add_ports(&mut published, &container).await?;
                services.extend(guarded.services.iter().map(|service| service.id.clone()));
                self.add_image(&mut guarded, &container.image).await?;
            }
        }
        if manages {
            for id in &services {
                let ports = self.add_service(&mut guarded, id).await?;
                if own_service.as_deref() == Some(id) {
                    published.add_service(&ports);
                }
            }
        }
        guarded.containers.extend(self.helpers());
        self.published.store(Some(Arc::new(published)));
        Ok(guarded)
    }

    /// The ports of the agent that are published; `None` until they are known.
    pub(crate) fn published(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// The containers that this agent has made for itself.
    pub(crate) fn helpers(&self) -> Vec<Named> {
        self.lock_helpers().clone()
    }

    pub(crate) fn lock_helpers(&self) -> MutexGuard<'_, Vec<Named>> {
        self.helpers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent's own container; `None` if it runs in none.
    ///
    /// # Errors
    /// A sentence, if the engine does not answer.
    pub(crate) async fn own_container(&self) -> Result<Option<OwnContainer>, String> {
        if let Some(own) = self.own.load_full() {
            return Ok(Some(own.as_ref().clone()));
        }
        let Some(container) = self.container().await? else {
            return Ok(None);
        };
        let own = OwnContainer {
            id: container.id,
            image: container.image,
            network_mode: container.host_config.network_mode,
        };
        self.own.store(Some(Arc::new(own.clone())));
        Ok(Some(own))
    }

    /// The ports of the agent's container, or of the one whose network it uses.
    async fn add_ports(
        &self,
        published: &mut Published,
        container: &Container,
    ) -> Result<(), String> {
        published.add(container.network_settings.ports.as_ref());
        published.add(container.host_config.port_bindings.as_ref());
        let mode = container.host_config.network_mode.as_str();
        if let Some(other) = mode.strip_prefix("container:") {
            let path = format!("/containers/{}/json", request::escape(other));
            if let Some(other) = self.inspect::<Container>(&path).await? {
                published.add(other.network_settings.ports.as_ref());
                published.add(other.host_config.port_bindings.as_ref());
            }
        }
        Ok(())
    }

    async fn container(&self) -> Result<Option<Container>, String> {
        let candidates = match (self.id.load_full(), &self.configured) {
            (Some(id), _) => vec![id.as_str().to_owned()],
            (None, Some(name)) => vec![name.clone()],
            (None, None) => candidates(),
        };
        for candidate in candidates {
            let path = format!("/containers/{}/json", request::escape(&candidate));
            if let Some(container) = self.inspect::<Container>(&path).await? {
                let is_named = self.configured.is_some();
                if !is_named && !super::own_service::has_id(&container.id, &candidate) {
                    continue;
                }
                if self.id.load().is_none() {
                    tracing::info!(container = container.id, "found the agent's own container");
                    self.id.store(Some(Arc::new(container.id.clone())));
                }
                return Ok(Some(container));
            }
        }
        match &self.configured {
            Some(name) => Err(format!(
                "the engine has no container {name}, which `cluster.container` names"
            )),
            None => Ok(None),
        }
    }

    fn of_container(&self, container: &Container) -> Guarded {
        let mounts = container.mounts.as_deref().unwrap_or_default();
        let volumes = mounts.iter().filter(|mount| mount.r#type == "volume");
        let networks = container.network_settings.networks.iter().flatten();
        let networks = networks.filter(|(name, _)| !SHARED.contains(&name.as_str()));
        let labels = container.config.labels.iter().flatten();
        let label = |name: &str| {
            let mut labels = labels.clone();
            let found = labels.find(|(own, _)| *own == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let service = named(&label(SERVICE_ID), [label(SERVICE_NAME)]);
        let name = container.name.trim_start_matches('/').to_owned();
        Guarded {
            containers: vec![named(&container.id, [name])],
            images: vec![named(&container.image, [container.config.image.clone()])],
            volumes: volumes.map(|mount| mount.name.clone()).collect(),
            networks: networks
                .map(|(name, attachment)| named(&attachment.id, [name.clone()]))
                .collect(),
            services: Vec::from_iter(Some(service).filter(|service| !service.id.is_empty())),
            paths: self.paths(container, mounts),
            stacks: Stack::of(container.config.labels.iter().flatten()),
            ..Guarded::default()
        }
    }

    /// The places of the agent's secrets and settings on the host.
    fn paths(&self, container: &Container, mounts: &[Mount]) -> Vec<String> {
        let mounted = self.paths.iter().filter_map(|path| on_host(path, mounts));
        // The engine keeps the file systems of secrets in the container's own folder.
        let folder = Path::new(&container.hostname_path).parent().and_then(text);
        let layers = container.graph_driver.data.iter().flatten();
        let layers = layers.filter(|(name, _)| matches!(name.as_str(), "UpperDir" | "MergedDir"));
        let layers = layers.map(|(_, path)| path.clone());
        let all: BTreeSet<_> = mounted.chain(folder).chain(layers).collect();
        // Everything is below `/`.
        all.into_iter().filter(|path| path.len() > 1).collect()
    }

    async fn add_image(&self, guarded: &mut Guarded, id: &str) -> Result<(), String> {
        let path = format!("/images/{}/json", request::escape(id));
        let (Some(image), Some(own)) = (
            self.inspect::<Image>(&path).await?,
            guarded.images.first_mut(),
        ) else {
            return Ok(());
        };
        let tags = image.repo_tags.into_iter().flatten();
        let digests = image.repo_digests.into_iter().flatten();
        own.names.extend(tags.chain(digests));
        own.names.sort();
        own.names.dedup();
        if !image.id.is_empty() {
            own.id = image.id;
        }
        Ok(())
    }

    /// Gives the agent's image the name of its container's configuration back, if
    /// another image has it, or none. The archive of a load says which names it gives, in
    /// ways that differ between engines, so the name is checked after it.
    pub(crate) async fn keep_image_name(&self) -> Result<(), String> {
        let Some(container) = self.container().await? else {
            return Ok(());
        };
        let (id, name) = (&container.image, &container.config.image);
        let image = async |name: &str| {
            let path = format!("/images/{}/json", request::escape(name));
            self.inspect::<Image>(&path).await
        };
        let Some(own) = image(id).await? else {
            return Ok(());
        };
        // A name with a digest belongs to one content.
        let is_name = !name.is_empty() && !name.contains('@') && !name.starts_with("sha256:");
        match image(name).await? {
            Some(found) if own.id == found.id => return Ok(()),
            _ if !is_name => return Ok(()),
            Some(_) => {
                tracing::error!("another image had the name of the agent's, {name}: taken back");
            }
            None => tracing::error!("the agent's image had lost its name, {name}: given back"),
        }
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (name.as_str(), "latest"),
        };
        let query = query::with("", "repo", repository);
        let query = query::with(&query, "tag", tag);
        let path = format!("/images/{}/tag?{query}", request::escape(id));
        self.post(&path).await
    }

    async fn post(&self, path: &str) -> Result<(), String> {
        let explain = |e: Box<pingora::Error>| error::explain(&e);
        let peer = self.engine.peer().await.map_err(explain)?;
        let head = request::build(&Method::POST, path).map_err(explain)?;
        let answer = self.client.fetch(&peer, head, &Budget::one(LIMIT)).await;
        match answer.map_err(explain)?.head.status {
            status if status.is_success() => Ok(()),
            status => Err(format!("POST {path} was answered {status}")),
        }
    }

    /// Returns the ports that the service publishes.
    async fn add_service(
        &self,
        guarded: &mut Guarded,
        id: &str,
    ) -> Result<Vec<ServicePort>, String> {
        let path = format!("/services/{}", request::escape(id));
        let Some(service) = self.inspect::<Service>(&path).await? else {
            return Ok(Vec::new());
        };
        guarded.services.retain(|own| own.id != service.id);
        let spec = service.spec;
        let ports = spec.endpoint_spec.unwrap_or_default().ports;
        guarded.services.push(named(&service.id, [spec.name]));
        let container = spec.task_template.container_spec.unwrap_or_default();
        for secret in container.secrets.into_iter().flatten() {
            guarded.secrets.push(named(&secret.id, [secret.name]));
        }
        for config in container.configs.into_iter().flatten() {
            guarded.configs.push(named(&config.id, [config.name]));
        }
        let networks = spec.networks.into_iter().flatten();
        let networks = networks.chain(spec.task_template.networks.into_iter().flatten());
        for Target { target } in networks {
            if guarded.networks.iter().any(|own| own.id == target) {
                continue;
            }
            // The Swarm's `host` network has an id here, and everybody may use it.
            let path = format!("/networks/{}", request::escape(&target));
            if let Some(network) = self.inspect::<Network>(&path).await?
                && !SHARED.contains(&network.name.as_str())
            {
                guarded.networks.push(named(&network.id, [network.name]));
            }
        }
        Ok(ports.unwrap_or_default())
    }

    /// The object at this path of the engine's API; `None` if there is none.
    async fn inspect<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, String> {
        let explain = |e: Box<pingora::Error>| error::explain(&e);
        let peer = self.engine.peer().await.map_err(explain)?;
        let head = request::get(path).map_err(explain)?;
        let answer = self.client.fetch(&peer, head, &Budget::one(LIMIT)).await;
        let answer = answer.map_err(explain)?;
        match answer.head.status.as_u16() {
            200 => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|e| format!("GET {path}: {e}")),
            404 => Ok(None),
            status => Err(format!("GET {path} was answered {status}")),
        }
    }
}

fn named(id: &str, names: impl IntoIterator<Item = String>) -> Named {
    Named {
        id: id.to_owned(),
        names: names.into_iter().filter(|name| !name.is_empty()).collect(),
    }
}

/// A path of this host as it is written and as it resolves, if there is something.
fn here(path: &Path) -> impl Iterator<Item = String> {
    let found = std::fs::canonicalize(path).ok();
    let written = found.is_some().then(|| text(path)).flatten();
    let found = found.as_deref().and_then(text);
    written.into_iter().chain(found)
}

fn text(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    path.to_str().map(str::to_owned)
}

/// The place on the host of a path in the container, if it is mounted from there.
fn on_host(path: &Path, mounts: &[Mount]) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let below = mounts.iter().filter_map(|mount| {
        let rest = path.strip_prefix(&mount.destination).ok()?;
        Some((mount, rest))
    });
    let (mount, rest) = below.max_by_key(|(mount, _)| mount.destination.len())?;
    if mount.source.is_empty() {
        return None;
    }
    let whole = match rest.as_os_str().is_empty() {
        true => PathBuf::from(&mount.source),
        false => Path::new(&mount.source).join(rest),
    };
    whole.to_str().map(str::to_owned)
}

/// The ids that the agent's container may have: engines mount files into it from
/// a folder with its id, and its hostname is the short id unless it was chosen.
/// A hostname that was chosen could be another container's name.
fn candidates() -> Vec<String> {
    let ids = super::own_service::own_ids().into_iter();
    ids.filter(|id| id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(source: &str, destination: &str) -> Mount {
        Mount {
            r#type: "bind".to_owned(),
            name: String::new(),
            source: source.to_owned(),
            destination: destination.to_owned(),
        }
    }

    #[test]
    fn without_a_container_a_secret_is_found_as_written_and_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(here(&file).count(), 0);
        std::fs::write(&file, "").unwrap();
        assert!(here(&file).any(|path| Path::new(&path) == file));
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            let found: Vec<_> = here(&link).collect();
            assert!(found.iter().any(|path| Path::new(path) == link));
            let file = file.canonicalize().unwrap();
            assert!(found.iter().any(|path| Path::new(path) == file));
        }
    }

    #[test]
    fn a_secret_is_found_on_the_host_through_the_nearest_mount() {
        let mounts = [
            mount("/", "/host"),
            mount("/srv/skep", "/var/lib/skep"),
            mount("/srv/key", "/var/lib/skep/key"),
        ];
        for (path, expected) in [
            ("/var/lib/skep", Some("/srv/skep")),
            ("/var/lib/skep/secret", Some("/srv/skep/secret")),
            ("/var/lib/skep/key", Some("/srv/key")),
            ("/var/lib/skeptic", None),
            ("/run/secrets/skep_secret", None),
        ] {
            let found = on_host(Path::new(path), &mounts);
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }
}
