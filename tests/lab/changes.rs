//! What operators do to a cluster that is in use: roles change, agents are replaced.

use std::time::Duration;

use super::cluster::Lab;
use super::wait::eventually;

/// How long a role may be taken for the former one.
const NOTICED: u64 = 15;

pub(crate) fn every_agent_notices_a_change_of_role(lab: &Lab) {
    let agents: Vec<_> = lab
        .numbers()
        .map(|node| lab.agent(node).container)
        .collect();
    for (verb, role) in [("promote", "manager"), ("demote", "worker")] {
        lab.docker(2).ok(&format!("node {verb} node3"));
        let noticed = || {
            let said: Vec<_> = lab
                .numbers()
                .map(|entry| lab.node(entry, "node3").role)
                .collect();
            said.iter()
                .all(|r| r == role)
                .then_some(())
                .ok_or(format!("{said:?}"))
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
    assert_eq!(agents, after, "no agent was restarted for it");
}

/// As when the service is updated: the agent is asked to stop while it carries streams, of its own node and of another.
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
    let stop = engine.cmd("stop --time 20").arg(&agent).within(30).run();
    let waited = stop.took;
    stop.ok();
    here.line_with("ok", Duration::from_secs(1));
    // The exit code is asked for after the end of the stream. The other agent, which still takes requests, can say it
    // of its own node.
    assert_eq!(elsewhere.end(), (5, vec!["ok".to_owned()]));
    let patience = Duration::from_secs(2)..Duration::from_secs(8);
    assert!(
        patience.contains(&waited),
        "the agent has ended after {waited:?}"
    );
    let code = engine
        .cmd("inspect --format {{.State.ExitCode}}")
        .arg(&agent)
        .ok();
    assert_eq!(code, "0");
    lab.replaced(2, &agent);
    lab.all_ready(45);
}
