//! What an operator can set, as types that cannot be wrong.
//!
//! The YAML file is read into the loose structures of `raw`, which alone know serde, and turned
//! into the types here by `validate`. Whoever holds a [`Config`] has nothing left to check and no
//! text left to interpret. What this is not for: looking at the files that settings name. Those are
//! read by the part that needs them, when it needs them.

mod address;
mod certificates;
mod discover;
mod engine;
pub mod environment;
mod error;
mod faults;
mod grant;
mod locations;
mod policies;
mod portainer;
pub mod portainer_env;
mod raw;
mod scalar;
mod sockets;
mod suggest;
#[cfg(test)]
mod tests;
mod validate;

use std::{
    fs::File,
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use log::LevelFilter;

pub use self::{
    address::{AgentUrl, HostPort},
    certificates::{CertificateIdentity, Certificates, client_name},
    discover::Discover,
    engine::{Engine, EngineTls},
    error::{ConfigError, ConfigErrors, ValueError},
    grant::{Grant, Limits},
    policies::Policy,
    portainer::{Hidden, Portainer, SecretSource},
    sockets::{Socket, SocketIdentity, SocketUser},
};

/// The port on which agents listen and look for each other, unless told otherwise.
pub const DEFAULT_PORT: u16 = 9001;

/// Where Docker puts the cluster's secret when the stack calls it `skep_secret`.
///
/// An agent without [`Cluster::secret_files`] uses this file if it exists.
pub const DEFAULT_SECRET_FILE: &str = "/run/secrets/skep_secret";

/// The largest configuration file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that it was read from; `None` is none.
    pub file: Option<PathBuf>,
    /// Where to listen; empty only if there are `sockets`.
    pub listen: Vec<Listen>,
    /// The sockets in the file system to listen on.
    pub sockets: Vec<Socket>,
    /// The engine that this agent guards.
    pub engine: Engine,
    /// The other agents.
    pub cluster: Cluster,
    /// Who may call.
    pub auth: Auth,
    /// The policies of this configuration, used or not, by name.
    pub policies: Vec<Arc<Policy>>,
    /// The file that gets a line for every request; `None` is none.
    pub audit: Option<PathBuf>,
    /// Which files callers may look at and change.
    pub browse: Browse,
    /// How the answers of many nodes become one.
    pub aggregate: Aggregate,
    /// What is logged, and how.
    pub log: Log,
    /// Where the agent keeps what must outlive it.
    pub state_dir: PathBuf,
    /// How long open exchanges may go on after the order to stop.
    pub drain: Duration,
    /// Worker threads; `None` is one for each processor.
    pub threads: Option<NonZeroUsize>,
}

/// One address to listen on with HTTPS.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// The address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What is shown to callers.
    pub tls: ListenTls,
}

/// The certificate of a listener.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenTls {
    /// The PEM files of a certificate chain and its key; `None` is the certificate derived from the
    /// cluster's secret.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Further DNS names and IP addresses for the derived certificate.
    pub names: Vec<String>,
}

/// How agents find and trust each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Whether there is a cluster at all.
    pub mode: ClusterMode,
    /// Where to look for other agents; empty is the tasks of the agent's own Swarm service.
    pub discover: Vec<Discover>,
    /// The cluster's secrets, at most four: the first signs, all are trusted. May be empty, see
    /// [`DEFAULT_SECRET_FILE`].
    pub secret_files: Vec<PathBuf>,
    /// The secret of [`Auth::portainer`] as it came from the environment: with it
    /// the cluster's is made where none is given, if it is good enough.
    pub portainer_secret: Option<SecretSource>,
    /// The time between two rounds of looking for agents.
    pub interval: Duration,
    /// How long one agent may take to answer a probe.
    pub probe_timeout: Duration,
    /// How long the agent's own derived certificates are valid.
    pub certificate_lifetime: Duration,
}

