//! The lab for the tests: nodes by number, their engines, their agents, and clients for both.
//!
//! It calls `tests/lab/lab`, which also works on the same lab by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs};

use tempfile::TempDir;

use super::command::{Running, Task, task};
use super::wait::eventually;

/// The port of the agents.
const PORT: u16 = 9001;

/// The longest time that a lab is in use, in seconds.
const LIFETIME: u32 = 900;

/// One lab that is up.
pub(crate) struct Lab {
    name: &'static str,
    /// The output of `lab env`.
    facts: BTreeMap<String, String>,
    /// For sockets and files of the tests.
    folder: TempDir,
    connections: Mutex<BTreeMap<String, Running>>,
}

/// A docker CLI that talks to one socket.
#[derive(Clone)]
pub(crate) struct Docker {
    program: PathBuf,
    socket: PathBuf,
    config: PathBuf,
}

/// A running agent.
pub(crate) struct Agent {
    /// The id of its container.
    pub(crate) container: String,
    /// The id of its process on the host.
    pub(crate) pid: String,
}

/// A line of `skep nodes`.
#[derive(Debug)]
pub(crate) struct Node {
    /// The node id.
    pub(crate) id: String,
    /// Whether this is the entry node.
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

/// Why there is no newest engine, if there is none: building it takes minutes.
pub(crate) fn without_newest_engine() -> Option<String> {
    let check = task(script().display().to_string(), "has-newest").run();
    (check.code != 0).then(|| check.text().trim_end().to_owned())
}

/// The checkout.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program under test.
pub(crate) fn skep() -> String {
    env::var("SKEP").unwrap_or_default()
}

/// Whether the program is a release build. Only then its size matters.
pub(crate) fn is_release() -> bool {
    !skep().contains("/debug/")
}

impl Lab {
    /// Brings a lab up, with the image of skep on every node. Removes the rest of an older lab with this name first.
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

    /// As [`Self::up`], with an engine of each of these Debian releases, which it downloads unless they are there. It
    /// builds the newest engine, which can take long on a busy machine.
    pub(crate) fn up_with_engines(name: &'static str, suites: &str) -> Self {
        task(script().display().to_string(), "engines")
            .arg(suites)
            .env("LAB_NAME", name)
            .within(3600)
            .ok();
        Self::up(name, &format!("--nodes 3 --engines {suites}"))
    }

    /// The lab with this name, if it is up and was marked as usable.
    pub(crate) fn kept(name: &'static str) -> Option<Self> {
        let env = task(script().display().to_string(), "env")
            .env("LAB_NAME", name)
            .run();
        let lab = (env.code == 0).then(|| Self::of(name))?;
        lab.mark().exists().then_some(lab)
    }

    /// Marks the lab as usable for the next run.
    pub(crate) fn keep(&self) {
        fs::write(self.mark(), "").expect("a file in the lab's folder");
    }

    fn mark(&self) -> PathBuf {
        Path::new(self.fact("LAB_DIR")).join("prepared")
    }

