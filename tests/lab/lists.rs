//! Lists of the whole cluster through a worker.

use serde_json::Value;

use super::cluster::Lab;
use super::fixtures::{DATA, WEBS};

/// The entry node, a worker.
const ENTRY: usize = 2;

const NAMES: &str = "--format {{.Names}}";

fn node_name(element: &Value) -> &str {
    element["Portainer"]["Agent"]["NodeName"]
        .as_str()
        .unwrap_or_default()
}

/// The creation times and ids of all containers from the engines themselves, newest first.
fn created(lab: &Lab) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for node in lab.numbers() {
        let engine = lab.engine(node);
        let ids = engine.ok("ps -aq --no-trunc").replace('\n', " ");
        let output = engine
            .cmd("inspect --format {{.Created}}|{{.Id}}")
            .arg_each(&ids)
            .ok();
        // To the second, as in lists.
        all.extend(output.lines().filter_map(|line| {
            let (when, id) = line.split_once('|')?;
            Some((when.get(..19)?.to_owned(), id.to_owned()))
        }));
    }
    all.sort_by(|a, b| b.0.cmp(&a.0));
    all
}

pub(crate) fn ps_shows_the_containers_of_all_nodes(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let running = docker.sorted(&format!("ps {NAMES}"));
    for web in WEBS {
        assert!(running.iter().any(|name| name == web), "{running:?}");
    }
    assert_eq!(
        running
            .iter()
            .filter(|name| name.starts_with("skep_agent."))
            .count(),
        3,
        "{running:?}"
    );
    assert!(!running.contains(&"ended".to_owned()), "{running:?}");
    assert!(
        docker
            .sorted(&format!("ps -a {NAMES}"))
            .contains(&"ended".to_owned())
    );
}

pub(crate) fn filters_apply_to_all_nodes(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let filtered = |filter: &str| docker.ok(&format!("ps -a {NAMES} --filter {filter}"));
    // Newest first, across all nodes.
    assert_eq!(filtered("label=tier=web"), "web2\nweb3\nweb1");
    assert_eq!(filtered("status=exited --filter label=tier"), "ended");
    assert_eq!(filtered("name=web3"), "web3");
    assert_eq!(filtered("label=tier=none"), "");
}

pub(crate) fn a_limit_applies_across_all_nodes(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let created = created(lab);
    for limit in [1, 2, 4] {
        let output = docker.ok(&format!("ps -n {limit} --no-trunc -q"));
        let times = output
            .lines()
            .map(|id| created.iter().find(|(_, i)| i == id).map(|(when, _)| when));
        let newest = created.iter().take(limit).map(|(when, _)| Some(when));
        assert!(times.eq(newest), "{output}\n{created:?}");
    }
}

pub(crate) fn before_and_since_accept_containers_of_other_nodes(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let filtered = |filter: &str| {
        docker.ok(&format!(
            "ps {NAMES} --filter label=tier=web --filter {filter}"
        ))
    };
    assert_eq!(filtered("since=web1"), "web2\nweb3");
    assert_eq!(filtered("since=web3"), "web2");
    assert_eq!(filtered("before=web3"), "web1");
    assert_eq!(filtered("before=web2"), "web3\nweb1");
    let refusal = docker.cmd("ps --filter since=unknown").run().refused();
    assert!(refusal.contains("unknown"), "{refusal}");
}

pub(crate) fn every_container_names_its_node(lab: &Lab) {
    let answer = lab.get(ENTRY, "/containers/json?all=1");
    assert!(answer.header("skep-node").contains("node2"), "{answer:?}");
    assert_eq!(answer.header("skep-missing"), "");
    assert_eq!(answer.header("content-type"), "application/json");
    let list = answer.list();
    assert_eq!(list.len(), created(lab).len());
    assert!(
        list.is_sorted_by_key(|c| -c["Created"].as_i64().expect("seconds")),
        "{}",
        answer.body
    );
    for container in &list {
        let node = node_name(container);
        let number = node
            .trim_start_matches("node")
            .parse()
            .expect("a hostname of the lab");
        let id = container["Id"].as_str().expect("an id");
        lab.engine(number)
            .cmd("inspect --format {{.Id}}")
            .arg(id)
            .ok();
        let node_id = container["Portainer"]["Agent"]["NodeID"].as_str();
        assert_eq!(
            node_id,
            Some(&*lab.engine(number).ok("info --format {{.Swarm.NodeID}}")),
            "{container}"
        );
    }
}

pub(crate) fn an_image_on_all_nodes_is_one_row_that_names_them(lab: &Lab) {
    assert_eq!(
        lab.docker(ENTRY)
            .ok("images busybox --format {{.Repository}}:{{.Tag}}"),
        "busybox:latest"
    );
    lab.engine(3).ok("tag busybox:latest only:three");
    let images = lab.get(ENTRY, "/images/json").list();
    let image = images
        .iter()
        .find(|image| image["RepoTags"].to_string().contains("busybox:latest"));
    let image = image.expect("busybox").clone();
    lab.engine(3).ok("rmi only:three");
    let mut nodes: Vec<_> = image["Portainer"]["Agent"]["Nodes"]
        .as_array()
        .expect("a list")
        .to_vec();
    nodes.sort_by_key(Value::to_string);
    assert_eq!(
        Value::from(nodes),
        serde_json::json!(["node1", "node2", "node3"])
    );
    assert!(
        image["RepoTags"].to_string().contains("only:three"),
        "{image}"
    );
}

pub(crate) fn volumes_with_the_same_name_on_two_nodes_are_two_rows(lab: &Lab) {
    assert_eq!(
        lab.docker(ENTRY).sorted("volume ls -q"),
        ["data", "data", "single"]
    );
    let answer = lab.get(ENTRY, "/volumes");
    let list = answer.json()["Volumes"]
        .as_array()
        .expect("a list")
        .to_vec();
    let data = list.iter().filter(|volume| volume["Name"] == "data");
    let mut nodes: Vec<_> = data.map(|volume| node_name(volume).to_owned()).collect();
    nodes.sort();
    assert_eq!(nodes, DATA.map(|node| format!("node{node}")));
}

pub(crate) fn an_overlay_is_one_row_and_a_bridge_one_row_per_node(lab: &Lab) {
    let names = lab.docker(ENTRY).sorted("network ls --format {{.Name}}");
    let count = |name: &str| names.iter().filter(|n| *n == name).count();
    assert_eq!(
        (count("skep_agents"), count("bridge"), count("host")),
        (1, 3, 3),
        "{names:?}"
    );
}
