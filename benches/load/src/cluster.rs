//! Compares a list of the whole cluster with a list of the slowest node alone,
//! through the same agent. The agents are real; their engines are fakes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use skep::agent::Agent;
use skep::cluster::Cluster;
use skep::config::{self, ClusterMode, Config, Discover};
use skep::platform::tasks::TaskError;
use skep::trust::Secret;
use skep_bed::{FakeEngine, fixture};
use skep_filters::auth::{Signer, SigningKey};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::connection::{Connection, Tls};
use crate::numbers::{ms, quantile};
use crate::{free_address, say, signed};

const LIST: &str = "/v1.45/containers/json";

/// Rows of each node's list, of about 2 KB each.
const ROWS: usize = 20;

/// The limits of a measurement: time and rounds.
const TIME: Duration = Duration::from_secs(15);
const ROUNDS: usize = 400;

/// The number of checks for a complete cluster, one every 50 ms.
const CHECKS: usize = 1200;

/// Prints a line for each size.
pub(crate) async fn measure(folder: &Path) -> anyhow::Result<()> {
    let secret = folder.join("secret");
    fs::write(&secret, Secret::generate()?)?;
    say(&format!(
        "\nThe list of all containers, {ROWS} of 2 KB on each node, compared with the slowest node alone. \
         All nodes share this machine's\n{} processors: with many nodes their work adds up here, \
         while real nodes work in parallel.\n",
        std::thread::available_parallelism()?
    ))?;
    say(
        "nodes  rounds │ list ms: p50     p99 │ slowest ms: p50     p99 │ difference ms: p50     p99 │ ratio: p50   p99",
    )?;
    for size in [3, 50] {
        let nodes = Nodes::start(size, &secret).await?;
        let row = nodes.measure().await?;
        say(&row)?;
        nodes.tasks.shutdown_all().await;
    }
    say("\nGoal: with 3 nodes at most 2 ms slower than the slowest node.")
}

/// Agents in this process.
struct Nodes {
    ids: Vec<String>,
    entry: SocketAddr,
    tls: Tls,
    signers: [Signer; 1],
    tasks: Tasks,
}

/// The agents and engines of the nodes.
struct Tasks {
    agents: JoinSet<Result<(), TaskError>>,
    _engines: Vec<FakeEngine>,
}

impl Tasks {
    async fn shutdown_all(mut self) {
        self.agents.shutdown().await;
    }
}

impl Nodes {
    /// The last node is the entry node; only it must know the others.
    async fn start(size: usize, secret: &Path) -> anyhow::Result<Self> {
        let mut engines = Vec::new();
        for n in 0..size {
            // Ids are names padded with zeros, so n1 and n10 would have the same id.
            let engine = FakeEngine::node(&format!("n{n}x"))
                .manager(n == 0)
                .containers((0..ROWS).map(|row| container(n, row)).collect());
            engines.push(engine.start().await?);
        }
        let ids: Vec<_> = engines.iter().map(FakeEngine::id).collect();
        let mut agents = JoinSet::new();
        let mut addresses = Vec::new();
        let mut entry = None;
        for engine in &engines {
            let is_entry = addresses.len() + 1 == size;
            let others = addresses.iter().copied().filter(|_| is_entry).collect();
            let agent = Agent::start(config(engine, secret, others).await?).await?;
            addresses.extend(agent.addresses());
            entry = Some((agent.cluster(), agent.trust()));
            agents.spawn(agent.run(std::future::pending()));
        }
        let (cluster, trust) = entry.context("no nodes")?;
        complete(&cluster, size).await?;
        let generation = trust.generations().first().context("no secret")?;
        let key = SigningKey::hmac(&generation.operator_key_id(), generation.operator_key())?;
        Ok(Self {
            ids,
            entry: *addresses.last().context("no listener")?,
            tls: Tls::new(generation.ca_der(), generation.peer_sni())?,
            signers: [Signer::new(key, generation.audience().clone())],
            tasks: Tasks {
                agents,
                _engines: engines,
            },
        })
    }

