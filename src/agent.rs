//! Builds the agent from its configuration, runs it, and drains it.

mod bind;
mod certificates;
mod error;
pub(crate) mod health;
pub(crate) mod memory;
pub(crate) mod plain;
pub(crate) mod reload;
pub(crate) mod secrets;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use skep_filters::auth::NonceMemory;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::agent::certificates::Certified;
pub use crate::agent::error::StartError;
use crate::agent::plain::Doors;
use crate::agent::reload::{Reload, Stamp};
use crate::authenticate::keys;
use crate::cluster::conditions::Conditions;
use crate::cluster::copies::Copies;
use crate::cluster::identity::{self, Identity};
use crate::cluster::known::Known;
use crate::cluster::known::Pulls;
use crate::cluster::misses::Misses;
use crate::cluster::name_locks::NameLocks;
use crate::cluster::removals::Removals;
use crate::cluster::residents::Residents;
use crate::cluster::{Cluster, Parts};
use crate::config::{self, Config};
use crate::exchange::context::Context;
use crate::gateway::Gateway;
use crate::gateway::guard::GuardError;
use crate::gateway::join::Joining;
use crate::listen::server_headers::{AgentHeaders, ServerHeaders};
use crate::listen::{self, Listener};
use crate::people::Keeper;
use crate::platform;
use crate::platform::clock;
use crate::platform::health_socket::HealthListener;
use crate::platform::tasks::{TaskError, Tasks, blocking};
use crate::portainer::{self, Others, Portainer};
use crate::ports::{self, Ports};
use crate::telemetry::audit::Audit;
use crate::telemetry::unauthenticated::Unauthenticated;
use crate::trust::Trust;
use crate::upstream::client::Client;
use crate::upstream::engine::Engine;
use crate::upstream::peers::Peers;

/// The deadline for the first identity of the engine; the cluster reads it again
/// in every round.
const FIRST_READ: Duration = Duration::from_secs(5);

/// The longest time to connect to another agent, in probes. An agent that does not
/// answer those is given up before.
const CONNECTING: u32 = 5;

/// How often certificates are checked for renewal.
const REFRESH: Duration = Duration::from_secs(30);

/// The first check is earlier: the memory that only the start needed is free by
/// then, and is returned.
const SETTLED: Duration = Duration::from_secs(2);

/// An agent with bound listeners.
pub struct Agent {
    cluster: Arc<Cluster>,
    trust: Arc<Trust>,
    portainer: Option<Arc<Portainer>>,
    audit: Option<Arc<Audit>>,
    unauthenticated: Arc<Unauthenticated>,
    people: Arc<Keeper>,
    reload: Reload,
    proxy: Arc<HttpProxy<Gateway>>,
    listeners: Vec<Listener>,
    doors: Doors,
    /// Answers local health checks.
    health: Option<HealthListener>,
    names: Vec<String>,
    config: Config,
    background: Tasks<()>,
}

impl Agent {
    /// Builds an agent and binds its listeners. The engine need not answer yet.
    ///
    /// # Errors
    /// With a message that says what to correct.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let stamp = Stamp::of(&config);
        let client = Arc::new(Client::new());
        let engine = Arc::new(Engine::new(&config.engine)?);
        let me = first_identity(&client, &engine).await;
        let secrets = secrets::all(&config, me.swarm)?;
        let certified = certificates::make(&config, &me, secrets).await?;
        let mut listeners = bind::all(&config, &certified).await?;
        let Certified { trust, names, .. } = certified;

