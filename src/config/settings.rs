//! Defines all settings together, and the groups that are too small for a file of
//! their own.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use skep_filters::placement::NODE_LABEL;
use skep_filters::policy::{LabelMark, Marks};

use super::certificates::Certificates;
use super::cluster::{Cluster, DEFAULT_SECRET_FILE, Operator};
use super::engine::Engine;
use super::keys::{KeyFile, KeyMaterial};
use super::listen::Listen;
use super::plain::{CallerMark, Plain};
use super::policies::Policy;
use super::portainer::{Portainer, SecretSource};
use super::sockets::Socket;

/// All settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file with the settings; `None` without one.
    pub file: Option<PathBuf>,
    /// The addresses to listen on; empty only if there are `sockets` or `plain`.
    pub listen: Vec<Listen>,
    /// The sockets in the file system to listen on.
    pub sockets: Vec<Socket>,
    /// The addresses to listen on without TLS.
    pub plain: Vec<Plain>,
    /// The engine of this node.
    pub engine: Engine,
    /// How agents find and trust each other.
    pub cluster: Cluster,
    /// The callers.
    pub auth: Auth,
    /// The policies of this configuration, used or not, by name.
    pub policies: Vec<Arc<Policy>>,
    /// The audit log; `None` for none.
    pub audit: Option<Audit>,
    /// Which files callers may read and change.
    pub browse: Browse,
    /// How the answers of many nodes become one.
    pub aggregate: Aggregate,
    /// What happens to an API version that the engine does not serve.
    pub api_versions: ApiVersions,
    /// How images get to the nodes that need them.
    pub images: Images,
    /// The log: its level and format.
    pub log: Log,
    /// The folder for what must outlive the agent.
    pub state_dir: PathBuf,
    /// How long open requests may continue after a signal to stop.
    pub drain: Duration,
    /// The number of worker threads; `None` for one per processor.
    pub threads: Option<NonZeroUsize>,
}

/// The callers.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The keys that may sign requests; their ids are unique.
    pub keys: Vec<KeyFile>,
    /// How far the time of a signature may be from this agent's.
    pub(crate) window: Duration,
    /// Whether requests by the old profile are accepted, which name no cluster.
    pub accept_without_audience: bool,
    /// Whom refusals tell callers to ask, such as an address; `None` for nobody.
    pub contact: Option<String>,
    /// How Portainer servers authenticate; `None` refuses them.
    pub portainer: Option<Portainer>,
    /// Which client certificates are accepted; `None` for none.
    pub certificates: Option<Certificates>,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The file, with a line for each request.
    pub file: PathBuf,
    /// Routine requests have lines too.
    pub routine: bool,
}

/// Which files callers may read and change, besides those in volumes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Browse {
    /// The folder where the host's files are mounted; `None` without one.
    pub host: Option<PathBuf>,
}

/// How the answers of many nodes become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// How long a node may take to answer.
    pub deadline: Duration,
    /// What happens if a node does not answer.
    pub partial: Partial,
    /// The largest body taken from one node, in bytes.
    pub(crate) max_bytes: usize,
    /// What `/info` counts.
    pub info: InfoOf,
    /// The label that shows the node of an object; `None` for none.
    pub node_label: Option<String>,
}

/// What `/info` counts, in a Swarm and without a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InfoOf {
    /// The containers, images, processors and memory of one manager.
    Manager,
    /// The sums of all nodes, with a line for each node.
    Cluster,
}

/// What happens to an API version that the engine of the node does not serve.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ApiVersions {
    /// The engine is asked in the nearest version that it serves.
    Translate,
    /// The engine refuses it.
    Strict,
}

/// What happens if the answer of a node is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Partial {
    /// The others are returned, with the names of the missing nodes.
    Allow,
    /// The request fails.
    Refuse,
}

/// How images get to the nodes that need them.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Whether an agent copies an image from another node when a container needs it.
    pub copy: bool,
    /// The longest image that is copied, in bytes.
    pub copy_max_bytes: usize,
    /// How long a copy may take.
    pub copy_timeout: Duration,
}

/// The log: its level and format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is logged.
    pub level: LevelFilter,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

