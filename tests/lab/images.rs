//! Images that only one node has: a container on another node gets its image from there, and a call spreads one to the
//! nodes of a service.

use std::fs;

use super::cluster::Lab;
use super::command::Done;
use super::faults::{BACK, Undo};
use super::wait::eventually;

/// Makes an image that only this node has, with its name as the content of `/word`. Returns its id.
fn make(lab: &Lab, node: usize, name: &str, word: &str) -> String {
    let engine = lab.engine(node);
    let run = engine.cmd("run --name maker busybox sh -c");
    run.arg(format!("echo {word} > /word")).ok();
    let id = engine.cmd("commit maker").arg(name).ok();
    engine.ok("rm maker");
    id
}

/// The id of an image on a node's engine.
fn id(lab: &Lab, node: usize, name: &str) -> Option<String> {
    let inspect = lab.engine(node).cmd("image inspect --format {{.Id}}");
    let inspect = inspect.arg(name).run();
    (inspect.code == 0).then(|| inspect.ok())
}

/// Removes an image from all nodes that have it.
fn remove(lab: &Lab, name: &str) {
    for node in lab.numbers().filter(|node| id(lab, *node, name).is_some()) {
        lab.engine(node).ok(&format!("rmi --force {name}"));
    }
}

fn spread(lab: &Lab, entry: usize, words: &str) -> Done {
    let spread = lab.skep("spread").arg_each(words).arg("--to");
    spread.arg(lab.url(entry)).within(60).run()
}

/// The CLI pulls if the answer says that there is no image: it must not come to that.
fn assert_runs_without_a_pull(done: Done, word: &str) {
    assert!(!done.err.contains("Unable to find image"), "{done}");
    assert_eq!(done.ok(), word);
}

/// For all pairs of nodes, through every agent.
pub(crate) fn a_container_gets_its_image_from_the_node_that_has_it(lab: &Lab) {
    for entry in lab.numbers() {
        for from in lab.numbers() {
            let name = format!("only{entry}{from}:1");
            let made = make(lab, from, &name, "copied");
            let to = from % 3 + 1;
            let run = lab.docker(entry).cmd("run --rm --label");
            let run = run.arg(format!("skep.node=node{to}")).arg(&name);
            let done = run.arg_each("cat /word").within(60).run();
            assert_runs_without_a_pull(done, "copied");
            assert_eq!(id(lab, to, &name), Some(made), "node{to}");
            let third = to % 3 + 1;
            assert_eq!(id(lab, third, &name), None, "node{third}");
            remove(lab, &name);
        }
    }
}

/// The natural case: the volume of an application is on one node, and its new image was built on another.
pub(crate) fn a_container_beside_its_volume_gets_an_image_that_was_built_elsewhere(lab: &Lab) {
    let folder = lab.file("built-elsewhere");
    fs::create_dir_all(&folder).expect("a folder of the test");
    let file = "FROM busybox\nRUN echo built > /word\n";
    fs::write(folder.join("Dockerfile"), file).expect("a file of the test");
    let build = lab.docker(1).cmd("build --quiet --tag elsewhere");
    let build = build.arg(folder.display().to_string());
    build.env("DOCKER_BUILDKIT", "0").within(60).ok();
    assert_eq!(id(lab, 2, "elsewhere"), None);

    let run = lab
        .docker(3)
        .cmd("run --rm --volume single:/data elsewhere cat /word");
    assert_runs_without_a_pull(run.within(60).run(), "built");
    assert_eq!(id(lab, 2, "elsewhere"), id(lab, 1, "elsewhere"));
    // `create` and `run --detach` ask alike.
    remove(lab, "elsewhere:latest");
    make(lab, 3, "elsewhere", "again");
    let create = "create --name beside --volume single:/data elsewhere cat /word";
    lab.docker(1).cmd(create).within(60).ok();
    assert_eq!(lab.docker(2).ok("start --attach beside"), "again");
    lab.docker(1).ok("rm beside");
    remove(lab, "elsewhere:latest");
}