/// Whether an agent works with others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClusterMode {
    /// It does if its engine is part of a Swarm.
    Auto,
    /// It never does.
    Off,
    /// It always does.
    On,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The keys that may sign requests; their ids are unique.
    pub keys: Vec<KeyFile>,
    /// How far a signature's time may be from this agent's.
    pub window: Duration,
    /// Whether Portainer servers are let in; `None` is no.
    pub portainer: Option<Portainer>,
    /// Whose certificates are let in; `None` is nobody's.
    pub certificates: Option<Certificates>,
}

/// Which files callers may look at and change, besides those in volumes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Browse {
    /// The folder where the host's files are; `None` is none of them.
    pub host: Option<PathBuf>,
}

/// A key that may sign requests.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFile {
    /// The name by which a signature refers to the key.
    pub id: String,
    /// Where the key is.
    pub material: KeyMaterial,
    /// What the holder may do.
    pub grant: Grant,
    /// Whether streamed bodies may go without a digest.
    pub unsigned_streams: bool,
}

/// The file with one half or both halves of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyMaterial {
    /// An Ed25519 public key.
    PublicKey(PathBuf),
    /// A shared secret for HMAC.
    Secret(PathBuf),
}

/// How the answers of many nodes become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// How long a node may take to answer.
    pub deadline: Duration,
    /// What becomes of an answer in which a node is missing.
    pub partial: Partial,
    /// The largest body taken from one node, in bytes.
    pub max_bytes: usize,
    /// What `/info` counts.
    pub info: InfoOf,
}

/// What `/info` counts, in a Swarm and without a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InfoOf {
    /// One manager's containers, images, processors and memory.
    Manager,
    /// The sums of all nodes, with a line for each.
    Cluster,
}

/// What becomes of an answer in which a node is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Partial {
    /// It is given, and names who is missing.
    Allow,
    /// It is turned into an error.
    Refuse,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is still logged.
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
    /// Reads the file at `path`; with `None`, everything is as by default.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is larger than [`MAX_FILE_BYTES`], or is refused by
    /// [`Config::parse`].
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let name = path.display().to_string();
        match read_bounded(path) {
            Ok(text) => Self::parse(&name, &text).map(|config| Self {
                file: Some(path.to_owned()),
                ..config
            }),
            Err(e) => Err(ConfigErrors::file(&name, format!("cannot be read: {e}"))),
        }
    }

    /// Reads `text`; `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// The text is not YAML, has settings that do not exist, or values that cannot be. YAML and
    /// settings end at the first error; of values all errors are told at once.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        if text.len() > MAX_FILE_BYTES {
            return Err(ConfigErrors::file(name, too_large()));
        }
        let read = raw::read(text).and_then(validate::validate);
        read.map_err(|mut faults| {
            locations::refine(text, &mut faults);
            ConfigErrors::in_text(name, text, faults)
        })
    }
}

impl Config {
    /// This configuration with the part of another one that says who is let in,
    /// and with what. How Portainer servers prove themselves, and where to
    /// listen, stay.
    #[must_use]
    pub fn with_guard_of(&self, other: &Self) -> Self {
        let mut config = self.clone();
        config.policies.clone_from(&other.policies);
        config.auth.keys.clone_from(&other.auth.keys);
        config.auth.window = other.auth.window;
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
        config
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            listen: vec![Listen::default()],
            sockets: Vec::new(),
            engine: Engine::default(),
            cluster: Cluster::default(),
            auth: Auth::default(),
            policies: Vec::new(),
            audit: None,
            browse: Browse::default(),
            aggregate: Aggregate::default(),
            log: Log::default(),
            state_dir: PathBuf::from("/var/lib/skep"),
            drain: Duration::from_secs(30),
            threads: None,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)),
            tls: ListenTls::default(),
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            mode: ClusterMode::Auto,
            discover: Vec::new(),
            secret_files: Vec::new(),
            portainer_secret: None,
            interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(2),
            certificate_lifetime: Duration::from_secs(24 * 3600),
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            window: Duration::from_secs(30),
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

/// Never holds more than the limit, also when the file is endless, as /dev/zero is.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_BYTES as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn too_large() -> String {
    format!("is larger than {} KiB", MAX_FILE_BYTES / 1024)
}