impl Config {
    /// The files and folders whose reader or writer has an identity, or decides who has
    /// one: secrets, public keys, the list of revoked certificates, this file, the state.
    pub(crate) fn own_paths(&self) -> impl Iterator<Item = &Path> {
        let cluster = self.cluster.secret_files.iter();
        let operator = match &self.cluster.operator {
            Operator::Key(path) => Some(path),
            Operator::Derived | Operator::Off => None,
        };
        let keys = self.auth.keys.iter().map(|key| match &key.material {
            KeyMaterial::Secret(path) | KeyMaterial::PublicKey(path) => path,
        });
        let portainer = self.auth.portainer.iter().flat_map(|portainer| {
            let secret = match &portainer.secret {
                Some(SecretSource::File(path)) => Some(path),
                Some(SecretSource::Given(_)) | None => None,
            };
            secret.into_iter().chain(&portainer.public_key_file)
        });
        let revoked = self.auth.certificates.iter();
        let revoked = revoked.filter_map(|all| all.revoked_file.as_ref());
        let listen = self.listen.iter();
        let listen = listen.filter_map(|listen| Some(&listen.tls.certificate.as_ref()?.1));
        let named = cluster.chain(operator).chain(keys).chain(portainer);
        let named = named.chain(revoked).chain(listen).chain(&self.file);
        named
            .chain([&self.state_dir])
            .map(PathBuf::as_path)
            .chain([Path::new(DEFAULT_SECRET_FILE)])
    }

    /// The marks by which listeners without TLS know the containers of callers.
    pub(crate) fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for caller in self.plain.iter().flat_map(|plain| &plain.callers) {
            let label = |name: &String, value: Option<&String>| LabelMark {
                name: name.clone(),
                value: value.cloned(),
            };
            match &caller.mark {
                CallerMark::Name(name) => marks.names.push(name.clone()),
                CallerMark::Service(name) => marks.labels.extend(Marks::of_service(name)),
                CallerMark::Label(name, value) => marks.labels.push(label(name, value.as_ref())),
                CallerMark::Policy(name) => marks.labels.push(label(name, None)),
            }
        }
        marks
    }

    /// The address by which health checks know the agent; `None` if it has sockets only.
    pub(crate) fn health_address(&self) -> Option<SocketAddr> {
        let tls = self.listen.iter().map(|listen| listen.address);
        let plain = self.plain.iter().map(|plain| plain.address);
        tls.chain(plain).next()
    }

    /// This configuration, with the identities and policies of another one:
    /// the part that can change while the agent runs. The listeners, and the
    /// proofs that Portainer servers give, stay.
    #[must_use]
    pub(crate) fn with_guard_of(&self, other: &Self) -> Self {
        let mut config = self.clone();
        config.policies.clone_from(&other.policies);
        config.auth.keys.clone_from(&other.auth.keys);
        config.auth.window = other.auth.window;
        config.auth.accept_without_audience = other.auth.accept_without_audience;
        config
            .auth
            .certificates
            .clone_from(&other.auth.certificates);
        if let (Some(own), Some(other)) = (&mut config.auth.portainer, &other.auth.portainer) {
            own.grant.clone_from(&other.grant);
        }
        for socket in &mut config.sockets {
            let other = other.sockets.iter().find(|other| other.path == socket.path);
            if let Some(other) = other {
                socket.users.clone_from(&other.users);
                socket.others.clone_from(&other.others);
            }
        }
        for plain in &mut config.plain {
            let mut others = other.plain.iter();
            if let Some(other) = others.find(|other| other.address == plain.address) {
                plain.clone_from(other);
            }
        }
        config
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            listen: vec![Listen::default()],
            sockets: Vec::new(),
            plain: Vec::new(),
            engine: Engine::default(),
            cluster: Cluster::default(),
            auth: Auth::default(),
            policies: Vec::new(),
            audit: None,
            browse: Browse::default(),
            aggregate: Aggregate::default(),
            api_versions: ApiVersions::Translate,
            images: Images::default(),
            log: Log::default(),
            state_dir: PathBuf::from("/var/lib/skep"),
            drain: Duration::from_secs(30),
            threads: None,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            window: Duration::from_secs(30),
            accept_without_audience: false,
            contact: None,
            portainer: None,
            certificates: None,
        }
    }
}

impl Default for Aggregate {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(3),
            partial: Partial::Allow,
            max_bytes: 64 * 1024 * 1024,
            info: InfoOf::Manager,
            node_label: Some(NODE_LABEL.to_owned()),
        }
    }
}

impl Default for Images {
    fn default() -> Self {
        Self {
            copy: true,
            copy_max_bytes: 10 << 30,
            copy_timeout: Duration::from_secs(15 * 60),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: LevelFilter::Info,
        }
    }
}