    /// Rounds of one cluster list and one list of each node.
    async fn measure(&self) -> anyhow::Result<String> {
        let mut connection = Connection::open(self.entry, &self.tls).await?;
        for _ in 0..5 {
            self.ask(&mut connection, None).await?;
        }
        let mut lists = Vec::new();
        let mut alone = vec![Vec::new(); self.ids.len()];
        let start = Instant::now();
        while lists.len() < ROUNDS && start.elapsed() < TIME {
            lists.push(self.ask(&mut connection, None).await?);
            for (id, times) in self.ids.iter().zip(&mut alone) {
                times.push(self.ask(&mut connection, Some(id)).await?);
            }
        }
        // By the medians: the largest of fifty single measurements would only show
        // which node was disturbed.
        let by_median =
            |a: &&Vec<f64>, b: &&Vec<f64>| quantile(a, 0.5).total_cmp(&quantile(b, 0.5));
        let slowest = alone.iter().max_by(by_median).context("no nodes")?;
        let of = |times: &[f64]| (quantile(times, 0.5), quantile(times, 0.99));
        let ((list, list99), (one, one99)) = (of(&lists), of(slowest));
        Ok(format!(
            "{:>5}  {:>6} │ {list:>12.2}  {list99:>6.2} │ {one:>15.2}  {one99:>6.2} │ {:>18.2}  {:>6.2} │ {:>10.2}  {:>4.2}",
            self.ids.len(),
            lists.len(),
            list - one,
            list99 - one99,
            list / one,
            list99 / one99,
        ))
    }

    async fn ask(&self, connection: &mut Connection, node: Option<&str>) -> anyhow::Result<f64> {
        let requests = signed::requests(&self.signers, LIST, node, 1)?;
        let request = requests.first().context("no request")?;
        let start = Instant::now();
        let answer = connection.ask(request).await?;
        let time = ms(start.elapsed());
        let rows = ROWS * if node.is_some() { 1 } else { self.ids.len() };
        if answer.length < rows * 2000 {
            bail!("rows are missing: {}", String::from_utf8_lossy(answer.head));
        }
        Ok(time)
    }
}

/// Waits until the entry agent finds every node ready.
async fn complete(cluster: &Arc<Cluster>, size: usize) -> anyhow::Result<()> {
    for _ in 0..CHECKS {
        let ready = cluster
            .others()
            .iter()
            .filter(|member| member.is_ready())
            .count();
        if ready + 1 == size {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("the cluster of {size} did not become complete")
}

async fn config(
    engine: &FakeEngine,
    secret: &Path,
    others: Vec<SocketAddr>,
) -> anyhow::Result<Config> {
    let mut config = Config::default();
    for listen in &mut config.listen {
        listen.address = free_address().await?;
    }
    config.engine = config::Engine::Socket(engine.socket());
    config.cluster.mode = ClusterMode::On;
    config.cluster.secret_files = vec![secret.to_owned()];
    // Rounds of discovery distort the measurement, so they are rare. But the entry
    // agent, the only one that discovers others, may need a second one on a busy
    // machine.
    let discovers = !others.is_empty();
    config.cluster.interval = Duration::from_secs(if discovers { 10 } else { 120 });
    config.cluster.probe_timeout = Duration::from_secs(20);
    config.cluster.discover = vec![Discover::Static(others)];
    Ok(config)
}

/// A row as long as that of a service's container with its labels.
fn container(node: usize, row: usize) -> Value {
    let id = format!("{:064x}", node * ROWS + row);
    let seconds = 1_700_000_000 + i64::try_from(row).unwrap_or_default();
    let mut container = fixture::container(&id, &format!("web.{row}.{node}"), seconds, 0);
    let labels = (0..16).map(|n| (format!("com.example.label.{n}"), json!("x".repeat(90))));
    container["Labels"] = Value::Object(labels.collect());
    container
}
