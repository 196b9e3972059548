//! Bulk data in one direction: `cp`, and `save` into `load`, with a limit on the agents' memory.

use std::fs;

use super::cluster::{Agent, Lab};
use super::command::task;

const ENTRY: usize = 2;

/// The memory that an agent may use while data flows through it, in KiB.
const MEMORY: u64 = 64 << 10;

pub(crate) fn cp_works_in_both_directions(lab: &Lab) {
    let (there, back) = (lab.file("there"), lab.file("back"));
    let (there, back) = (there.display().to_string(), back.display().to_string());
    task("sh", "-c")
        .arg(format!("head -c 5000000 /dev/urandom > {there}"))
        .ok();
    for container in ["web2", "web3"] {
        let docker = lab.docker(ENTRY);
        docker
            .cmd("cp")
            .arg(&there)
            .arg(format!("{container}:/tmp/copy"))
            .ok();
        docker
            .cmd("cp")
            .arg(format!("{container}:/tmp/copy"))
            .arg(&back)
            .ok();
        assert!(
            fs::read(&there).ok() == fs::read(&back).ok(),
            "{container}: other bytes came back"
        );
        let refusal = docker
            .cmd("cp")
            .arg(format!("{container}:/none"))
            .arg(&back)
            .run()
            .refused();
        assert!(refusal.contains("/none"), "{refusal}");
    }
}

/// From node3 through the agents of node3, node2, and node1 to node1.
pub(crate) fn half_a_gigabyte_moves_between_nodes_in_little_memory(lab: &Lab) {
    let engine = lab.engine(3);
    let make = "run --name maker busybox dd if=/dev/urandom of=/blob bs=1M count=500";
    engine.cmd(make).within(60).ok();
    let id = engine.cmd("commit maker big").within(60).ok();
    engine.ok("rm maker");
    let agents: Vec<_> = lab.numbers().map(|node| lab.agent(node)).collect();
    agents.iter().for_each(Agent::forget_peak);

    let save = lab.docker_for(ENTRY, "node3").cmd("save big").within(90);
    let load = lab.docker_for(ENTRY, "node1").cmd("load -q").within(90);
    let pipe = format!("set -o pipefail; {} | {}", save.line(), load.line());
    let done = task("bash", "-c").arg(pipe).within(90).run();
    let peaks: Vec<_> = agents.iter().map(|agent| agent.memory("VmHWM")).collect();
    let took = done.took;
    done.ok();

    // Compares the file in the layer on the disks of both nodes.
    let inspect = "image inspect --format {{.Id}}|{{.GraphDriver.Data.UpperDir}} big";
    let [from, to] = [3, 1].map(|node| lab.engine(node).ok(inspect));
    let blob = |output: &str| {
        output
            .split_once('|')
            .map(|(_, folder)| format!("{folder}/blob"))
    };
    assert!(from.starts_with(&id) && to.starts_with(&id), "{from}\n{to}");
    let compare = task("cmp", "").arg(blob(&from).expect("a folder"));
    compare.arg(blob(&to).expect("a folder")).ok();
    for node in [1, 3] {
        lab.engine(node).ok("rmi big");
    }
    crate::say(&format!(
        "500 MB from node3 to node1 in {took:.1?}; the agents had at most {peaks:?} KiB"
    ));
    assert!(peaks.iter().all(|peak| *peak < MEMORY), "{peaks:?}");
}
