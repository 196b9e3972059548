//! The list that is in force at this agent.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_filters::auth::{Audience, BodyBinding, Key, OnBehalfOf};
use skep_filters::people::{Document, Envelope, EnvelopeError, changes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::file::{Folder, KEPT};
use super::sightings::Sightings;
use super::swarm::{self, CreateError};
use crate::cluster::Cluster;
use crate::cluster::versions::Newer;
use crate::config::{Config, People, check_policies};
use crate::platform::clock;
use crate::platform::tasks::blocking;
use crate::trust::Trust;
use crate::upstream::client::Budget;
use crate::upstream::error;
use crate::upstream::request;

/// How often a manager's engine is asked for the next version. Other agents tell of it
/// at once; this is for an agent that ended before it could.
const PAUSE: Duration = Duration::from_secs(3);

/// The pause between two readings for unknown invitations.
const BETWEEN: Duration = Duration::from_millis(250);

/// Among so many questions, one is for all versions: some may have been left out.
const WHOLE: u32 = 10;

/// How long another agent may take to hand over its list.
const DEADLINE: Duration = Duration::from_secs(5);

/// Bounds what it hands over: a document in a text in JSON.
const LIMIT: usize = 1 << 20;

/// How long used invitations are kept after their end, in seconds: a manager's clock may
/// be off.
const GRACE: u64 = 7 * 86_400;

/// The endpoint of the list.
const PEOPLE: &str = "/skep/v1/people";

/// Keeps the list of people.
pub(crate) struct Keeper {
    cluster: Arc<Cluster>,
    pub(crate) trust: Arc<Trust>,
    folder: Folder,
    /// The operator's, which sign the list.
    keys: Vec<Key>,
    audiences: Vec<Audience>,
    config: ArcSwap<Config>,
    state: ArcSwap<State>,
    /// The last calls of users.
    pub(crate) sightings: Sightings,
    /// The last version that could not be taken.
    missed: AtomicU64,
    /// Held while a version is taken.
    taking: Mutex<()>,
    /// Held while a version is written.
    changing: tokio::sync::Mutex<()>,
    /// When the raft store was last read for an unknown invitation.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

/// One version.
#[derive(Default)]
pub(crate) struct State {
    /// As it is handed on; `None` if there is none yet.
    pub(crate) envelope: Option<Envelope>,
    /// Empty, but for its version, if the operator's signature is not valid any more.
    pub(crate) document: Document,
}

/// Why a version was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Another operator was faster.
    #[error(
        "version {in_force} of the list of people is in force, and this is version {given}: somebody \
         else has changed the list in the meantime; nothing was changed, repeat the command"
    )]
    Conflict { in_force: u64, given: u64 },
    /// Its policies or users have faults.
    #[error("{0}")]
    Faults(String),
    /// This agent does not know whether its list is the newest.
    #[error("this agent does not know the newest list of people yet; try again")]
    Unsure,
    #[error("the list of people cannot be kept: {0}")]
    Store(String),
}

/// What is recorded of a used invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joined {
    pub(crate) user: String,
    pub(crate) serial: String,
    /// When, and when the certificate ends, in seconds since the epoch.
    pub(crate) at: u64,
    pub(crate) expires: u64,
    pub(crate) from: String,
    pub(crate) node: String,
}

/// Why an invitation was not redeemed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedeemError {
    #[error("it was used")]
    Used,
    #[error("{0}")]
    Store(String),
}

impl Keeper {
    /// Reads the version that this agent has last seen.
    pub(crate) fn open(
        cluster: Arc<Cluster>,
        trust: Arc<Trust>,
        keys: Vec<Key>,
        config: Config,
    ) -> Self {
        let keeper = Self {
            folder: Folder::of(&config.state_dir),
            audiences: trust.audiences(),
            cluster,
            trust,
            keys,
            config: ArcSwap::from_pointee(config),
            state: ArcSwap::default(),
            sightings: Sightings::default(),
            missed: AtomicU64::new(0),
            taking: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            looked: tokio::sync::Mutex::default(),
        };
        keeper.load();
        keeper
    }

    /// The newest version on disk. One that cannot be used still counts: older ones are
    /// never taken again.
    fn load(&self) {
        let shown = self.folder.path().display();
        let versions = match self.folder.versions() {
            Ok(versions) => versions,
            Err(e) => return tracing::error!("{shown}: the list of people cannot be read: {e}"),
        };
        let Some(version) = versions.first().copied() else {
            return;
        };
        let (envelope, document) = match self.folder.read(version) {
            Ok(envelope) => {
                let opened = envelope.open(&self.keys, &self.audiences);
                (Some(envelope), opened.map_err(|e| e.to_string()))
            }
            Err(e) => (None, Err(e.to_string())),
        };
        let document = match document {
            Ok(document) if document.version == version => document,
            other => {
                let why = other
                    .err()
                    .unwrap_or_else(|| "it has another version".to_owned());
                tracing::error!("{shown}: version {version} gives nobody any rights: {why}");
                Document {
                    version,
                    ..Document::default()
                }
            }
        };
        self.cluster.took_people(version);
        self.state.store(Arc::new(State { envelope, document }));
    }

