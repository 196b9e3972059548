//! Live streams in one direction.

use std::time::Duration;

use super::cluster::Lab;
use super::wait::eventually;

const ENTRY: usize = 2;

/// The time in which live output must arrive.
const SOON: Duration = Duration::from_secs(2);

pub(crate) fn logs_are_followed_live_and_end_when_the_client_leaves(lab: &Lab) {
    let engine = lab.engine(3);
    let loops = "while :; do [ -e /go ] && rm /go && echo gone; sleep 0.05; done";
    let id = engine
        .cmd("run --detach --name talker busybox sh -c")
        .arg(format!("echo ready; {loops}"))
        .ok();
    let logs = lab.docker(ENTRY).cmd("logs -f talker").background();
    logs.line_with("ready", SOON);
    // Twice, so that the first cannot have waited for the second.
    for _ in 0..2 {
        engine.ok("exec talker touch /go");
        logs.line_with("gone", SOON);
    }
    // A request is logged when it ends.
    let path = format!("/containers/{id}/logs ");
    let ended = |node: usize| lab.log(node).contains(&path);
    assert!(!ended(2) && !ended(3));
    drop(logs);
    for node in [2, 3] {
        let over = || {
            ended(node)
                .then_some(())
                .ok_or_else(|| format!("not logged on node{node}"))
        };
        eventually(5, "the log stream ends when the client leaves", over);
    }
    engine.ok("rm -f talker");
}

pub(crate) fn events_arrive_live(lab: &Lab) {
    for (node, docker) in [(2, lab.docker(ENTRY)), (3, lab.docker_for(ENTRY, "node3"))] {
        let events = docker
            .cmd("events --filter container=short --format {{.Action}}")
            .background();
        // The client does not report when it starts to listen.
        let arrives = || {
            lab.engine(node).ok("run --rm --name short busybox true");
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                events.line_with("start", SOON)
            }))
            .map_err(|_| "no start event arrived".to_owned())
        };
        eventually(6, "the start event of a container arrives", arrives);
        events.line_with("die", SOON);
    }
}