        let peers = Peers::new(trust.clone(), CONNECTING * config.cluster.probe_timeout);
        let peers = Arc::new(peers?);
        let cluster = Arc::new(Cluster::new(Parts {
            client: client.clone(),
            engine: engine.clone(),
            peers: peers.clone(),
            config: config.cluster.clone(),
            list_deadline: config.aggregate.deadline,
            port: config.listen.first().map_or(0, |l| l.address.port()),
            me,
            paths: config.own_paths().map(Path::to_owned).collect(),
            marks: config.marks(),
        }));
        if cluster.me().engine.is_some() {
            Box::pin(cluster.look()).await;
        }
        let doors = Doors::new(&config.plain);
        doors.refuse_published(&cluster)?;
        let plain = doors.listen(&config.plain).await;
        listeners.extend(plain.map_err(|(address, error)| StartError::Listen { address, error })?);
        let others = || Others {
            cluster: cluster.clone(),
            client: client.clone(),
            peers: peers.clone(),
            patience: config.cluster.probe_timeout,
            interval: config.cluster.interval,
        };
        let portainer = config.auth.portainer.as_ref();
        let portainer = portainer
            .map(|p| Portainer::new(p, &config.state_dir, others()))
            .transpose()?;
        let nonces = Arc::new(NonceMemory::default());
        let operators = keys::operators(&config, &trust).map_err(GuardError::from)?;
        let people = Keeper::open(cluster.clone(), trust.clone(), operators, config.clone());
        let people = Arc::new(people);
        let guard = reload::guard(&config, &people, &trust, nonces.clone())?;
        let (changed, rights) = watch::channel(0);
        let guard = Arc::new(ArcSwap::from_pointee(guard));
        let audit = config.audit.as_ref().map(audit).transpose()?;
        let unauthenticated = Unauthenticated::new(audit.clone());
        let reload = Reload {
            guard: guard.clone(),
            config: config.clone(),
            people: people.clone(),
            rights: changed,
            trust: trust.clone(),
            nonces,
            portainer: portainer.clone(),
            audit: audit.clone(),
            doors: doors.clone(),
            cluster: cluster.clone(),
            stamp,
        };
        let context = Context {
            memory: Arc::default(),
            known: Known::default(),
            misses: Misses::default(),
            pulls: Pulls::default(),
            removals: Removals::default(),
            name_locks: NameLocks::default(),
            missing: Conditions::default(),
            residents: Residents::new(client.clone(), engine.clone()),
            copies: Copies::default(),
            agent_headers: agent_headers(portainer.as_deref()),
            audited: audit.is_some(),
            config: config.clone(),
            engine,
            client,
            peers,
            cluster: cluster.clone(),
        };
        let gateway = Gateway {
            context,
            guard,
            portainer: portainer.clone(),
            ports: Ports::default(),
            people: people.clone(),
            joining: Joining::default(),
            rights,
            audit: audit.clone(),
            unauthenticated: unauthenticated.clone(),
        };
        let conf = ServerConf {
            // Prevents Pingora from loading the platform's roots; our peers have
            // their own.
            ca_file: Some(platform::EMPTY_FILE.to_owned()),
            threads: config.threads.map_or(2, usize::from),
            ..ServerConf::default()
        };
        Ok(Self {
            proxy: Arc::new(http_proxy(&Arc::new(conf), gateway)),
            cluster,
            trust,
            portainer,
            audit,
            unauthenticated,
            people,
            reload,
            health: config.health_address().and_then(health::listen),
            listeners,
            doors,
            names,
            config,
            background: Tasks::default(),
        })
    }

    /// The bound TCP addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(Listener::address)
            .collect()
    }

    /// The cluster as this agent sees it.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.cluster.clone()
    }

    /// The cluster's keys, and the certificates of this agent.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.clone()
    }

    /// Serves until `stop` resolves, then drains.
    ///
    /// # Errors
    /// If a listener or a background task ends before `stop` resolves. The agent
    /// drains in this case too.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), TaskError> {
        let (stopping, stopped) = watch::channel(false);
        let mut background = self.background;
        let (cluster, trust, names) = (self.cluster.clone(), self.trust.clone(), self.names);
        let watched = stopped.clone();
        let checked = cluster.clone();
        let renamed = trust.clone();
        let until = stopped.clone();
        background.spawn("cluster membership", async move {
            let changed = |me: &Identity| {
                if let Err(e) = certificates::rename(&renamed, me, &names) {
                    tracing::error!(
                        "cannot rename the certificates, which keep their old names: {e}"
                    );
                }
            };
            cluster.run(until, changed).await;
        });
        let unnamed = HeaderValue::from_static("");
        let server_headers = ServerHeaders::new(unnamed, agent_headers(self.portainer.as_deref()));
        if let Some(portainer) = self.portainer {
            let until = stopped.clone();
            let sync_pin = async move { portainer.sync_pin(until).await };
            background.spawn("Portainer's first key", sync_pin);
        }
        if !self.doors.is_empty() {
            let (doors, seen) = (self.doors.clone(), self.cluster.clone());
            let watch = async move { doors.watch(&seen, watched).await };
            background.spawn("listeners without TLS", watch);
        }
        let (seen, until) = (self.cluster.clone(), stopped.clone());
        let sweep = async move { ports::sweep(&seen, until).await };
        background.spawn("leftovers of forwards", sweep);
        background.spawn("list of people", self.people.run(stopped.clone()));
        background.spawn("configuration reload", self.reload.run(stopped.clone()));
        let renew = move || {
            memory::trim_heap();
            if let Err(e) = trust.refresh(clock::wall()) {
                tracing::error!("certificates could not be renewed: {e}");
            }
        };
        background.spawn("certificate renewal", refresh(renew, stopped));
        let (draining, drains) = watch::channel(false);
        if let Some(listener) = self.health {
            background.spawn("health checks", answer_checks(listener, checked, drains));
        }
        let drain = self.config.drain;
        let mut failed = None;
        let shared = self.cluster.clone();
        let stop = async {
            tokio::select! {
                () = stop => {}
                (error, _) = background.failed() => {
                    tracing::error!("{error}");
                    failed = Some(error);
                }
            }
            let _ = draining.send(true);
            shared.stop_sharing();
        };
        let served = listen::serve(self.proxy, self.listeners, &server_headers, stop, drain).await;
        let _ = stopping.send(true);
        background.abort().await;
        self.unauthenticated.flush_suppressed();
        if let Some(audit) = self.audit {
            audit.finish();
        }
        failed.map_or(served, Err)
    }
}

