//! The lab as the tests see it: nodes by number, their engines, their agents, and ways in.
//!
//! All of it is `tests/lab/lab` underneath, which a person can use on the same lab.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;

use super::command::{Running, Task, task};
use super::wait::eventually;

/// Where agents listen.
const PORT: u16 = 9001;

/// The longest that a lab is in use.
const LIFETIME: u32 = 900;

/// One lab that is up.
pub(crate) struct Lab {
    name: &'static str,
    /// What `lab env` says.
    facts: BTreeMap<String, String>,
    /// For sockets and files of the tests.
    folder: TempDir,
    connections: Mutex<BTreeMap<String, Running>>,
}

/// A docker CLI that talks to one socket.
#[derive(Clone)]
pub(crate) struct Docker {
    socket: PathBuf,
    config: PathBuf,
}

/// A running agent.
pub(crate) struct Agent {
    /// The id of its container.
    pub(crate) container: String,
    /// Its process, as the host numbers it.
    pub(crate) pid: String,
}

/// A line of `skep nodes`.
#[derive(Debug)]
pub(crate) struct Node {
    /// The node id.
    pub(crate) id: String,
    /// Whether this is the node that was asked.
    pub(crate) here: bool,
    pub(crate) hostname: String,
    pub(crate) role: String,
    pub(crate) engine: String,
    pub(crate) api: String,
    pub(crate) state: String,
}

/// The script that makes labs.
pub(crate) fn script() -> PathBuf {
    repository().join("tests/lab/lab")
}

/// The checkout.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test.
pub(crate) fn skep() -> String {
    env::var("SKEP").unwrap_or_default()
}

/// Whether the program was built to be shipped: its size counts only then.
pub(crate) fn is_release() -> bool {
    !skep().contains("/debug/")
}

impl Lab {
    /// Brings a lab up, with the image of skep on every node. What is left of one by this name goes first.
    pub(crate) fn up(name: &'static str, options: &str) -> Self {
        let run = |words: &str| {
            task(script().display().to_string(), words)
                .env("LAB_NAME", name)
                .within(90)
        };
        run("down").ok();
        run("up").arg_each(options).ok();
        run("image").arg(skep()).ok();
        Self::of(name)
    }

    /// The lab by this name, if it is up and was left in order.
    pub(crate) fn kept(name: &'static str) -> Option<Self> {
        let env = task(script().display().to_string(), "env")
            .env("LAB_NAME", name)
            .run();
        let lab = (env.code == 0).then(|| Self::of(name))?;
        lab.mark().exists().then_some(lab)
    }

    /// From now on it is in order.
    pub(crate) fn keep(&self) {
        fs::write(self.mark(), "").expect("a file in the lab's folder");
    }

    fn mark(&self) -> PathBuf {
        Path::new(self.fact("LAB_DIR")).join("prepared")
    }

