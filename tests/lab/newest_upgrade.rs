//! A rolling upgrade in its own lab: a Swarm of three nodes with an old engine gets the newest one, node after node. The
//! data of each node stays, with its containers and its place in the Swarm. At every step, the old and the new CLI use
//! every node through every agent.

use std::fs;

use super::cluster::{Docker, Lab};
use super::wait::eventually;

/// The name of the lab.
pub(crate) const NAME: &str = "upgrade";

/// The release with the engine before the upgrade: 20.10, which serves up to 1.41.
const OLD: &str = "bookworm";

/// The engine after it serves nothing below this version, as 29.0 to 29.2 do. So the two have no version in common.
const MIN_API: &str = "1.44";

/// The nodes in the order of their upgrade: the only manager comes between two workers, so that both ages manage both.
const ORDER: [usize; 3] = [3, 1, 2];

/// Long enough for an engine to start, to rejoin the Swarm and to start its agent.
const BACK: u64 = 90;

const STACK: &str = r#"version: "3.8"
services:
  web:
    image: busybox
    command: sleep 86400
    stop_signal: SIGKILL
    deploy: { endpoint_mode: dnsrr }
"#;

pub(crate) fn every_command_works_through_every_node_at_every_step(_: &Lab) {
    let lab = Lab::up_with_engines(NAME, &[OLD; 3].join(","));
    lab.lab("deploy").within(120).ok();
    lab.all_ready(60);
    for node in lab.numbers() {
        // A stop waits 10 s for `sleep` unless it is killed.
        let run = "run --detach --restart always --stop-signal KILL";
        let run = format!("{run} --label tier=web --name web{node} busybox sh -c");
        let web = lab.engine(node).cmd(&run);
        web.arg("echo hello; exec sleep 86400").ok();
    }
    let stack = lab.file("stack.yml");
    fs::write(&stack, STACK).expect("a file of the test");
    let stack = stack.display().to_string();
    for (step, node) in ORDER.into_iter().enumerate() {
        let upgrade = lab.lab(&format!("upgrade {node} newest"));
        let upgrade = upgrade.env("DOCKER_MIN_API_VERSION", MIN_API);
        upgrade.within(120).ok();
        lab.all_ready(BACK);
        let apis = || lab.nodes(1).into_iter().map(|node| node.api);
        eventually(20, "every agent knows the range of the engine", || {
            let new = apis().filter(|api| api.starts_with(&format!("{MIN_API}-")));
            (new.count() == step + 1)
                .then_some(())
                .ok_or_else(|| format!("{:?}", lab.nodes(1)))
        });
        for entry in lab.numbers() {
            for (age, docker) in [
                ("old", lab.docker(entry)),
                ("new", lab.docker(entry).newest()),
            ] {
                eventually(20, "the webs run again", || {
                    let webs = docker.sorted("ps --filter label=tier=web --format {{.Names}}");
                    (webs == ["web1", "web2", "web3"])
                        .then_some(())
                        .ok_or_else(|| format!("{webs:?}"))
                });
                every_command_works(&lab, &docker, &stack, &format!("{age}{entry}"));
            }
        }
    }
}

/// Every command of the CLI works, on every node. `name` is that of a new stack.
fn every_command_works(lab: &Lab, docker: &Docker, stack: &str, name: &str) {
    for node in lab.numbers() {
        let web = format!("web{node}");
        let inspect = docker.ok(&format!("inspect --format {{{{.Name}}}} {web}"));
        assert_eq!(inspect, format!("/{web}"));
        let exec = docker.cmd("exec -i").arg(&web).arg("cat").input("in");
        assert_eq!(exec.ok(), "in");
        assert!(docker.ok(&format!("logs {web}")).contains("hello"));
    }
    assert_eq!(docker.ok("run --rm busybox echo out"), "out");
    let nodes = docker.sorted("node ls --format {{.Hostname}}|{{.Status}}");
    assert_eq!(nodes, ["node1|Ready", "node2|Ready", "node3|Ready"]);
    let deploy = docker.cmd("stack deploy --resolve-image never -c");
    deploy.arg(stack).arg(name).within(60).ok();
    let service = format!("{name}_web");
    eventually(60, "the service runs", || {
        let services = docker.ok("service ls --format {{.Name}}|{{.Replicas}}");
        let runs = services
            .lines()
            .any(|line| line == format!("{service}|1/1"));
        runs.then_some(()).ok_or(services)
    });
    docker.ok(&format!("stack rm {name}"));
}