/// The headers that every answer carries besides skep's own.
fn agent_headers(portainer: Option<&Portainer>) -> AgentHeaders {
    portainer.map_or(&[], |_| portainer::headers())
}

/// Answers local health checks until the agent drains; then they fail, as nothing new
/// is accepted.
async fn answer_checks(
    listener: HealthListener,
    cluster: Arc<Cluster>,
    mut drains: watch::Receiver<bool>,
) {
    tokio::select! {
        never = health::answer(&listener, &cluster) => match never {},
        _ = drains.changed() => {}
    }
}

/// Calls `renew` every half a minute, on a thread that may block.
async fn refresh(renew: impl Fn() + Clone + Send + 'static, mut stopped: watch::Receiver<bool>) {
    let mut pause = SETTLED;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
        pause = REFRESH;
        blocking(renew.clone()).await;
    }
}

async fn first_identity(client: &Client, engine: &Engine) -> Identity {
    let reason = match timeout(FIRST_READ, identity::read(client, engine)).await {
        Ok(Ok(me)) => return me,
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {FIRST_READ:?}"),
    };
    tracing::error!(
        "the engine at {} does not answer yet: {reason}",
        engine.address()
    );
    let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    Identity {
        hostname: hostname.trim().to_owned(),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        ..Identity::default()
    }
}

fn audit(config: &config::Audit) -> Result<Arc<Audit>, StartError> {
    let open = Audit::open(config);
    open.map(Arc::new).map_err(|error| StartError::Audit {
        path: config.file.clone(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs an agent with this background task, and never stops it.
    async fn failing(task: impl Future<Output = ()> + Send + 'static) -> TaskError {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            engine: crate::config::Engine::Socket(folder.path().join("none.sock")),
            state_dir: folder.path().join("state"),
            ..Config::default()
        };
        config.listen[0].address = ([127, 0, 0, 1], 0).into();
        let mut agent = Agent::start(config).await.unwrap();
        agent.background.spawn("the test's own", task);
        agent.run(std::future::pending()).await.unwrap_err()
    }

    #[tokio::test]
    async fn an_agent_ends_with_a_background_task_that_ends_and_names_it() {
        let error = failing(async {}).await;
        assert_eq!(error, TaskError::Ended("the test's own".to_owned()));
    }

    #[tokio::test]
    async fn an_agent_ends_with_a_background_task_that_panics_and_names_it() {
        let error = failing(async { panic!("a defect") }).await;
        let text = error.to_string();
        assert!(
            text.contains("the test's own") && text.contains("a defect"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_panics_ends_the_task() {
        let (_stopping, stopped) = watch::channel(false);
        let mut tasks = Tasks::default();
        tasks.spawn("renewal", refresh(|| panic!("no memory"), stopped));
        let (error, _) = tasks.failed().await;
        assert!(matches!(error, TaskError::Panicked { task, .. } if task == "renewal"));
    }
}
