//! One node of a test cluster: its fake engine, and its agent while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use skep::agent::{Agent, StartError};
use skep::cluster::Cluster;
use skep::config::Config;
use skep::trust::Trust;
use skep_bed::{EngineBuilder, FakeEngine, Seen, eventually};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::is_routine;

/// The time in which an agent without open requests must end. Its drain timeout
/// is longer.
const END: Duration = Duration::from_secs(10);

/// A node as a test describes it.
pub(crate) struct Plan {
    pub(super) id: String,
    pub(super) hostname: String,
    pub(super) manager: bool,
    pub(super) engine: EngineBuilder,
}

/// A manager with this hostname; its node id is the hostname and zeros.
pub(crate) fn manager(hostname: &str) -> Plan {
    Plan::new(hostname, true)
}

/// A worker with this hostname.
pub(crate) fn worker(hostname: &str) -> Plan {
    Plan::new(hostname, false)
}

impl Plan {
    fn new(hostname: &str, manager: bool) -> Self {
        let id = format!("{hostname:0<25}");
        Self {
            engine: FakeEngine::node(hostname).id(&id).manager(manager),
            hostname: hostname.to_owned(),
            id,
            manager,
        }
    }

    /// Sets another node id, for nodes that share a hostname.
    pub(crate) fn id(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self.engine = self.engine.id(id);
        self
    }

    /// Changes the fake engine.
    pub(crate) fn engine(mut self, change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Self {
        self.engine = change(self.engine);
        self
    }
}

/// A node of a running cluster.
pub(crate) struct Node {
    /// `Swarm.NodeID`.
    pub(crate) id: String,
    /// Its hostname.
    pub(crate) hostname: String,
    /// Its engine.
    pub(crate) engine: FakeEngine,
    /// The address of its agent.
    pub(crate) address: SocketAddr,
    /// The configuration for the agent's next start.
    pub(crate) config: Config,
    pub(super) running: Option<Running>,
}

pub(super) struct Running {
    cluster: Arc<Cluster>,
    trust: Arc<Trust>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Node {
    /// The cluster as this node's agent sees it.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.running().cluster
    }

    /// The certificates and keys of this node's agent.
    pub(crate) fn trust(&self) -> &Trust {
        &self.running().trust
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the agent is running")
    }

    /// The requests to the engine, without those of agents for themselves.
    pub(crate) fn asked(&self) -> Vec<Seen> {
        let mut seen = self.engine.requests();
        seen.retain(|request| !is_routine(&request.path));
        seen
    }

    /// The number of nodes that its agent can reach now.
    pub(crate) fn sees(&self) -> usize {
        let all = self.cluster().all();
        all.iter()
            .filter(|member| member.is_ready() || member.id == self.id)
            .count()
    }

    /// Whether its agent runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts the agent with its current configuration.
    pub(crate) async fn start(&mut self) -> Result<(), StartError> {
        let agent = self.bind().await?;
        self.launch(agent);
        Ok(())
    }

    /// An agent that listens but does not answer yet.
    pub(super) async fn bind(&self) -> Result<Agent, StartError> {
        Agent::start(self.config.clone()).await
    }

    pub(super) fn launch(&mut self, agent: Agent) {
        let (cluster, trust) = (agent.cluster(), agent.trust());
        let (stop, stopped) = oneshot::channel();
        let until = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(async move {
            let ran = agent.run(until).await;
            ran.unwrap_or_else(|e| panic!("{e}"));
        });
        self.running = Some(Running {
            cluster,
            trust,
            stop,
            task,
        });
    }

    /// Signals the agent to stop; the future completes when the agent has ended.
    pub(crate) fn stop(&mut self) -> impl Future<Output = ()> + use<> {
        let running = self.running.take().expect("the agent is running");
        let hostname = self.hostname.clone();
        drop(running.stop);
        async move {
            let ended = timeout(END, running.task).await;
            let ended = ended.unwrap_or_else(|_| panic!("the agent of {hostname} did not end"));
            ended.unwrap_or_else(|e| panic!("the agent of {hostname}: {e}"));
        }
    }

    /// Ends the agent as a crash would: every connection breaks. When this
    /// returns, nothing listens at its address.
    pub(crate) async fn kill(&mut self) {
        let running = self.running.take().expect("the agent is running");
        running.task.abort();
        let _ = running.task.await;
        // The tasks that it spawned end a moment later. One of them holds the
        // listener and the connections, and drops them together.
        let free = || std::net::TcpListener::bind(self.address).is_ok();
        assert!(eventually(free).await, "{} still listens", self.hostname);
    }
}