pub(crate) fn different_images_of_one_name_are_named_and_none_is_copied(lab: &Lab) {
    let ids = [1, 3].map(|node| make(lab, node, "two:1", &format!("of{node}")));
    for entry in lab.numbers() {
        let create = "create --pull never --label skep.node=node2 two:1";
        let refusal = lab.docker(entry).cmd(create).run().refused();
        let is_named = |part: &str| assert!(refusal.contains(part), "{part}: {refusal}");
        is_named("No such image: two:1");
        for (node, id) in [1, 3].iter().zip(&ids) {
            is_named(&format!("node{node} has {id}"));
        }
    }
    assert_eq!(id(lab, 2, "two:1"), None);
    // A person chooses one.
    let refusal = spread(lab, 2, "two:1 --node node2").refused();
    assert!(refusal.contains("choose one with `from`"), "{refusal}");
    spread(lab, 2, "two:1 --node node2 --from node3").ok();
    assert_eq!(id(lab, 2, "two:1").as_ref(), Some(&ids[1]));
    assert_eq!(id(lab, 1, "two:1").as_ref(), Some(&ids[0]));
    remove(lab, "two:1");
}

pub(crate) fn a_built_image_is_spread_to_the_nodes_of_a_service(lab: &Lab) {
    let made = make(lab, 2, "app:1", "spread");
    let refusal = spread(lab, 1, "app:1 --node node9").refused();
    assert!(refusal.contains("no such node: \"node9\""), "{refusal}");
    let refusal = spread(lab, 1, "app:none").refused();
    assert!(refusal.contains("No such image: app:none"), "{refusal}");

    let outcome = spread(lab, 3, "app:1 --node node1").ok();
    assert!(outcome.contains("node1: Copying app:1"), "{outcome}");
    assert_eq!(id(lab, 1, "app:1").as_ref(), Some(&made));
    assert_eq!(id(lab, 3, "app:1"), None);
    spread(lab, 3, "app:1").ok();
    for node in lab.numbers() {
        assert_eq!(id(lab, node, "app:1").as_ref(), Some(&made), "node{node}");
    }
    // Where it is everywhere, there is nothing to do.
    spread(lab, 1, "app:1").ok();

    let create = "service create --detach --quiet --name spread --mode global --no-resolve-image \
                  --endpoint-mode dnsrr app:1 sleep 86400";
    lab.docker(2).ok(create);
    eventually(60, "the service has a task on every node", || {
        let ps = "service ps --filter desired-state=running --format";
        let ps = lab
            .docker(2)
            .cmd(ps)
            .arg("{{.Node}} {{.CurrentState}}")
            .arg("spread");
        let tasks = ps.ok();
        let running = tasks.lines().filter(|task| task.contains(" Running "));
        match running.count() {
            3 => Ok(()),
            _ => Err(tasks),
        }
    });
    lab.docker(2).ok("service rm spread");
    eventually(60, "the tasks have ended", || {
        let left = lab
            .docker(1)
            .ok("ps -aq --filter label=com.docker.swarm.service.name=spread");
        left.is_empty().then_some(()).ok_or(left)
    });
    remove(lab, "app:1");
}

pub(crate) fn a_node_that_is_away_is_named_and_the_others_get_the_image(lab: &Lab) {
    let made = make(lab, 1, "away:1", "word");
    let healed = Undo(|| drop(lab.lab("fault 3 heal").run()));
    lab.lab("fault 3 cut").ok();
    let done = spread(lab, 2, "away:1");
    assert!(done.err.contains("node3"), "{done}");
    done.refused();
    assert_eq!(id(lab, 2, "away:1"), Some(made));
    // A container on a node that answers is not held up by one that does not.
    remove(lab, "away:1");
    make(lab, 1, "away:1", "word");
    let run = "run --rm --label skep.node=node2 away:1 cat /word";
    assert_runs_without_a_pull(lab.docker(2).cmd(run).within(60).run(), "word");
    drop(healed);
    lab.all_ready(BACK);
    spread(lab, 2, "away:1").ok();
    assert!(id(lab, 3, "away:1").is_some());
    remove(lab, "away:1");
}
