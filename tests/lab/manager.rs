//! Manager calls through a worker's agent.

use std::fs;

use super::cluster::Lab;
use super::wait::eventually;

/// A worker.
const ENTRY: usize = 2;

const STACK: &str = r#"
version: "3.8"
services:
  sleeper:
    image: busybox
    command: ["sleep", "86400"]
    configs: [word]
    deploy:
      endpoint_mode: dnsrr
      replicas: 2
configs:
  word:
    file: ./word
"#;

pub(crate) fn a_worker_answers_with_a_managers_view(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    assert_eq!(
        docker.sorted("node ls --format {{.Hostname}}"),
        ["node1", "node2", "node3"]
    );
    assert_eq!(
        docker.ok("service ls --format {{.Name}}|{{.Replicas}}"),
        "skep_agent|3/3"
    );
    assert_eq!(
        docker.ok("info --format {{.Name}}|{{.Swarm.ControlAvailable}}|{{.Swarm.Nodes}}"),
        "node1|true|3"
    );
    // Without the agent, the same node refuses.
    let refusal = lab.engine(ENTRY).cmd("service ls").run().refused();
    assert!(refusal.contains("not a swarm manager"), "{refusal}");
}

pub(crate) fn a_stack_is_deployed_and_removed_through_a_worker(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let file = lab.file("stack.yml");
    fs::write(&file, STACK).expect("a file of the test");
    fs::write(lab.file("word"), "hello").expect("a file of the test");
    docker
        .cmd("stack deploy --resolve-image never -c")
        .arg(file.display().to_string())
        .arg("small")
        .ok();
    eventually(20, "the stack runs", || {
        let count = docker.ok("service ls --filter name=small_sleeper --format {{.Replicas}}");
        (count == "2/2").then_some(()).ok_or(count)
    });
    // Its containers are found on every node, under the manager's names.
    let tasks = docker.sorted(
        "ps --no-trunc --filter label=com.docker.stack.namespace=small --format {{.Names}}",
    );
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    for task in &tasks {
        assert_eq!(
            docker.cmd("exec").arg(task).arg_each("cat /word").ok(),
            "hello"
        );
    }
    docker.ok("stack rm small");
    assert_eq!(docker.ok("service ls -q --filter name=small_sleeper"), "");
    assert_eq!(docker.ok("config ls -q --filter name=small_word"), "");
}

pub(crate) fn a_secret_is_created_through_a_worker(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    docker
        .cmd("secret create from_worker -")
        .input("hidden")
        .ok();
    assert_eq!(
        lab.engine(1)
            .ok("secret ls --filter name=from_worker --format {{.Name}}"),
        "from_worker"
    );
    docker.ok("secret rm from_worker");
    assert_eq!(
        lab.engine(1)
            .ok("secret ls --filter name=from_worker --format {{.Name}}"),
        ""
    );
}

pub(crate) fn service_logs_are_available_through_a_worker(lab: &Lab) {
    // From at least one agent: the managers collect the logs of a service.
    let done = lab
        .docker(ENTRY)
        .cmd("service logs --tail 3 skep_agent")
        .run();
    assert_eq!(done.code, 0, "{done}");
    assert!(
        format!("{}{}", done.text(), done.err).contains("skep_agent."),
        "{done}"
    );
}