    fn of(name: &'static str) -> Self {
        let said = task(script().display().to_string(), "env")
            .env("LAB_NAME", name)
            .ok();
        let plain = |value: &str| value.trim_matches('\'').to_owned();
        let facts: BTreeMap<_, _> = said
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), plain(value)))
            .collect();
        Self {
            name,
            // Inside of the lab's own, so that it goes with it whatever happens.
            folder: TempDir::new_in(&facts["LAB_DIR"]).expect("a folder in the lab's"),
            facts,
            connections: Mutex::default(),
        }
    }

    /// The numbers of the nodes.
    pub(crate) fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.fact("LAB_NODES").parse().expect("a number")
    }

    /// `tests/lab/lab` with these words, for this lab.
    pub(crate) fn lab(&self, words: &str) -> Task {
        task(script().display().to_string(), words)
            .env("LAB_NAME", self.name)
            .within(60)
    }

    /// The host address of a node.
    pub(crate) fn address(&self, node: usize) -> &str {
        self.fact(&format!("LAB_NODE{node}_ADDRESS"))
    }

    /// Where the agent of a node listens.
    pub(crate) fn url(&self, node: usize) -> String {
        format!("https://{}:{PORT}", self.address(node))
    }

    /// The file with the cluster's secret.
    pub(crate) fn secret(&self) -> &str {
        self.fact("LAB_SECRET_FILE")
    }

    /// A path for a file of a test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The CA of the cluster, in a file.
    pub(crate) fn ca(&self) -> String {
        let path = self.file("ca.pem");
        if !path.exists() {
            fs::write(&path, self.skep("ca").ok()).expect("a file of ours");
        }
        path.display().to_string()
    }

    /// `skep` with these words, as the holder of the cluster's secret.
    pub(crate) fn skep(&self, words: &str) -> Task {
        task(skep(), words).env("SKEP_SECRET_FILE", self.secret())
    }

    /// The docker CLI at a node's engine, past all agents.
    pub(crate) fn engine(&self, node: usize) -> Docker {
        self.docker_at(self.fact(&format!("LAB_NODE{node}_SOCKET")).into())
    }

    /// The docker CLI at a node's agent, by way of `skep connect`.
    pub(crate) fn docker(&self, entry: usize) -> Docker {
        self.connected(&self.url(entry), None)
    }

    /// The same, but all of it is for one node.
    pub(crate) fn docker_for(&self, entry: usize, node: &str) -> Docker {
        self.connected(&self.url(entry), Some(node))
    }

    /// The same with these agents (URLs with commas between), the first of which is asked while it answers.
    pub(crate) fn connected(&self, to: &str, node: Option<&str>) -> Docker {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = format!("{to} {node:?}");
        let socket = self.file(&format!(
            "{}.sock",
            key.replace(|c: char| !c.is_ascii_alphanumeric(), "")
        ));
        connections.entry(key).or_insert_with(|| {
            let listen = format!("unix://{}", socket.display());
            let mut connect = self
                .skep("connect --to")
                .arg(to)
                .arg("--listen")
                .arg(listen);
            if let Some(node) = node {
                connect = connect.arg("--node").arg(node);
            }
            // With the mark, `lab down` ends it also if the tests were killed.
            let mark = self.fact("LAB_DIR").to_owned();
            let connect = connect
                .env("SKEP_LAB_MARK", mark)
                .within(LIFETIME)
                .background();
            connect.line_with("to use it", Duration::from_secs(10));
            connect
        });
        self.docker_at(socket)
    }

    /// The docker CLI at this socket.
    pub(crate) fn docker_at(&self, socket: PathBuf) -> Docker {
        let config = self.file("docker-config");
        Docker { socket, config }
    }

    /// The agent of a node.
    ///
    /// # Panics
    /// If not exactly one runs there.
    #[track_caller]
    pub(crate) fn agent(&self, node: usize) -> Agent {
        self.find_agent(node).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Waits until the Swarm has put another agent in the place of this one.
    #[track_caller]
    pub(crate) fn replaced(&self, node: usize, container: &str) {
        let another = || match self.find_agent(node) {
            Ok(agent) if agent.container != container => Ok(()),
            Ok(_) => Err("it still runs".to_owned()),
            Err(reason) => Err(reason),
        };
        eventually(20, &format!("another agent runs on node{node}"), another);
    }

    fn find_agent(&self, node: usize) -> Result<Agent, String> {
        let label = "label=com.docker.swarm.service.name=skep_agent";
        let found = self
            .engine(node)
            .ok(&format!("ps -q --no-trunc --filter {label}"));
        let [container] = found.lines().collect::<Vec<_>>()[..] else {
            return Err(format!("node{node} has not one agent: {found:?}"));
        };
        let pid = self.process(node, container);
        Ok(Agent {
            pid: pid.ok_or_else(|| format!("{container} on node{node} has no process"))?,
            container: container.to_owned(),
        })
    }

    /// The first process of a container, as the host numbers it. Engines know only the number in their own namespace.
    pub(crate) fn process(&self, node: usize, container: &str) -> Option<String> {
        let place = format!("skep-{}/node{node}/{container}/cgroup.procs", self.name);
        let roots = [
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup/pids",
        ];
        let list = roots
            .iter()
            .find_map(|root| fs::read_to_string(format!("{root}/{place}")).ok())?;
        list.lines().next().map(str::to_owned)
    }

    /// All that an agent has logged since its start.
    pub(crate) fn log(&self, node: usize) -> String {
        let agent = self.agent(node);
        self.engine(node).cmd("logs").arg(agent.container).run().err
    }

    /// The cluster as the agent of `entry` sees it.
    #[track_caller]
    pub(crate) fn nodes(&self, entry: usize) -> Vec<Node> {
        let table = self.skep("nodes --to").arg(self.url(entry)).ok();
        table.lines().skip(1).map(Node::parse).collect()
    }

    /// What one agent says of one node.
    #[track_caller]
    pub(crate) fn node(&self, entry: usize, hostname: &str) -> Node {
        let mut nodes = self.nodes(entry);
        nodes.retain(|node| node.hostname == hostname);
        nodes
            .pop()
            .unwrap_or_else(|| panic!("{hostname} is not known on node{entry}"))
    }

    /// Waits until every agent finds every node ready; how long that took.
    #[track_caller]
    pub(crate) fn all_ready(&self, seconds: u64) -> Duration {
        let all = self.numbers().count();
        let ready = || {
            for entry in self.numbers() {
                let said = self.skep("nodes --to").arg(self.url(entry)).run();
                let ready = said
                    .text()
                    .lines()
                    .skip(1)
                    .filter(|l| Node::parse(l).state == "ready")
                    .count();
                if ready != all {
                    return Err(said.to_string());
                }
            }
            Ok(())
        };
        eventually(seconds, "every agent finds every node ready", ready).0
    }

    fn fact(&self, name: &str) -> &str {
        self.facts
            .get(name)
            .unwrap_or_else(|| panic!("`lab env` does not say {name}"))
    }
}

