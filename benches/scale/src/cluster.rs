//! The real agent, its engine, and the stand-ins for all others.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use skep_bed::{Answer, Credentials, Crowd, FakeEngine, Reply, fixture};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::caller::{Caller, Helper, free_address};
use crate::door::Door;
use crate::process::Process;

/// The managers of every cluster, the agent's own node among them if it is one.
const MANAGERS: usize = 3;

/// The loopback network of the stand-ins.
const NETWORK: u8 = 77;

/// The agents that one probes in turn, and the time between two rounds.
const SAMPLE: u32 = 4;
const INTERVAL: Duration = Duration::from_secs(5);

/// How long an agent waits for a change of a table.
const WAIT: Duration = Duration::from_secs(25);

/// The longest time until the agent sees all nodes.
const COMPLETE: Duration = Duration::from_secs(120);

/// A time for what the start still does: it is not measured.
const SETTLE: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Worker,
    Manager,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        })
    }
}

/// The rows of a node's list. The longer ones are those of `all`.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) of_each: usize,
    /// About 2 KB.
    are_long: bool,
}

impl Rows {
    const FEW: Self = Self {
        of_each: 5,
        are_long: false,
    };
    /// The list of 200 nodes has 20 MB.
    pub(crate) const MANY: Self = Self {
        of_each: 50,
        are_long: true,
    };
    /// The list of 200 nodes has 80 MB.
    pub(crate) const MORE: Self = Self {
        of_each: 200,
        are_long: true,
    };

    /// The query of a client that asks for these rows.
    pub(crate) fn query(self) -> String {
        format!("all={}", self.of_each)
    }

    fn asked_by(target: &str) -> Self {
        let asked = |rows: &&Self| target.ends_with(&rows.query());
        [Self::MANY, Self::MORE]
            .into_iter()
            .find(|rows| asked(&rows))
            .unwrap_or(Self::FEW)
    }
}

/// The longer lists wait for one node, which takes as long.
pub(crate) const SLOWEST: Duration = Duration::from_millis(300);

/// What runs for one measurement.
pub(crate) struct Cluster {
    pub(crate) size: usize,
    pub(crate) role: Role,
    pub(crate) agent: Process,
    pub(crate) engine: FakeEngine,
    pub(crate) crowd: Crowd,
    pub(crate) door: Door,
    pub(crate) operator: Caller,
    began: Instant,
}

fn id(number: usize) -> String {
    format!("{:0<25}", format!("s{number}x"))
}

/// The agent's own node comes last.
fn is_manager(number: usize, role: Role) -> bool {
    number < MANAGERS - usize::from(role == Role::Manager)
}

fn identity(number: usize, role: Role) -> Value {
    json!({
        "node_id": id(number), "hostname": format!("s{number}"), "address": "", "swarm": true,
        "manager": is_manager(number, role), "agent": "0.1.0", "changed": 1,
        "engine": { "version": "26.1.5", "api_min": "1.24", "api_max": "1.45" },
        "guarded": guarded(number),
        "clock_ms": u64::try_from(skep::platform::clock::now().as_millis()).unwrap_or_default(),
    })
}

/// As much as an agent in a container of a service has.
fn guarded(number: usize) -> Value {
    let named =
        |kind: &str| json!({ "id": format!("{kind}{number:060}"), "names": ["skep_agent"] });
    // All agents are tasks of one service.
    let shared = |kind: &str| json!({ "id": format!("{kind}{:060}", 0), "names": ["skep_agent"] });
    json!({
        "containers": [named("c")], "images": [named("i")], "volumes": ["skep_state"],
        "networks": [shared("n")], "services": [shared("s")], "secrets": [shared("x")],
        "configs": [shared("y")], "paths": ["/var/lib/skep", "/run/secrets/skep_secret"],
        "marks": {},
    })
}

fn row(number: usize, role: Role, crowd: SocketAddr, cluster: &str) -> Value {
    let identity = identity(number, role);
    json!({
        "id": identity["node_id"], "hostname": identity["hostname"],
        "manager": identity["manager"], "state": "ready", "availability": "active",
        "agent": {
            "version": "0.1.0", "changed": 1, "address": crowd.to_string(), "cluster": cluster,
            "engine": identity["engine"], "guarded": identity["guarded"], "clock_skew_ms": 0,
        },
    })
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        body: body.to_string().into_bytes().into(),
    }
}