    /// The version in force.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// The users and their rights, by this configuration.
    pub(crate) fn people(&self, config: &Config) -> People {
        config.people(&self.state.load().document)
    }

    /// Whether the configuration has an identity of this name, which counts instead of the
    /// user.
    pub(crate) fn is_hidden(&self, name: &str) -> bool {
        self.config.load().hides_user(name)
    }

    /// The configuration that is in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Reads further versions by another configuration.
    pub(crate) fn set_config(&self, config: &Config) {
        self.config.store(Arc::new(config.clone()));
    }

    /// Changes whenever a version is taken.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.cluster.versions.taken()
    }

    /// Keeps the list the newest, until `stop` changes.
    pub(crate) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut newer = self.cluster.versions.newer();
        let mut rounds = 0;
        loop {
            self.look(rounds % WHOLE == 0, &mut newer).await;
            rounds = rounds.wrapping_add(1);
            tokio::select! {
                () = sleep(self.pause()) => {}
                _ = newer.changed() => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Short until the first list is read.
    fn pause(&self) -> Duration {
        match self.cluster.versions.is_current() {
            true => PAUSE,
            false => PAUSE / 10,
        }
    }

    async fn look(self: &Arc<Self>, whole: bool, newer: &mut watch::Receiver<Newer>) {
        let cluster = &self.cluster;
        if cluster.is_alone() {
            return cluster.versions.confirm();
        }
        if !cluster.is_on() {
            return;
        }
        let told = newer.borrow_and_update().clone();
        if told.version > cluster.versions.own()
            && let Err(e) = self.fetch(&told.node).await
        {
            self.missed(
                told.version,
                &format!("the agent of node {}", told.node),
                &e,
            );
        }
        if cluster.me().can_manage() {
            let whole = whole || !cluster.versions.is_current();
            match self.read_swarm(whole).await {
                Ok(()) => cluster.versions.confirm(),
                Err(e) => tracing::debug!("the list of people cannot be read: {e}"),
            }
        }
    }

    /// Logs once that a version is not taken; it is tried again and again.
    fn missed(&self, version: u64, owner: &str, why: &str) {
        if self.missed.swap(version, Ordering::Relaxed) != version {
            tracing::warn!(
                "version {version} of the list of people, which {owner} has, is not taken: {why}"
            );
        }
    }

    /// Takes the list of another agent.
    async fn fetch(self: &Arc<Self>, node: &str) -> Result<(), String> {
        let explain = |e: Box<pingora::Error>| error::explain(&e);
        let cluster = &self.cluster;
        let member = cluster.member(node).ok_or("the node has left")?;
        let address = member.address.ok_or("it has no address")?;
        let mut head = request::get(PEOPLE).map_err(explain)?;
        let signed = cluster.peers.sign(
            &mut head,
            member.generation,
            &member.id,
            &OnBehalfOf::Agent,
            BodyBinding::Empty,
        );
        signed.map_err(explain)?;
        let peer = cluster.peers.peer(address, member.generation);
        let peer = peer.map_err(explain)?;
        let budget = Budget::one(LIMIT);
        let asked = cluster.client.fetch(&peer, head, &budget);
        let answer = timeout(DEADLINE, asked).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())?;
        let answer = answer.map_err(explain)?;
        if answer.head.status != StatusCode::OK {
            return Err(format!("it answered {}", answer.head.status.as_u16()));
        }
        let envelope = Envelope::read(answer.body.trim_ascii()).map_err(|e| e.to_string())?;
        self.take(envelope).await.map_err(|e| e.to_string())
    }

    /// Takes the newest version of the raft store.
    async fn read_swarm(self: &Arc<Self>, whole: bool) -> Result<(), String> {
        let own = self.cluster.versions.own();
        let next = swarm::version_name(own + 1);
        let configs = match whole {
            true => swarm::list(&self.cluster, "label", swarm::VERSION).await?,
            false => swarm::list(&self.cluster, "name", &next).await?,
        };
        let mut found: Vec<_> = configs
            .iter()
            .filter_map(|config| Some((version_of(config)?, config)))
            .filter(|(version, _)| *version > own)
            .collect();
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        for (version, config) in found {
            let taken = match Envelope::read(&config.data) {
                Ok(envelope) => self.take(envelope).await,
                Err(e) => Err(e),
            };
            match taken {
                Ok(()) => break,
                Err(e) => self.missed(version, "the Swarm", &e.to_string()),
            }
        }
        if whole {
            self.guard(&configs);
        }
        Ok(())
    }

    /// Reads the raft store now, where there is one: another manager may have taken a
    /// newer version a moment ago. All who wait share one reading, and strangers cause
    /// few of them.
    pub(crate) async fn look_again(self: &Arc<Self>) {
        if !self.cluster.is_on() {
            return;
        }
        let asked = Instant::now();
        let mut last = self.looked.lock().await;
        if last.is_some_and(|last| last >= asked) {
            return;
        }
        if let Some(last) = *last {
            sleep_until(last + BETWEEN).await;
        }
        *last = Some(Instant::now());
        if let Err(e) = self.read_swarm(true).await {
            tracing::debug!("the list of people cannot be read: {e}");
        }
    }

    /// Keeps callers with limits off the configs.
    fn guard(&self, configs: &[swarm::Config]) {
        let own = configs.iter();
        let own = own.map(|config| (config.id.clone(), config.name.clone()));
        self.cluster.guard_people(own.collect());
    }

    /// Takes a version if the operator has signed it and it is newer. An older one is
    /// not an error.
    async fn take(self: &Arc<Self>, envelope: Envelope) -> Result<(), EnvelopeError> {
        let this = self.clone();
        blocking(move || this.take_now(envelope)).await
    }

    fn take_now(&self, envelope: Envelope) -> Result<(), EnvelopeError> {
        let document = envelope.open(&self.keys, &self.audiences)?;
        let _one_at_a_time = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let version = document.version;
        let before = self.state.load_full();
        if version <= before.document.version {
            return Ok(());
        }
        let kept = self.folder.keep(version, &envelope.to_json()?);
        if let Err(e) = kept {
            // In force all the same: an agent that starts reads the newest before it
            // answers.
            let shown = self.folder.path().display();
            tracing::error!("{shown}: version {version} cannot be kept: {e}");
        }
        let said = changes(&before.document, &document).join("; ");
        tracing::info!("version {version} of the list of people is in force: {said}");
        let envelope = Some(envelope);
        self.state.store(Arc::new(State { envelope, document }));
        self.cluster.took_people(version);
        Ok(())
    }

    /// Writes the next version, and takes it. Returns what it changes.
    ///
    /// # Errors
    /// It is not the next one, has faults, or cannot be written.
    pub(crate) async fn change(self: &Arc<Self>, bytes: &[u8]) -> Result<String, ChangeError> {
        let envelope = Envelope::read(bytes)?;
        let document = envelope.open(&self.keys, &self.audiences)?;
        let _one_at_a_time = self.changing.lock().await;
        if self.cluster.is_on() {
            self.read_swarm(false).await.map_err(ChangeError::Store)?;
        }
        if !self.cluster.versions.is_current() {
            return Err(ChangeError::Unsure);
        }
        let before = self.state.load_full();
        let in_force = before.document.version;
        let given = document.version;
        let conflict = || ChangeError::Conflict { in_force, given };
        if given != in_force + 1 {
            return Err(conflict());
        }
        self.check(&document)?;
        let bytes = envelope.to_json().map_err(EnvelopeError::from)?;
        if self.cluster.is_on() {
            let name = swarm::version_name(given);
            let label = (swarm::VERSION, given.to_string());
            let created = swarm::create(&self.cluster, &name, (label.0, &label.1), &bytes).await;
            match created {
                Ok(()) => {}
                Err(CreateError::Exists) => {
                    // The other one's is taken at once.
                    let _ = self.read_swarm(true).await;
                    let in_force = self.state.load().document.version;
                    if in_force < given {
                        return Err(ChangeError::Store(format!(
                            "the Swarm has a config {name} that no operator has signed; look who \
                             made it, and remove it (docker config rm {name})"
                        )));
                    }
                    return Err(ChangeError::Conflict { in_force, given });
                }
                Err(CreateError::Failed(e)) => return Err(ChangeError::Store(e)),
            }
        } else {
            match self.folder.create(given, &bytes) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(conflict()),
                Err(e) => return Err(ChangeError::Store(e.to_string())),
            }
        }
        let said = changes(&before.document, &document).join("; ");
        self.take(envelope).await?;
        let this = self.clone();
        tokio::spawn(async move { this.prune().await });
        Ok(said)
    }

    /// Checks policies and users by this agent's configuration.
    fn check(&self, document: &Document) -> Result<(), ChangeError> {
        let faults = |e: String| ChangeError::Faults(e);
        check_policies("policies", &document.policies).map_err(|e| faults(e.to_string()))?;
        let people = self.config.load().people(&Document {
            // Those who are disabled need a policy too.
            users: document
                .users
                .iter()
                .map(|user| skep_filters::people::User {
                    enabled: true,
                    ..user.clone()
                })
                .collect(),
            ..document.clone()
        });
        match people.faults.as_slice() {
            [] => Ok(()),
            all => Err(faults(all.join("\n"))),
        }
    }

    /// A version that is kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn version(&self, version: u64) -> Result<Option<Envelope>, String> {
        let state = self.state.load_full();
        if state.document.version == version {
            return Ok(state.envelope.clone());
        }
        if !self.cluster.is_on() {
            return match self.folder.read(version) {
                Ok(envelope) => Ok(Some(envelope)),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e.to_string()),
            };
        }
        let configs = swarm::list(&self.cluster, "label", swarm::VERSION).await?;
        let mut found = configs.iter();
        let found = found.find(|config| version_of(config) == Some(version));
        Ok(found.and_then(|config| Envelope::read(&config.data).ok()))
    }

    /// Records that an invitation is used. In the whole cluster one call for an
    /// invitation succeeds.
    ///
    /// # Errors
    /// It was used before, or that cannot be recorded.
    pub(crate) async fn redeem(&self, id: &str, joined: &Joined) -> Result<(), RedeemError> {
        let store = |e: &dyn std::fmt::Display| RedeemError::Store(e.to_string());
        let bytes = serde_json::to_vec(joined).map_err(|e| store(&e))?;
        if self.cluster.is_on() {
            let name = swarm::joined_name(id);
            let ends = joined.expires.to_string();
            let created = swarm::create(&self.cluster, &name, (swarm::JOINED, &ends), &bytes);
            return match created.await {
                Ok(()) => Ok(()),
                Err(CreateError::Exists) => Err(RedeemError::Used),
                Err(CreateError::Failed(e)) => Err(RedeemError::Store(e)),
            };
        }
        match self.folder.redeem(id, &bytes) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(RedeemError::Used),
            Err(e) => Err(store(&e)),
        }
    }

    /// What was recorded of used invitations.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn joined(&self) -> Result<Vec<Joined>, String> {
        let all: Vec<Vec<u8>> = if self.cluster.is_on() {
            let configs = swarm::list(&self.cluster, "label", swarm::JOINED).await?;
            configs.into_iter().map(|config| config.data).collect()
        } else {
            let files = self.folder.joined().map_err(|e| e.to_string())?;
            files.into_iter().map(|(_, data)| data).collect()
        };
        let read = all
            .iter()
            .filter_map(|data| serde_json::from_slice(data).ok());
        Ok(read.collect())
    }

    /// Removes old versions, and what was recorded of invitations whose certificates
    /// have long ended.
    async fn prune(&self) {
        let version = self.state.load().document.version;
        let now = clock::now().as_secs();
        let has_ended = |joined: &Joined| joined.expires.saturating_add(GRACE) < now;
        let read = |data: &[u8]| serde_json::from_slice::<Joined>(data).ok();
        if !self.cluster.is_on() {
            for (id, data) in self.folder.joined().unwrap_or_default() {
                if read(&data).is_some_and(|joined| has_ended(&joined)) {
                    let _ = self.folder.forget(&id);
                }
            }
            return;
        }
        let mut old = Vec::new();
        if let Ok(configs) = swarm::list(&self.cluster, "label", swarm::VERSION).await {
            self.guard(&configs);
            let is_old = |config: &swarm::Config| {
                version_of(config).is_some_and(|one| one.saturating_add(KEPT) <= version)
            };
            old.extend(configs.into_iter().filter(is_old));
        }
        if let Ok(configs) = swarm::list(&self.cluster, "label", swarm::JOINED).await {
            let has_ended = |config: &swarm::Config| {
                read(&config.data).is_some_and(|joined| has_ended(&joined))
            };
            old.extend(configs.into_iter().filter(has_ended));
        }
        for config in old {
            if let Err(e) = swarm::remove(&self.cluster, &config.id).await {
                tracing::debug!("the config {} is not removed: {e}", config.name);
            }
        }
    }
}

/// The version of a config, by its name and its label.
fn version_of(config: &swarm::Config) -> Option<u64> {
    let version: u64 = config.labels.get(swarm::VERSION)?.parse().ok()?;
    (config.name == swarm::version_name(version)).then_some(version)
}
