//! Stock clients, each with a whole sequence from the first look to the last removal: directly at an engine, and through
//! every agent of a Swarm, compared step by step. Then the same while one node is drained, and while one is cut off.
//!
//! The sequences are in `tests/clients`, whose `prepare` installs the clients. They run with `SKEP_CLIENTS=quick`; with
//! `SKEP_CLIENTS=all`, those that were built from source take part too.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::cluster::{Lab, repository};
use super::command::{Running, task};
use super::faults::{BACK, Undo};
use super::wait::eventually;

/// The name of the lab.
pub(crate) const NAME: &str = "clients";

/// The node that is drained or cut off.
const AWAY: usize = 3;

/// The seconds that a sequence may take; on an idle machine it takes some twenty.
const SEQUENCE: u32 = 600;

/// The seconds that a registry of the lab serves.
const LIFETIME: u32 = 1800;

/// Clients that install within seconds, and those that are built from source.
const QUICK: [&str; 5] = [
    "docker-cli",
    "compose-1",
    "docker-py-6",
    "docker-py-7",
    "dockerode",
];
const BUILT: [&str; 5] = [
    "docker-cli-newest",
    "compose-5",
    "testcontainers-go",
    "docker-java",
    "ansible",
];

/// Presets whose clients run here, with what a person adds to `allow` for the whole sequence.
const PRESETS: [(&str, &str, &str); 2] = [
    ("compose", "compose-1", "build"),
    (
        "testcontainers",
        "testcontainers-go",
        "build, 'DELETE /images/*'",
    ),
];

/// The lab with a registry on every node, which the first test that needs it brings up.
static PLACE: LazyLock<Place> = LazyLock::new(Place::up);

struct Place {
    lab: Lab,
    clients: Vec<Client>,
    /// The outcomes at an engine, by client.
    direct: Mutex<BTreeMap<&'static str, Vec<Step>>>,
    /// They serve as long as these exist.
    _registries: Mutex<Vec<Running>>,
}

/// An installed client.
struct Client {
    name: &'static str,
    version: String,
    run: PathBuf,
}

/// One line of a sequence: the step and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: String,
    outcome: String,
}

impl Place {
    fn up() -> Self {
        let lab = Lab::up(NAME, "--nodes 3 --managers 1");
        lab.lab("deploy").within(120).ok();
        let saved = lab.file("busybox.tar");
        let saved = saved.display().to_string();
        lab.engine(1).cmd("save -o").arg(&saved).arg("busybox").ok();
        let program = repository().join("tests/clients/registry.py");
        let registry = |node| {
            let exec = lab.lab(&format!("exec {node} python3"));
            let exec = exec.arg(program.display().to_string()).arg(&saved);
            let registry = exec.within(LIFETIME).background();
            registry.line_with("ready", Duration::from_secs(20));
            registry
        };
        let registries = lab.numbers().map(registry).collect::<Vec<_>>();
        lab.all_ready(60);
        Self {
            lab,
            clients: clients(),
            direct: Mutex::default(),
            _registries: Mutex::new(registries),
        }
    }

    /// The sequence at a manager's engine, without an agent.
    fn direct(&self, client: &Client) -> Vec<Step> {
        let direct = || self.direct.lock().unwrap_or_else(PoisonError::into_inner);
        // Other clients run meanwhile.
        if let Some(steps) = direct().get(client.name) {
            return steps.clone();
        }
        let steps = self.sequence(client, &self.lab.engine(1).socket(), "direct");
        direct().insert(client.name, steps.clone());
        steps
    }

    /// Runs the client's sequence at this socket. Every run has another name.
    fn sequence(&self, client: &Client, socket: &str, place: &str) -> Vec<Step> {
        let name = format!("{}-{place}", client.name);
        let run = task(client.run.display().to_string(), "");
        let config = self.lab.file("clients-config");
        let done = run
            .env("DOCKER_HOST", format!("unix://{socket}"))
            .env("DOCKER_CONFIG", config.display().to_string())
            .env("SEQUENCE", &name)
            .within(SEQUENCE)
            .run();
        let text = done.text();
        assert_eq!(done.code, 0, "{name}: {done}");
        let step = |line: &str| {
            let (step, outcome) = line.split_once('\t')?;
            Some(Step {
                name: step.to_owned(),
                outcome: outcome.replace(&name, "NAME"),
            })
        };
        let steps: Vec<_> = text.lines().filter_map(step).collect();
        assert!(steps.len() > 10, "{name}: {done}");
        crate::say(&format!(
            "{name}: {} steps in {:.1?}",
            steps.len(),
            done.took
        ));
        steps
    }
}