fn number(machine: Ipv4Addr) -> usize {
    let [_, _, high, low] = machine.octets();
    (usize::from(high) * 256 + usize::from(low)).saturating_sub(1)
}

impl Cluster {
    pub(crate) async fn start(
        skep: &Path,
        helper: &Helper,
        size: usize,
        role: Role,
    ) -> anyhow::Result<Self> {
        let others = size - 1;
        let crowd = crowd(helper, others, role).await?;
        let name = format!("{role}-{size}");
        let own = id(others);
        let engine = FakeEngine::node("own")
            .id(&own)
            .manager(role == Role::Manager)
            .interval(Duration::from_secs(86_400));
        let engine = engine.start().await?;
        let mut nodes: Vec<_> = (0..others)
            .map(|n| {
                let word = if is_manager(n, role) {
                    "manager"
                } else {
                    "worker"
                };
                fixture::node(&id(n), &format!("s{n}"), word)
            })
            .collect();
        nodes.push(fixture::node(&own, "own", &role.to_string()));
        engine.set_answer("GET", "/nodes", 200, json!(nodes));
        let address = free_address().await?;
        let all: Vec<_> = (0..others)
            .map(|n| crowd.address(NETWORK, n).to_string())
            .collect();
        let config = helper.folder.join(format!("{name}.yaml"));
        fs::write(
            &config,
            format!(
                "listen: [{{ address: \"{address}\" }}]\nengine: unix://{}\nstate_dir: {}\n\
                 cluster:\n  secret_file: {}\n  discover: [\"static:{}\"]\n",
                engine.socket().display(),
                helper.folder.join(format!("state-{name}")).display(),
                helper.secret.display(),
                all.join(","),
            ),
        )?;
        let mut command = Command::new(skep);
        command.args(["serve", "--config"]).arg(config);
        let log = helper.folder.join(format!("{name}.log"));
        let began = Instant::now();
        let mut agent = Process::start(command, &log)?;
        agent.listens(address, &log).await?;
        let door = Door::open(address).await?;
        let operator = helper.operator(door.address)?;
        Ok(Self {
            size,
            role,
            agent,
            engine,
            crowd,
            door,
            operator,
            began,
        })
    }