    fn of(name: &'static str) -> Self {
        let output = task(script().display().to_string(), "env")
            .env("LAB_NAME", name)
            .ok();
        let plain = |value: &str| value.trim_matches('\'').to_owned();
        let facts: BTreeMap<_, _> = output
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), plain(value)))
            .collect();
        Self {
            name,
            // Inside the lab's folder, so that `lab down` removes it in any case.
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

    /// The URL of a node's agent.
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
            fs::write(&path, self.skep("ca").ok()).expect("a file of the test");
        }
        path.display().to_string()
    }

    /// `skep` with these words and the cluster secret.
    pub(crate) fn skep(&self, words: &str) -> Task {
        task(skep(), words).env("SKEP_SECRET_FILE", self.secret())
    }

    /// The docker CLI at a node's engine, without an agent.
    pub(crate) fn engine(&self, node: usize) -> Docker {
        self.docker_at(self.fact(&format!("LAB_NODE{node}_SOCKET")).into())
    }

    /// The docker CLI at a node's agent, through `skep connect`.
    pub(crate) fn docker(&self, entry: usize) -> Docker {
        self.connected(&self.url(entry), None)
    }

    /// The same, with one node as the target.
    pub(crate) fn docker_for(&self, entry: usize, node: &str) -> Docker {
        self.connected(&self.url(entry), Some(node))
    }

    /// The same with several agents (comma-separated URLs). `skep connect` uses the first one while it answers.
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
            // With the mark, `lab down` ends it even if the tests were killed.
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
        // Debian's CLI has BuildKit built in; others need a plug-in that may be missing.
        let debian = Path::new("/usr/bin/docker");
        let program = if debian.exists() {
            debian
        } else {
            Path::new("docker")
        };
        Docker {
            program: program.into(),
            socket,
            config: self.file("docker-config"),
        }
    }

    /// The agent of a node.
    ///
    /// # Panics
    /// If there is not exactly one running agent.
    #[track_caller]
    pub(crate) fn agent(&self, node: usize) -> Agent {
        self.find_agent(node).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Waits until the Swarm has replaced this agent.
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

    /// The host's id of the process that a container was started for. Engines know only the id in their
    /// own namespace. The container's health check runs beside it, and has the lower id once ids start anew.
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
        list.lines().find(|pid| is_first(pid)).map(str::to_owned)
    }

    /// The whole log of an agent.
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

    /// One node as the agent of `entry` sees it.
    #[track_caller]
    pub(crate) fn node(&self, entry: usize, hostname: &str) -> Node {
        let mut nodes = self.nodes(entry);
        nodes.retain(|node| node.hostname == hostname);
        nodes
            .pop()
            .unwrap_or_else(|| panic!("{hostname} is not known on node{entry}"))
    }

    /// Waits until every agent finds every node ready and lists without missing one; returns the time that took. An
    /// agent that has just been replaced is ready in the tables of the others until they notice.
    #[track_caller]
    pub(crate) fn all_ready(&self, seconds: u64) -> Duration {
        let all = self.numbers().count();
        let ready = || {
            for entry in self.numbers() {
                let table = self.skep("nodes --to").arg(self.url(entry)).run();
                let ready = table
                    .text()
                    .lines()
                    .skip(1)
                    .filter(|l| Node::parse(l).state == "ready")
                    .count();
                if ready != all {
                    return Err(table.to_string());
                }
                let list = self.list_head(entry).run();
                let text = list.text();
                if list.code != 0 || text.to_ascii_lowercase().contains("skep-missing") {
                    return Err(format!("node{entry} lists without a node: {list}"));
                }
            }
            Ok(())
        };
        eventually(seconds, "every agent finds every node ready", ready).0
    }

    fn fact(&self, name: &str) -> &str {
        self.facts
            .get(name)
            .unwrap_or_else(|| panic!("`lab env` does not print {name}"))
    }
}

impl Docker {
    /// The newest CLI, which is built with the newest engine.
    pub(crate) fn newest(mut self) -> Self {
        let root = repository().join("tests/lab/engine-root");
        let root = task(root.display().to_string(), "newest").within(3600).ok();
        self.program = Path::new(&root).join("usr/bin/docker");
        self
    }

    /// The answer to a `POST` of JSON.
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let curl = task("curl", "--silent --show-error --request POST --unix-socket");
        let curl = curl.arg(self.socket.display().to_string());
        let curl = curl.arg_each("--header Content-Type:application/json --data @-");
        curl.arg(format!("http://docker{path}")).input(body).ok()
    }

    /// `docker` with these words.
    pub(crate) fn cmd(&self, words: &str) -> Task {
        task(self.program.display().to_string(), words)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_CONFIG", self.config.display().to_string())
    }

    /// Runs it, expects success, and returns its output.
    #[track_caller]
    pub(crate) fn ok(&self, words: &str) -> String {
        self.cmd(words).ok()
    }

    /// The sorted lines of its output.
    #[track_caller]
    pub(crate) fn sorted(&self, words: &str) -> Vec<String> {
        let output = self.ok(words);
        let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
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

    /// The memory it uses now (`VmRSS`) or used at most (`VmHWM`), in KiB.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the agent runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let digits = line
            .expect("a field of proc(5)")
            .trim()
            .trim_end_matches(" kB");
        digits.parse().expect("a number")
    }

    /// Resets `VmHWM` (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").expect("the agent runs");
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

/// Whether a process has the id 1 in its own namespace.
fn is_first(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut ids = status
        .lines()
        .filter_map(|line| line.strip_prefix("NSpid:"));
    ids.any(|ids| ids.split_whitespace().next_back() == Some("1"))
}