/// Whether the sequences run: they take minutes, and a network for the installation.
fn are_wanted() -> bool {
    let wanted = env::var("SKEP_CLIENTS").is_ok_and(|value| !value.is_empty());
    if !wanted {
        crate::say("the clients are left out: SKEP_CLIENTS=quick, or `make clients`");
    }
    wanted
}

/// Whether the clients that were built from source take part.
fn takes_all() -> bool {
    env::var("SKEP_CLIENTS").is_ok_and(|value| value == "all")
}

/// The clients that are installed here.
fn clients() -> Vec<Client> {
    let cache = repository().join("target/clients");
    let prepare = repository().join("tests/clients/prepare");
    let prepared = task(prepare.display().to_string(), "").within(600).run();
    // It names what it leaves out.
    crate::say(prepared.err.trim_end());
    let built = if takes_all() { &BUILT[..] } else { &[] };
    let installed = |name: &&'static str| {
        let folder = cache.join(name);
        let version = fs::read_to_string(folder.join("version"));
        let Ok(version) = version else {
            crate::say(&format!("{name} is not installed, and left out"));
            return None;
        };
        Some(Client {
            name,
            version: version.trim().to_owned(),
            run: folder.join("run"),
        })
    };
    QUICK.iter().chain(built).filter_map(installed).collect()
}

/// What agents add to the engine's words while a node is away.
const AWAY_NOTE: &str = "(on the nodes that answered; missing: ";

impl Step {
    /// Whether it came to the same. Where a node is away, the agent says so in words of its own, with the same status.
    fn is_like(&self, direct: &Self) -> bool {
        let status = |step: &Self| step.outcome.split('\t').next().map(str::to_owned);
        let in_own_words = self.outcome.contains(AWAY_NOTE);
        self == direct || in_own_words && self.name == direct.name && status(self) == status(direct)
    }
}

/// The steps whose outcome is not that at the engine, as a person reads them.
fn differences(direct: &[Step], through: &[Step]) -> Vec<String> {
    let mut found = Vec::new();
    for (n, step) in through.iter().enumerate() {
        match direct.get(n) {
            Some(other) if step.is_like(other) => {}
            other => found.push(format!(
                "{}: {:?} instead of {:?}",
                step.name,
                step.outcome,
                other.map(|other| &other.outcome)
            )),
        }
    }
    if through.len() < direct.len() {
        found.push(format!(
            "{} steps instead of {}",
            through.len(),
            direct.len()
        ));
    }
    found
}

/// What came of one client: its row of the table, and the differences.
fn outcome(client: &Client, entries: &[usize], state: &str) -> (String, Vec<String>) {
    let place = &*PLACE;
    let direct = place.direct(client);
    let mut differ = BTreeSet::new();
    let mut faults = Vec::new();
    for entry in entries {
        let socket = place.lab.docker(*entry).socket();
        let through = place.sequence(client, &socket, &format!("{state}{entry}"));
        for difference in differences(&direct, &through) {
            differ.insert(*entry);
            faults.push(format!("{} through node{entry}: {difference}", client.name));
        }
    }
    let outcome = match differ.is_empty() {
        true => "the same as directly".to_owned(),
        false => format!("differs through {differ:?}"),
    };
    let (name, version) = (client.name, &client.version);
    let row = format!("{name:<20} {version:<12} {:>5}  {outcome}", direct.len());
    (row, faults)
}

