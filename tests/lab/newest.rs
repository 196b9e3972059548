//! The newest engine, which stores images in containerd, as the manager of a Swarm with two older engines: the lab of the
//! policies.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Docker, Lab};
use super::policies::DEPLOYED;

/// The node with the newest engine, and one with the oldest.
const NEW: usize = 1;
const OLD: usize = 3;

/// A version that only the newest engine serves.
const NEWEST: &str = "1.56";

const MAC: &str = "02:42:ac:11:00:77";

/// The newest CLI at the agent of a node.
fn newest(lab: &Lab, entry: usize) -> Docker {
    lab.docker(entry).newest()
}

/// `run` on this node, with these words after the options.
fn run(docker: &Docker, node: usize, options: &str, words: &str) -> String {
    let run = format!("run --rm --pull never --label skep.node=node{node}");
    docker.cmd(&run).arg_each(options).arg_each(words).ok()
}

pub(crate) fn every_agent_finds_the_newest_engine(_: &Lab) {
    let lab = &*DEPLOYED;
    for entry in lab.numbers() {
        let api = lab.node(entry, "node1").api;
        assert!(api.ends_with("-1.56"), "{api}");
    }
    let info = lab.engine(NEW).ok("info --format {{.DriverStatus}}");
    assert!(info.contains("io.containerd.snapshotter"), "{info}");
}

/// The nodes that have an image, in order.
fn nodes_of(image: &Value) -> Vec<&str> {
    let nodes = image["Portainer"]["Agent"]["Nodes"].as_array();
    let mut nodes: Vec<_> = nodes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    nodes.sort_unstable();
    nodes
}

pub(crate) fn an_image_is_one_row_for_each_store(_: &Lab) {
    let lab = &*DEPLOYED;
    for entry in lab.numbers() {
        let images = lab.get(entry, "/images/json").list();
        let busybox = |image: &&Value| image["RepoTags"].to_string().contains("\"busybox:latest\"");
        let mut nodes: Vec<_> = images.iter().filter(busybox).map(nodes_of).collect();
        nodes.sort();
        assert_eq!(nodes, [vec!["node1"], vec!["node2", "node3"]]);
        let manifests = lab.get(entry, &format!("/v{NEWEST}/images/json?manifests=1"));
        assert_eq!(manifests.header("skep-missing"), "");
        let manifests = manifests.list();
        let of = |node: &str| {
            let images = manifests.iter().filter(busybox);
            let found = images.filter(|image| nodes_of(image).contains(&node));
            found.map(|i| i["Manifests"].is_array()).collect::<Vec<_>>()
        };
        assert_eq!((of("node1"), of("node2")), (vec![true], vec![false]));
    }
}

pub(crate) fn a_container_gets_its_image_from_an_engine_with_another_store(_: &Lab) {
    let lab = &*DEPLOYED;
    for (name, from, to) in [("from-new", NEW, OLD), ("from-old", OLD, NEW)] {
        let engine = lab.engine(from);
        let commit = engine
            .cmd("commit --change")
            .arg(format!("ENV from={from}"));
        commit.arg_each(&format!("web{from} {name}:1")).ok();
        let docker = lab.docker(2);
        let there = run(&docker, to, "", &format!("{name}:1 busybox env"));
        let own = format!("from={from}");
        assert!(there.lines().any(|line| line == own), "{name}: {there}");
        // It is the same image, so there is nothing to copy, and nothing to choose.
        let spread = lab.skep("spread").arg(format!("{name}:1"));
        spread.arg("--to").arg(lab.url(2)).ok();
        docker.ok(&format!("rmi {name}:1"));
    }
}

pub(crate) fn disk_usage_is_complete_in_every_version(_: &Lab) {
    let lab = &*DEPLOYED;
    for entry in lab.numbers() {
        let get = |path: &str| {
            let answer = lab.get(entry, path);
            let whole = (answer.status, answer.header("skep-missing"));
            assert_eq!(whole, (200, ""), "{path}: {answer:?}");
            answer.json()
        };
        let old = get("/v1.41/system/df");
        let (new, verbose) = (
            get(&format!("/v{NEWEST}/system/df")),
            get(&format!("/v{NEWEST}/system/df?verbose=1")),
        );
        for (list, usage) in [
            ("Images", "ImageUsage"),
            ("Containers", "ContainerUsage"),
            ("Volumes", "VolumeUsage"),
        ] {
            let count = old[list].as_array().map_or(0, Vec::len);
            assert_eq!(new[usage]["TotalCount"], count, "{usage}: {new}");
            assert_eq!(new[list].as_array().map_or(0, Vec::len), count, "{new}");
            let items = verbose[usage]["Items"].as_array().map_or(0, Vec::len);
            assert_eq!(items, count, "{usage}: {verbose}");
            assert_eq!(verbose.get(list), None, "{verbose}");
        }
        for docker in [lab.docker(entry), newest(lab, entry)] {
            assert!(docker.ok("system df").contains("Images"));
            assert!(docker.ok("system df --verbose").contains("web3"));
        }
    }
}

pub(crate) fn a_mac_address_arrives_at_every_engine(_: &Lab) {
    let lab = &*DEPLOYED;
    let cat = "busybox cat /sys/class/net/eth0/address";
    let option = format!("--mac-address {MAC}");
    for entry in lab.numbers() {
        for node in lab.numbers() {
            // The old CLI sends the container's.
            let old = run(&lab.docker(entry), node, &option, cat);
            assert_eq!(old, MAC, "node{entry} node{node}");
            // New clients send that of the endpoint. The newest CLI does so in every version, also in one without it.
            let name = format!("mac{entry}{node}");
            let docker = lab.docker(entry);
            let body = json!({
                "Image": "busybox",
                "Cmd": ["cat", "/sys/class/net/eth0/address"],
                "Labels": { "skep.node": format!("node{node}") },
                "HostConfig": { "NetworkMode": "default", "AutoRemove": true },
                "NetworkingConfig": { "EndpointsConfig": { "default": { "MacAddress": MAC } } },
            });
            let path = format!("/v{NEWEST}/containers/create?name={name}");
            let created = docker.post(&path, &body.to_string());
            assert!(created.contains("\"Id\""), "{created}");
            let new = docker.ok(&format!("start --attach {name}"));
            assert_eq!(new, MAC, "node{entry} node{node}");
        }
    }
}

pub(crate) fn events_of_the_newest_engine_arrive_in_every_version(_: &Lab) {
    let lab = &*DEPLOYED;
    for docker in [lab.docker(2), newest(lab, 2)] {
        let events = docker.cmd("events --filter event=create --format {{.Actor.Attributes.name}}");
        let events = events.background();
        // The stream begins when its head has come, which the CLI does not say.
        let run = |node: usize| {
            let name = format!("short{node}");
            run(&docker, node, &format!("--name {name}"), "busybox true");
            events.line_with(&name, Duration::from_secs(20));
        };
        for node in lab.numbers() {
            run(node);
        }
    }
}