    /// Waits until the agent sees all nodes; returns how long that took, and how many
    /// it does not see.
    pub(crate) async fn complete(&self) -> anyhow::Result<(Duration, usize)> {
        let mut seen = 0;
        while self.began.elapsed() < COMPLETE {
            let answer = self.operator.get("/skep/v1/nodes").await?;
            let nodes = answer.json()?;
            let nodes = nodes["nodes"].as_array().context("no nodes")?;
            seen = nodes.iter().filter(|node| node["state"] == "ready").count();
            if seen == self.size {
                let took = self.began.elapsed();
                sleep(SETTLE).await;
                return Ok((took, 0));
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok((COMPLETE, self.size.saturating_sub(seen)))
    }

    /// The calls of the others to this agent, until they are dropped.
    pub(crate) async fn traffic(&self, helper: &Helper) -> anyhow::Result<JoinSet<()>> {
        let mut calls = JoinSet::new();
        let prober = helper.agent(self.door.address, None)?;
        // All others together probe it as often as it probes others.
        let pause = INTERVAL / SAMPLE;
        calls.spawn(async move {
            loop {
                sleep(pause).await;
                if let Err(e) = prober.get("/skep/v1/identity").await {
                    let _ = crate::say(&format!("a probe of the agent failed: {e}"));
                }
            }
        });
        if self.role == Role::Manager {
            // A third of all agents follows its table, and so do the other managers.
            for n in 0..(self.size / MANAGERS).max(2) {
                let follower = helper.agent(self.door.address, Some(&id(self.size - 1)))?;
                let begin = WAIT.mul_f64(n as f64 / self.size as f64 * MANAGERS as f64);
                calls.spawn(async move {
                    sleep(begin / 3).await;
                    while follow(&follower).await.is_ok() {}
                });
            }
            sleep(WAIT / 2).await;
        }
        Ok(calls)
    }
}

/// Follows the agent's table over one connection.
async fn follow(follower: &Caller) -> anyhow::Result<()> {
    let mut connection = follower.client.connect().await?;
    let mut since = String::new();
    loop {
        let target = format!("/skep/v1/members?wait={}{since}", WAIT.as_secs());
        let fields = follower.sign(&target)?;
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = connection.request("GET", &target, &fields, b"").await?;
        let table = answer.json()?;
        let revision = table["revision"].as_str().context("no revision")?;
        since = format!("&since={revision}");
    }
}

async fn crowd(helper: &Helper, others: usize, role: Role) -> anyhow::Result<Crowd> {
    let credentials = Credentials {
        certificate: &helper.leaf.cert_der,
        key: &helper.leaf.key_pkcs8,
        authority: helper.generation.ca_der(),
    };
    let cluster = helper.generation.fingerprint().to_owned();
    let whole: Arc<OnceLock<Reply>> = Arc::default();
    let port: Arc<OnceLock<u16>> = Arc::default();
    let (table, at) = (whole.clone(), port.clone());
    let lists = Lists::default();
    let answer: Answer = Arc::new(move |machine, head| {
        let n = number(machine);
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let path = target.split('?').next().unwrap_or_default().to_owned();
        if path != "/skep/v1/members" {
            let reply = match path.as_str() {
                "/skep/v1/identity" => reply(200, &identity(n, role)),
                _ if path.ends_with("/containers/json") => {
                    let rows = Rows::asked_by(&target);
                    let reply = lists.of(n, rows);
                    let pause = if rows.are_long && n == 0 {
                        SLOWEST
                    } else {
                        Duration::ZERO
                    };
                    return Box::pin(async move {
                        sleep(pause).await;
                        reply
                    });
                }
                _ => reply(404, &json!({ "message": "No such container" })),
            };
            return Box::pin(async move { reply });
        }
        if target.contains("since=") {
            let nothing = json!({
                "revision": "0000000000000001-1", "whole": false, "listed": true, "nodes": [],
            });
            return Box::pin(async move {
                sleep(WAIT).await;
                reply(200, &nothing)
            });
        }
        let port = *at.get().unwrap_or(&0);
        let whole = table.get_or_init(|| {
            let address = |n| SocketAddr::from((address(n), port));
            let rows: Vec<_> = (0..others)
                .map(|n| row(n, role, address(n), &cluster))
                .collect();
            reply(
                200,
                &json!({
                    "revision": "0000000000000001-1", "whole": true, "listed": true,
                    "nodes": rows,
                }),
            )
        });
        let whole = whole.clone();
        Box::pin(async move { whole })
    });
    let crowd = Crowd::start(credentials, answer).await?;
    let _ = port.set(crowd.port());
    Ok(crowd)
}

/// The address of a stand-in, as [`Crowd::address`] gives it.
fn address(number: usize) -> Ipv4Addr {
    let [_, _, high, low] = u32::try_from(number + 1).unwrap_or_default().to_be_bytes();
    Ipv4Addr::new(127, NETWORK, high, low)
}

/// The lists of the nodes, each written once.
#[derive(Default)]
struct Lists(Mutex<HashMap<(usize, usize), Reply>>);

impl Lists {
    fn of(&self, number: usize, rows: Rows) -> Reply {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let list = lists.entry((number, rows.of_each));
        list.or_insert_with(|| reply(200, &list_of(number, rows)))
            .clone()
    }
}

/// The list of one node.
fn list_of(number: usize, rows: Rows) -> Value {
    let rows = (0..rows.of_each).map(|row| {
        let id = format!("{:064x}", number * 1000 + row);
        // Newest first, and those of all nodes in turn.
        let created = 1_700_000_000 - i64::try_from(row).unwrap_or_default();
        let mut container = fixture::container(&id, &format!("c{number}-{row}"), created, 0);
        if rows.are_long {
            let labels = (0..16).map(|n| (format!("com.example.label.{n}"), "x".repeat(90)));
            container["Labels"] = labels.map(|(name, value)| (name, json!(value))).collect();
        }
        container
    });
    json!(rows.collect::<Vec<_>>())
}