/// Runs every client at each of these agents and compares. They run at the same time, each with objects of its own.
#[track_caller]
fn compare(entries: &[usize], state: &str) {
    let place = &*PLACE;
    let outcomes: Vec<_> = thread::scope(|scope| {
        let run = |client| scope.spawn(move || outcome(client, entries, state));
        let running: Vec<_> = place.clients.iter().map(run).collect();
        let ended = running.into_iter().map(|one| one.join());
        ended.map(|one| one.expect("a sequence that ran")).collect()
    });
    let head = format!("{:<20} {:<12} {:>5}  {state}", "client", "version", "steps");
    let rows = outcomes.iter().map(|(row, _)| row.as_str());
    let table: Vec<_> = [head.as_str()].into_iter().chain(rows).collect();
    crate::say(&table.join("\n"));
    let faults: Vec<_> = outcomes
        .iter()
        .flat_map(|(_, faults)| faults)
        .cloned()
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The agents to call while node3 is away: one of the two, or both where time matters less.
fn left() -> &'static [usize] {
    if takes_all() { &[1, 2] } else { &[2] }
}

pub(crate) fn every_sequence_is_the_same_through_every_agent(_: &Lab) {
    if !are_wanted() {
        return;
    }
    compare(&[1, 2, 3], "agent");
}

pub(crate) fn every_sequence_is_the_same_while_a_node_is_drained(_: &Lab) {
    if !are_wanted() {
        return;
    }
    let lab = &PLACE.lab;
    let update = |availability: &str| {
        let update = format!("node update --availability {availability} node{AWAY}");
        lab.engine(1).cmd(&update).run()
    };
    let active = Undo(|| drop(update("active")));
    update("drain").ok();
    let agents =
        format!("ps -q --filter node=node{AWAY} --filter desired-state=running skep_agent");
    eventually(60, "the drained node has no agent", || {
        let engine = lab.engine(AWAY);
        let left = engine.ok("ps -q --filter label=com.docker.swarm.service.name=skep_agent");
        let tasks = lab.engine(1).ok(&format!("service {agents}"));
        match left.is_empty() && tasks.is_empty() {
            true => Ok(()),
            false => Err(format!("{left}\n{tasks}")),
        }
    });
    compare(left(), "drained");
    drop(active);
    lab.all_ready(BACK);
}

/// The first steps come before the agents know that the node is away.
pub(crate) fn every_sequence_is_the_same_while_a_node_is_cut_off(_: &Lab) {
    if !are_wanted() {
        return;
    }
    let lab = &PLACE.lab;
    let healed = Undo(|| drop(lab.lab(&format!("fault {AWAY} heal")).run()));
    lab.lab(&format!("fault {AWAY} cut")).ok();
    compare(left(), "cut");
    drop(healed);
    lab.all_ready(BACK);
}

/// A client of a preset does everything that it does without a policy. The agent is that of one engine, as most presets
/// are used.
pub(crate) fn a_preset_lets_its_client_do_the_whole_sequence(_: &Lab) {
    if !are_wanted() {
        return;
    }
    let place = &*PLACE;
    let engine = place.lab.engine(1);
    for (preset, name, allow) in PRESETS {
        let Some(client) = place.clients.iter().find(|client| client.name == name) else {
            continue;
        };
        let folder = place.lab.file(preset);
        fs::create_dir_all(&folder).expect("a folder of the test");
        let shown = folder.display();
        let config = format!(
            "listen:\n  - {{ socket: {shown}/preset.sock, policy: own }}\ncluster: {{ mode: off }}\n\
             policies:\n  own: {{ preset: {preset}, allow: [{allow}] }}\n"
        );
        fs::write(folder.join("skep.yaml"), config).expect("a file of the test");
        let run = engine.cmd("run --detach --name preset --volume /var/run/docker.sock:/var/run/docker.sock --volume");
        let run = run
            .arg(format!("{shown}:{shown}"))
            .arg_each("skep:latest serve --config");
        run.arg(format!("{shown}/skep.yaml")).ok();
        let socket = folder.join("preset.sock");
        eventually(30, "the agent listens", || {
            let docker = place.lab.docker_at(socket.clone());
            match docker.cmd("ps").run() {
                done if done.code == 0 => Ok(()),
                done => Err(format!("{done}\n{}", engine.cmd("logs preset").run())),
            }
        });
        let direct = place.direct(client);
        let through = place.sequence(client, &socket.display().to_string(), preset);
        let found = differences(&direct, &through);
        engine.ok("rm --force preset");
        assert!(found.is_empty(), "{preset}: {}", found.join("\n"));
    }
}
