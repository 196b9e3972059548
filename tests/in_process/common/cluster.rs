//! A cluster of real agents for the duration of one test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;
use skep::config::{Config, Discover, Engine, Listen, ListenTls};
use skep::trust::{Generation, Secret};
use skep_bed::{eventually, fixture};
use tempfile::TempDir;

use super::node::{Node, Plan, worker};
use super::{Caller, logged};

/// The secret of every cluster whose test does not choose one.
const SECRET: &str = "Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";

type Configure<'a> = Box<dyn Fn(&str, &Path, &mut Config) + 'a>;

/// Describes a cluster and starts it.
pub(crate) struct ClusterBuilder<'a> {
    plans: Vec<Plan>,
    configure: Configure<'a>,
    settles: bool,
    agentless: Vec<&'static str>,
}

/// A running cluster.
pub(crate) struct TestCluster {
    /// The nodes, in the order of the test.
    pub(crate) nodes: Vec<Node>,
    folder: TempDir,
}

/// Runs a test against a cluster of these nodes.
pub(crate) async fn with_cluster(
    plans: impl IntoIterator<Item = Plan>,
    test: impl AsyncFnOnce(&mut TestCluster),
) {
    ClusterBuilder::of(plans).run(test).await;
}

impl<'a> ClusterBuilder<'a> {
    /// A cluster of these nodes, all with the same configuration.
    pub(crate) fn of(plans: impl IntoIterator<Item = Plan>) -> Self {
        Self {
            plans: plans.into_iter().collect(),
            configure: Box::new(|_, _, _| {}),
            settles: true,
            agentless: Vec::new(),
        }
    }

    /// Adds a worker of the Swarm without an agent.
    pub(crate) fn and_an_agentless_worker(mut self, hostname: &'static str) -> Self {
        self.agentless.push(hostname);
        self
    }

    /// Changes the configuration of each agent. The function gets its hostname and
    /// the cluster's folder.
    pub(crate) fn configure(mut self, change: impl Fn(&str, &Path, &mut Config) + 'a) -> Self {
        self.configure = Box::new(change);
        self
    }

    /// Does not wait until every agent sees every node.
    pub(crate) fn without_settling(mut self) -> Self {
        self.settles = false;
        self
    }

    /// Starts the agents, runs the test, stops them, and asserts that they end.
    pub(crate) async fn run(self, test: impl AsyncFnOnce(&mut TestCluster)) {
        let settles = self.settles;
        let mut bed = self.start().await;
        if settles {
            bed.settle().await;
        }
        test(&mut bed).await;
        let running = bed.nodes.iter_mut().filter(|node| node.running.is_some());
        let ending: Vec<_> = running.map(Node::stop).collect();
        join_all(ending).await;
    }

    async fn start(self) -> TestCluster {
        logged::listen();
        let folder = tempfile::Builder::new()
            .prefix("skep-test-")
            .tempdir()
            .expect("a folder");
        let secret = secret_file(folder.path(), "secret", SECRET);
        let addresses = addresses(self.plans.len());
        let agentless: Vec<_> = self.agentless.iter().copied().map(worker).collect();
        let rows: Vec<_> = self.plans.iter().chain(&agentless).map(row).collect();
        let mut nodes = Vec::new();
        for (plan, address) in self.plans.into_iter().zip(&addresses) {
            let engine = plan.engine.swarm_objects("nodes", rows.clone());
            let engine = engine.start().await.expect("a fake engine");
            let mut config = config(*address, engine.socket(), &addresses, &secret);
            config.state_dir = folder.path().join("state");
            (self.configure)(&plan.hostname, folder.path(), &mut config);
            nodes.push(Node {
                id: plan.id,
                hostname: plan.hostname,
                engine,
                address: *address,
                config,
                running: None,
            });
        }
        // All agents listen before the first one probes, so that every agent knows
        // every node after one round.
        let bound = join_all(nodes.iter().map(Node::bind)).await;
        for (node, agent) in nodes.iter_mut().zip(bound) {
            let failed = |e| panic!("the agent of {} did not start: {e}", node.hostname);
            let agent = agent.unwrap_or_else(failed);
            node.launch(agent);
        }
        TestCluster { nodes, folder }
    }
}

