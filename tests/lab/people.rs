//! People come and go while the agents run: in the shared lab, and where the manager has the oldest engine.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use super::cluster::Lab;
use super::command::{Task, task};
use super::wait::eventually;

/// The name of the lab with the old manager.
pub(crate) const NAME: &str = "people";

/// The releases of Debian that have the engines of nodes 1 to 3; the first is the manager's.
const SUITES: &str = "bookworm,trixie,forky";

static OLD: LazyLock<Lab> = LazyLock::new(|| {
    let lab = Lab::up_with_engines(NAME, SUITES);
    lab.lab("deploy").within(120).ok();
    lab.all_ready(60);
    lab
});

/// The seconds within which a change is in force everywhere.
const IN_FORCE: u64 = 5;

/// The operator's command, through a worker.
fn operator(lab: &Lab, words: &str) -> Task {
    lab.skep(words).arg("--to").arg(lab.url(2)).within(60)
}

/// The docker CLI at a node's agent, with the files of a person.
fn docker(lab: &Lab, node: usize, folder: &Path, words: &str) -> Task {
    let file = |name: &str| folder.join(name).display().to_string();
    task("/usr/bin/docker", "--tlsverify --tlscacert")
        .arg(file("ca.pem"))
        .arg("--tlscert")
        .arg(file("cert.pem"))
        .arg("--tlskey")
        .arg(file("key.pem"))
        .arg("-H")
        .arg(format!("tcp://{}:9001", lab.address(node)))
        .arg_each(words)
        .within(60)
}

fn configs(lab: &Lab) -> String {
    lab.engine(1).ok("config ls --format {{.Name}}")
}

fn come_and_go(lab: &Lab) {
    let added = operator(lab, "user add erin --policy read-only").ok();
    let mut words = added.split_whitespace();
    let invitation = words.find(|word| word.starts_with("skep1."));
    let invitation = invitation.expect("an invitation").to_owned();
    let folder = lab.file("erin");
    let join = |out: &Path| {
        let join = task(super::cluster::skep(), "join").arg(&invitation);
        join.arg("--out").arg(out.display().to_string()).within(60)
    };
    join(&folder).ok();
    let again = join(&lab.file("again")).run().refused();
    assert!(again.contains("used already"), "{again}");
    let names = configs(lab);
    assert!(
        names.contains("skep-people-1") && names.contains("skep-joined-"),
        "{names}"
    );
    for node in lab.numbers() {
        let may = || {
            let list = docker(lab, node, &folder, "ps").run();
            list.text()
                .contains("CONTAINER ID")
                .then_some(())
                .ok_or(list.to_string())
        };
        eventually(IN_FORCE, &format!("erin may read at node{node}"), may);
    }
    // The line for a shell, as it was printed, with the stock tools.
    let added = operator(lab, "user add frank --policy read-only").ok();
    let line = added.lines().find(|line| line.contains("curl -fsS"));
    let line = line.expect("a line for a shell").trim().to_owned();
    let folder_of_frank = lab.file("shell");
    fs::create_dir(&folder_of_frank).expect("a folder of the test");
    let script = format!("cd {} && {line}", folder_of_frank.display());
    task("sh", "-c")
        .arg(script)
        .env("DOCKER_CONFIG", lab.file("contexts").display().to_string())
        .within(60)
        .ok();
    let frank = folder_of_frank.join("frank-skep");
    docker(lab, 3, &frank, "ps").ok();
    // Two operators at once: nothing is lost.
    let adding: Vec<_> = ["gina", "hugo"]
        .map(|name| operator(lab, &format!("user add {name} --policy read-only")).background())
        .into_iter()
        .map(|running| running.end())
        .collect();
    let users = operator(lab, "user list").ok();
    for ((code, lines), name) in adding.iter().zip(["gina", "hugo"]) {
        assert_eq!(*code == 0, users.contains(name), "{lines:?}\n{users}");
    }
    assert!(adding.iter().any(|(code, _)| *code == 0), "{adding:?}");
    // Streams through every node's agent end, and erin is refused everywhere.
    let events: Vec<_> = lab
        .numbers()
        .map(|node| docker(lab, node, &folder, "events").background())
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    operator(lab, "user disable erin").ok();
    for node in lab.numbers() {
        let refused = || {
            let list = docker(lab, node, &folder, "ps").run();
            list.to_string()
                .contains("is disabled")
                .then_some(())
                .ok_or(list.to_string())
        };
        eventually(IN_FORCE, &format!("erin is refused at node{node}"), refused);
    }
    for stream in events {
        let (code, lines) = stream.end();
        assert_ne!(code, 124, "a stream went on: {lines:?}");
    }
    docker(lab, 1, &frank, "ps").ok();
    operator(lab, "user remove erin").ok();
    operator(lab, "user remove frank").ok();
}

pub(crate) fn a_user_joins_and_leaves_while_everything_runs(lab: &Lab) {
    come_and_go(lab);
}

pub(crate) fn the_same_holds_where_the_manager_has_the_oldest_engine(_: &Lab) {
    come_and_go(&OLD);
}
