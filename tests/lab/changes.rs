//! Changes to a cluster in use: roles change, agents are replaced.

use std::time::{Duration, Instant};

use super::cluster::Lab;
use super::wait::eventually;

/// The seconds in which every agent must notice a change of role.
const NOTICED: u64 = 15;

pub(crate) fn every_agent_notices_a_change_of_role(lab: &Lab) {
    let agents: Vec<_> = lab
        .numbers()
        .map(|node| lab.agent(node).container)
        .collect();
    for (verb, role) in [("promote", "manager"), ("demote", "worker")] {
        lab.docker(2).ok(&format!("node {verb} node3"));
        let noticed = || {
            let roles: Vec<_> = lab
                .numbers()
                .map(|entry| lab.node(entry, "node3").role)
                .collect();
            roles
                .iter()
                .all(|r| r == role)
                .then_some(())
                .ok_or(format!("{roles:?}"))
        };
        eventually(NOTICED, &format!("node3 is a {role}"), noticed);
        let manager = lab.get(3, "/services");
        assert_eq!(manager.status, 200, "{manager:?}");
        let by = if role == "manager" { "node3" } else { "node1" };
        assert!(manager.header("skep-node").contains(by), "{manager:?}");
    }
    let after: Vec<_> = lab
        .numbers()
        .map(|node| lab.agent(node).container)
        .collect();
    assert_eq!(agents, after, "no agent restarts for it");
}

/// As in an update of the service: the agent gets a stop signal while it carries streams to two nodes.
pub(crate) fn an_agent_finishes_open_streams_after_a_stop_signal(lab: &Lab) {
    let docker = lab.connected(&format!("{},{}", lab.url(2), lab.url(3)), None);
    let agent = lab.agent(2).container;
    let [here, elsewhere] = ["web2", "web3"].map(|container| {
        let exec = docker.cmd("exec").arg(container).arg_each("sh -c");
        let exec = exec
            .arg("echo begun; sleep 3; echo ok; exit 5")
            .background();
        exec.line_with("begun", Duration::from_secs(5));
        exec
    });
    let engine = lab.engine(2);
    let begun = Instant::now();
    let stop = engine.cmd("stop --time 20").arg(&agent).within(30);
    let stop = stop.background();
    let signalled = || {
        let log = engine.cmd("logs").arg(&agent).run();
        let log = log.text() + &log.err;
        log.contains("ending when").then_some(()).ok_or(log)
    };
    eventually(3, "the signal has arrived", signalled);
    let list = lab.get(2, "/containers/json");
    assert_eq!(list.status, 200, "it still answers: {list:?}");
    here.line_with("ok", Duration::from_secs(5));
    assert_eq!(stop.end().0, 0);
    let waited = begun.elapsed();
    // The client requests the exit code after the end of the stream. The other agent still accepts that request, and
    // knows the exit code for its own node.
    assert_eq!(elsewhere.end(), (5, vec!["ok".to_owned()]));
    let expected = Duration::from_secs(2)..Duration::from_secs(8);
    assert!(
        expected.contains(&waited),
        "the agent ended after {waited:?}"
    );
    let code = engine
        .cmd("inspect --format {{.State.ExitCode}}")
        .arg(&agent)
        .ok();
    assert_eq!(code, "0");
    lab.replaced(2, &agent);
    lab.all_ready(45);
}