impl TestCluster {
    /// The node with this hostname.
    pub(crate) fn node(&self, hostname: &str) -> &Node {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|n| n.hostname == hostname)
            .expect("a node of that hostname")
    }

    /// The node with this hostname, to stop or start it.
    pub(crate) fn node_mut(&mut self, hostname: &str) -> &mut Node {
        let mut nodes = self.nodes.iter_mut();
        nodes
            .find(|n| n.hostname == hostname)
            .expect("a node of that hostname")
    }

    /// The operator, calling this node's agent.
    pub(crate) fn operator(&self, hostname: &str) -> Caller {
        Caller::operator(self.node(hostname).address, generation())
    }

    /// The folder with the cluster's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The nodes whose agents run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.running.is_some())
    }

    /// Waits until every running agent sees every node and has the list of nodes
    /// from a manager, which arrives later, at the end of a round.
    pub(crate) async fn settle(&self) {
        let all = self.nodes.len();
        let knows = |node: &Node| {
            let knows = node.sees() == all && node.cluster().probed_once();
            if !knows {
                // Without a new round, one late probe would count for an hour in
                // tests with rare rounds.
                node.cluster().request_round();
            }
            knows
        };
        let settled = eventually(|| self.running().all(knows)).await;
        let seen: Vec<_> = self
            .running()
            .map(|n| (&n.hostname, n.cluster().all()))
            .collect();
        assert!(settled, "the agents did not find each other: {seen:#?}");
    }
}

/// The generation of the default secret. Deriving it takes a moment.
pub(crate) fn generation() -> Arc<Generation> {
    static DERIVED: OnceLock<Arc<Generation>> = OnceLock::new();
    let derive = || {
        let secret = Secret::from_bytes(SECRET.as_bytes()).expect("a good secret");
        Arc::new(Generation::derive(&secret).expect("a generation"))
    };
    DERIVED.get_or_init(derive).clone()
}

/// Writes a secret that only its owner may read.
pub(crate) fn secret_file(folder: &Path, name: &str, secret: &str) -> PathBuf {
    let path = folder.join(name);
    if !path.exists() {
        skep::platform::write_private(&path, secret.as_bytes()).expect("a secret file");
    }
    path
}

/// Free addresses, which static discovery needs beforehand. Each cluster has its
/// own loopback network, so that no other test takes them meanwhile.
fn addresses(count: usize) -> Vec<SocketAddr> {
    static CLUSTERS: AtomicU32 = AtomicU32::new(0);
    let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let bytes = (pid.wrapping_mul(251).wrapping_add(cluster) % (1 << 16)).to_be_bytes();
    let host = |n: usize| {
        let last = u8::try_from(n + 1).expect("fewer than 255 nodes");
        Ipv4Addr::new(127, bytes[2], bytes[3], last)
    };
    let taken: Vec<_> = (0..count)
        .map(|n| TcpListener::bind((host(n), 0)).expect("a loopback address"))
        .collect();
    taken
        .iter()
        .map(|l| l.local_addr().expect("an address"))
        .collect()
}

fn config(address: SocketAddr, engine: PathBuf, all: &[SocketAddr], secret: &Path) -> Config {
    let mut config = Config {
        listen: vec![Listen {
            address,
            tls: ListenTls::default(),
        }],
        engine: Engine::Socket(engine),
        // Longer than the time in which an agent must end in a test.
        drain: Duration::from_secs(60),
        ..Config::default()
    };
    config.cluster.discover = vec![Discover::Static(all.to_vec())];
    config.cluster.secret_files = vec![secret.to_owned()];
    config.cluster.interval = Duration::from_millis(200);
    config
}

fn row(plan: &Plan) -> serde_json::Value {
    let role = if plan.manager { "manager" } else { "worker" };
    fixture::node(&plan.id, &plan.hostname, role)
}
