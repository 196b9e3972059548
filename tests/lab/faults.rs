//! Faults of cables, engines and agents. Nothing may hang, nothing may be missing without a name, and everything must
//! recover by itself.

use std::time::Duration;

use super::cluster::Lab;
use super::command::Done;
use super::wait::eventually;

const ENTRY: usize = 2;

/// The time that a list waits for a node (`aggregate.deadline`), and a little more.
const DEADLINE: Duration = Duration::from_secs(5);

/// The time until a recovered node answers again. Usually it is seconds. But engines that have given each other up
/// rejoin only once a minute (moby, `rejoinClusterInterval`), and until then the overlay network does not work. An
/// engine that has just restarted may miss the first attempt.
pub(crate) const BACK: u64 = 150;

/// Undoes a fault even if the test fails. It must not panic then.
pub(crate) struct Undo<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Undo<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn webs(lab: &Lab) -> Done {
    let done = lab
        .docker(ENTRY)
        .cmd("ps --filter label=tier=web --format {{.Names}}")
        .run();
    assert!(done.took < DEADLINE, "this took too long: {done}");
    done
}

/// Asserts that lists lack node3's containers and name it as missing.
fn node3_is_missing(lab: &Lab) {
    assert_eq!(webs(lab).ok(), "web2\nweb1");
    let answer = lab.get(ENTRY, "/containers/json");
    assert_eq!(answer.status, 200, "{answer:?}");
    let missing = answer.header("skep-missing");
    assert!(
        missing.contains(" node3 (") && !missing.contains("node1"),
        "{answer:?}"
    );
}

fn all_are_back(lab: &Lab) {
    lab.all_ready(BACK);
    assert_eq!(webs(lab).ok(), "web2\nweb3\nweb1");
    assert_eq!(
        lab.get(ENTRY, "/containers/json").header("skep-missing"),
        ""
    );
}

pub(crate) fn a_disconnected_node_is_named_and_comes_back(lab: &Lab) {
    let healed = Undo(|| drop(lab.lab("fault 3 heal").run()));
    // The entry agent sees the containers of node3.
    all_are_back(lab);
    lab.lab("fault 3 cut").ok();
    // Immediately, before an agent has noticed, and again afterwards.
    node3_is_missing(lab);
    let known = || {
        let state = lab.node(ENTRY, "node3").state;
        (state != "ready").then_some(()).ok_or(state)
    };
    eventually(
        15,
        "the entry agent notices that node3 does not answer",
        known,
    );
    node3_is_missing(lab);
    // The agent cannot know whether the container still exists; the message says so.
    let answer = lab.get(ENTRY, "/containers/web3/json");
    assert_eq!(answer.status, 503, "{answer:?}");
    let message = answer.message();
    assert!(
        message.contains("No such container: web3")
            && message.contains("missing: ")
            && message.contains("node3"),
        "{message}"
    );
    drop(healed);
    all_are_back(lab);
}

pub(crate) fn a_node_with_a_hanging_engine_is_named_and_comes_back(lab: &Lab) {
    let woken = Undo(|| drop(lab.lab("fault 3 cont").run()));
    lab.lab("fault 3 stop").ok();
    node3_is_missing(lab);
    let known = || {
        let state = lab.node(ENTRY, "node3").state;
        (state == "no engine").then_some(()).ok_or(state)
    };
    eventually(
        15,
        "the entry agent notices that node3's engine does not answer",
        known,
    );
    node3_is_missing(lab);
    drop(woken);
    all_are_back(lab);
}

pub(crate) fn a_killed_agent_comes_back(lab: &Lab) {
    let killed = lab.agent(3);
    killed.signal("KILL");
    assert!(webs(lab).ok().starts_with("web2"));
    lab.replaced(3, &killed.container);
    all_are_back(lab);
}

/// The agent of the only manager runs, but does not answer.
pub(crate) fn without_a_manager_only_manager_calls_fail(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let agent = lab.agent(1);
    let woken = Undo(|| agent.signal("CONT"));
    // Leaves connections open on which the agent will not answer.
    for _ in 0..2 {
        docker.ok("service ls");
    }
    agent.signal("STOP");
    let unnoticed = docker.cmd("service ls").run();
    assert!(
        unnoticed.took < 3 * DEADLINE,
        "this took too long: {unnoticed}"
    );
    unnoticed.refused();
    let known = || {
        let state = lab.node(ENTRY, "node1").state;
        (state != "ready").then_some(()).ok_or(state)
    };
    eventually(
        15,
        "the entry agent notices that node1 does not answer",
        known,
    );
    let answer = lab.get(ENTRY, "/services");
    let got = (answer.status, answer.header("content-type"));
    assert_eq!(got, (503, "application/json"), "{answer:?}");
    let message = answer.message();
    let expected = "no manager of this Swarm can be reached from node2: node1";
    assert!(message.contains(expected), "{message}");
    assert!(docker.cmd("service ls").run().refused().contains(expected));
    assert_eq!(webs(lab).ok(), "web2\nweb3");
    drop(woken);
    all_are_back(lab);
    assert_eq!(docker.ok("service ls --format {{.Name}}"), "skep_agent");
}