impl Docker {
    /// `docker` with these words.
    pub(crate) fn cmd(&self, words: &str) -> Task {
        // Debian's CLI has BuildKit built in; others need a plug-in that may not be there.
        let debian = "/usr/bin/docker";
        let program = if Path::new(debian).exists() {
            debian
        } else {
            "docker"
        };
        task(program, words)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_CONFIG", self.config.display().to_string())
    }

    /// Runs it, expects success, and gives what it said.
    #[track_caller]
    pub(crate) fn ok(&self, words: &str) -> String {
        self.cmd(words).ok()
    }

    /// The lines of what it said, sorted.
    #[track_caller]
    pub(crate) fn sorted(&self, words: &str) -> Vec<String> {
        let said = self.ok(words);
        let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The socket, for other programs than the docker CLI.
    pub(crate) fn socket(&self) -> String {
        self.socket.display().to_string()
    }
}

impl Agent {
    /// Sends its process a signal, if it still runs.
    pub(crate) fn signal(&self, name: &str) {
        drop(task("kill", "-s").arg(name).arg(&self.pid).run());
    }

    /// The memory it has (`VmRSS`) or at most had (`VmHWM`) in use, in KiB.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let digits = line
            .expect("a field of proc(5)")
            .trim()
            .trim_end_matches(" kB");
        digits.parse().expect("a number")
    }

    /// From here on, `VmHWM` counts anew (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").expect("it runs");
    }
}

impl Node {
    fn parse(line: &str) -> Self {
        let cells: Vec<_> = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect();
        let cell = |n: usize| cells.get(n).copied().unwrap_or_default().to_owned();
        let id = cell(0);
        Self {
            here: id.ends_with(" *"),
            id: id.trim_end_matches(" *").to_owned(),
            hostname: cell(1),
            role: cell(2),
            engine: cell(3),
            api: cell(4),
            state: cell(6),
        }
    }
}
