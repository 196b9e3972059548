//! `skep bootstrap` from a fresh machine's view: it has only the docker CLI and skep. Each lab is a plain Swarm at the
//! start and at the end of a test.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::cluster::{Docker, Lab, skep};
use super::command::{Task, task};
use super::wait::eventually;

/// The lab with this machine's engines.
pub(crate) const NAME: &str = "boot";

/// The lab whose manager has a newer engine than the others.
pub(crate) const NEWER_NAME: &str = "bootnewer";

static LAB: LazyLock<Lab> = LazyLock::new(|| Lab::up(NAME, "--nodes 3 --managers 1"));

static NEWER: LazyLock<Lab> = LazyLock::new(|| Lab::up_with_engines(NEWER_NAME, "forky,trixie"));

/// The operator's machine, with the engine of node 1 in reach.
struct Machine<'l> {
    lab: &'l Lab,
    home: PathBuf,
}

impl<'l> Machine<'l> {
    fn new(lab: &'l Lab) -> Self {
        let home = lab.file("operator");
        std::fs::create_dir_all(&home).expect("a folder of the test");
        Self { lab, home }
    }

    fn at_home(&self, task: Task) -> Task {
        let home = |name: &str| self.home.join(name).display().to_string();
        task.env("HOME", home(""))
            .env("XDG_CONFIG_HOME", home("config"))
            .env("DOCKER_CONFIG", home("docker"))
            .within(240)
    }

    /// `skep bootstrap` over ssh. In place of ssh, a program runs the command here, for the engine of node 1.
    fn bootstrap_over_ssh(&self, words: &str) -> Task {
        let (bin, socket) = (self.home.join("bin"), self.lab.engine(1).socket());
        std::fs::create_dir_all(&bin).expect("a folder of the test");
        let script = format!(
            "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\n\
             DOCKER_HOST=unix://{socket} exec \"$@\"\n"
        );
        let ssh = bin.join("ssh");
        std::fs::write(&ssh, script).expect("a file of the test");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&ssh, mode).expect("a program of the test");
        let address = format!("ssh://root@{}", self.lab.address(1));
        let program = task(skep(), "bootstrap --host").arg(address);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
        self.at_home(program).env("PATH", path).arg_each(words)
    }

    fn bootstrap(&self, words: &str) -> Task {
        let host = format!("unix://{}", self.lab.engine(1).socket());
        let program = task(skep(), "bootstrap --host").arg(host);
        self.at_home(program).arg_each(words)
    }

    /// The docker CLI with the context that `skep bootstrap` has written.
    fn docker(&self, words: &str) -> String {
        // As `Docker::cmd`: without a socket, so that the context counts.
        let debian = "/usr/bin/docker";
        let program = if PathBuf::from(debian).exists() {
            debian
        } else {
            "docker"
        };
        self.at_home(task(program, "--context skep"))
            .arg_each(words)
            .ok()
    }
}

fn manager(lab: &Lab) -> Docker {
    lab.engine(1)
}

/// Waits until nothing of a cluster is on any node.
fn assert_plain(lab: &Lab) {
    let label = "label=com.docker.stack.namespace=skep";
    for kind in ["service", "secret", "config"] {
        let left = manager(lab).ok(&format!("{kind} ls -q --filter {label}"));
        assert_eq!(left, "", "{kind}");
    }
    eventually(
        60,
        "the containers and networks of the agents are gone",
        || {
            for node in lab.numbers() {
                for list in ["ps -aq", "network ls -q"] {
                    let left = lab.engine(node).ok(&format!("{list} --filter {label}"));
                    if !left.is_empty() {
                        return Err(format!("node{node} {list}: {left}"));
                    }
                }
            }
            Ok(())
        },
    );
}

fn all_of_it(lab: &Lab) {
    let machine = Machine::new(lab);
    manager(lab)
        .cmd("secret create mine -")
        .input("a secret of others")
        .ok();
    let plan = machine.bootstrap("--dry-run").ok();
    assert!(
        plan.contains("node3") && plan.contains("# stack.yml"),
        "{plan}"
    );
    assert_plain(lab);

    let said = machine.bootstrap("").ok();
    assert!(
        said.contains("8/8") && said.contains("on 3 nodes"),
        "{said}"
    );
    let agents = machine.docker("ps --format {{.Names}}");
    let count = agents
        .lines()
        .filter(|name| name.starts_with("skep_agent."))
        .count();
    assert_eq!(count, 3, "{agents}");
    assert_eq!(machine.docker("service ls --format {{.Replicas}}"), "3/3");
    let again = machine.bootstrap("").ok();
    assert!(
        again.contains("nothing in the Swarm was changed"),
        "{again}"
    );
    let check = machine.bootstrap("--check").ok();
    assert!(!check.contains("differs"), "{check}");
    assert_eq!(machine.bootstrap_over_ssh("--check").ok(), check);

    for node in lab.numbers() {
        lab.engine(node).ok("tag skep:latest skep:next");
    }
    let upgraded = machine.bootstrap("--upgrade skep:next").ok();
    assert!(upgraded.contains("all agents run skep:next"), "{upgraded}");
    manager(lab).ok("service update --detach --limit-memory 300M skep_agent");
    let differs = machine.bootstrap("--check").run();
    assert_ne!(differs.code, 0, "{differs}");
    assert!(
        differs.text().contains("MemoryBytes is 314572800"),
        "{differs}"
    );

    machine.bootstrap("--remove").ok();
    assert_plain(lab);
    assert_eq!(manager(lab).ok("secret ls --format {{.Name}}"), "mine");
    manager(lab).ok("secret rm mine");
    let contexts = machine
        .at_home(task("find", ""))
        .arg(machine.home.display().to_string());
    let left = contexts.arg_each("-type f").ok();
    assert!(
        !left.contains("skep/") && !left.contains("meta.json"),
        "{left}"
    );
}

pub(crate) fn a_plain_swarm_is_set_up_checked_upgraded_and_plain_again(_: &Lab) {
    all_of_it(&LAB);
}

pub(crate) fn a_swarm_with_a_newer_manager_is_set_up_checked_upgraded_and_plain_again(_: &Lab) {
    all_of_it(&NEWER);
}

pub(crate) fn a_node_without_the_image_is_named_and_everything_is_taken_back(_: &Lab) {
    let lab = &*LAB;
    let machine = Machine::new(lab);
    lab.engine(2).ok("tag skep:latest skep:kept");
    lab.engine(2).ok("rmi skep:latest");
    let refused = machine.bootstrap("").run();
    lab.engine(2).ok("tag skep:kept skep:latest");
    let reason = refused.refused();
    for part in ["step 6 of 8", "node2", "No such image", "is gone again"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_plain(lab);
}
