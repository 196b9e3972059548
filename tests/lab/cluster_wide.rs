//! The Swarm as one engine: streams, totals and commands for the whole cluster.

use std::time::Duration;

use super::cluster::Lab;
use super::wait::eventually;

/// The entry node, a worker.
const ENTRY: usize = 2;

/// The time in which live output must arrive.
const SOON: Duration = Duration::from_secs(3);

pub(crate) fn events_of_all_nodes_are_one_stream(lab: &Lab) {
    let shown = "{{.Action}} {{index .Actor.Attributes \"name\"}} {{index .Actor.Attributes \"node.name\"}}";
    let events = lab
        .docker(ENTRY)
        .cmd("events --filter type=container --filter label=heard --format")
        .arg(shown)
        .background();
    for node in lab.numbers() {
        let run = format!("run --rm --label heard --name heard{node} busybox true");
        let arrives = || {
            lab.engine(node).ok(&run);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                events.line_with(&format!("start heard{node} node{node}"), SOON)
            }))
            .map_err(|_| format!("no event of node{node} arrived"))
        };
        eventually(10, "the start event of a container arrives", arrives);
        events.line_with(&format!("die heard{node} node{node}"), SOON);
    }
}

pub(crate) fn past_events_come_in_order_of_time(lab: &Lab) {
    for node in [3, 1, 2, 1, 3] {
        lab.engine(node).ok("run --rm --label past busybox true");
    }
    // The client sends the time in whole seconds.
    std::thread::sleep(Duration::from_secs(1));
    let output = lab
        .docker(ENTRY)
        .cmd("events --since 10m --until 0s --filter label=past --filter event=start --format")
        .arg("{{.TimeNano}}|{{json .Actor.Attributes}}")
        .ok();
    let times: Vec<u64> = output
        .lines()
        .filter_map(|line| line.split_once('|')?.0.parse().ok())
        .collect();
    assert_eq!(times.len(), 5, "{output}");
    assert!(times.is_sorted(), "{output}");
    let nodes: Vec<_> = output
        .lines()
        .filter_map(|line| line.split("\"node.name\":\"").nth(1)?.get(..5))
        .collect();
    assert_eq!(nodes, ["node3", "node1", "node2", "node1", "node3"]);
}

pub(crate) fn a_swarm_event_appears_once(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    lab.docker(2).ok("node promote node3");
    let manages = || {
        let role = lab.node(ENTRY, "node3").role;
        (role == "manager").then_some(()).ok_or(role)
    };
    eventually(20, "node3 is a manager", manages);
    docker.ok("network create --driver overlay reported");
    docker.ok("network rm reported");
    let both_once = || {
        let events = docker.ok("events --since 1m --until 0s --filter scope=swarm --filter network=reported --format {{.Action}}");
        let count = |action| events.lines().filter(|&line| line == action).count();
        let both = (count("create"), count("remove")) == (1, 1);
        both.then_some(()).ok_or(events)
    };
    eventually(5, "both events appear once", both_once);
    lab.docker(2).ok("node demote node3");
    let works = || {
        let role = lab.node(ENTRY, "node3").role;
        (role == "worker").then_some(()).ok_or(role)
    };
    eventually(20, "node3 is a worker", works);
}

pub(crate) fn disk_usage_covers_all_nodes(lab: &Lab) {
    let containers: usize = lab
        .numbers()
        .map(|node| lab.engine(node).ok("ps -aq").lines().count())
        .sum();
    let volumes: usize = lab
        .numbers()
        .map(|node| lab.engine(node).ok("volume ls -q").lines().count())
        .sum();
    let output = lab
        .docker(ENTRY)
        .ok("system df --format {{.Type}}={{.TotalCount}}");
    assert!(
        output.contains(&format!("Containers={containers}\n")),
        "{output}"
    );
    assert!(output.contains(&format!("Volumes={volumes}\n")), "{output}");
}

pub(crate) fn an_overlay_shows_the_containers_of_all_nodes(lab: &Lab) {
    let networks = lab
        .docker(ENTRY)
        .ok("network ls --filter driver=overlay --filter label=com.docker.stack.namespace=skep -q");
    let id = networks.lines().next().expect("the agents' network");
    let output = lab
        .docker(ENTRY)
        .cmd("network inspect --format")
        .arg("{{range .Containers}}{{.Name}} {{end}}")
        .arg(id)
        .ok();
    for node in lab.numbers() {
        let agent = lab.agent(node).container;
        let name = lab
            .engine(node)
            .cmd("inspect --format {{.Name}}")
            .arg(&agent)
            .ok();
        assert!(output.contains(name.trim_start_matches('/')), "{output}");
    }
}

pub(crate) fn an_exec_is_known_to_every_agent(lab: &Lab) {
    let container = lab.engine(3).ok("inspect --format {{.Id}} web3");
    let exec = lab.engine(3).cmd("exec web3 sleep 3").background();
    let path = format!("/containers/{container}/json");
    let started = || {
        let ids = lab.get(1, &path).json()["ExecIDs"].clone();
        ids[0].as_str().map(str::to_owned).ok_or(ids.to_string())
    };
    let (_, id) = eventually(3, "the exec is shown", started);
    for entry in lab.numbers() {
        let answer = lab.get(entry, &format!("/exec/{id}/json"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["ContainerID"], container.as_str());
        assert!(answer.header("skep-node").contains("node3"), "{answer:?}");
    }
    drop(exec);
}

pub(crate) fn an_image_is_loaded_tagged_and_removed_on_all_nodes(lab: &Lab) {
    let everywhere = lab.docker_for(ENTRY, "*");
    let archive = lab.file("everywhere.tar");
    lab.engine(1).ok("tag busybox:latest everywhere:1");
    lab.engine(1)
        .cmd("save everywhere:1 -o")
        .arg(archive.display().to_string())
        .ok();
    lab.engine(1).ok("rmi everywhere:1");
    let output = everywhere
        .cmd("load -i")
        .arg(archive.display().to_string())
        .ok();
    for node in lab.numbers() {
        assert!(output.contains(&format!("node{node}")), "{output}");
    }
    everywhere.ok("tag everywhere:1 everywhere:2");
    for node in lab.numbers() {
        let tags = lab
            .engine(node)
            .sorted("images everywhere --format {{.Tag}}");
        assert_eq!(tags, ["1", "2"], "node{node}");
    }
    everywhere.ok("rmi everywhere:1 everywhere:2");
    for node in lab.numbers() {
        assert_eq!(lab.engine(node).ok("images -q everywhere"), "");
    }
}

pub(crate) fn a_prune_runs_on_one_node_unless_all_are_named(lab: &Lab) {
    let dead = || {
        for node in lab.numbers() {
            lab.engine(node).ok("create --label pruned busybox true");
        }
    };
    let left = || {
        lab.docker(ENTRY)
            .ok("ps -aq --filter label=pruned")
            .lines()
            .count()
    };
    dead();
    let prune = "container prune -f --filter label=pruned";
    lab.docker(ENTRY).ok(prune);
    assert_eq!(left(), 2);
    lab.docker_for(ENTRY, "*").ok(prune);
    assert_eq!(left(), 0);
}

pub(crate) fn a_container_is_created_on_the_node_of_the_objects_it_needs(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let on = |name: &str| {
        let answer = lab.get(ENTRY, &format!("/containers/{name}/json"));
        answer.header("skep-node").to_owned()
    };
    let create = |name: &str, options: &str| {
        docker.ok(&format!("create --name {name} {options} busybox true"));
    };
    create("joins", "--network container:web3");
    create("borrows", "--volumes-from web1");
    create("plain", "");
    assert!(on("joins").contains("node3") && on("borrows").contains("node1"));
    assert!(on("plain").contains("node2"));
    // Node 2 has the volume `single`; `data` is on two other nodes.
    create("stays", "--volume single:/data");
    assert!(on("stays").contains("node2"));
    let refusal = docker
        .cmd("create --network container:web3 --volumes-from web1 busybox true")
        .run()
        .refused();
    assert!(
        refusal.contains("node3") && refusal.contains("node1"),
        "{refusal}"
    );
    docker.ok("rm joins borrows plain stays");
}

pub(crate) fn container_commands_find_a_container_by_its_name(lab: &Lab) {
    let docker = lab.docker(ENTRY);
    let stats = docker.ok("stats --no-stream --format {{.Name}}");
    for web in ["web1", "web2", "web3"] {
        assert!(stats.lines().any(|name| name == web), "{stats}");
    }
    lab.engine(3)
        .cmd("run --detach --name busy busybox sh -c")
        .arg("touch /made; sleep 86400")
        .ok();
    assert!(docker.ok("top busy").contains("sleep"));
    assert!(docker.ok("diff busy").contains("A /made"));
    docker.ok("rename busy busier");
    docker.ok("update --memory 64m --memory-swap 64m busier");
    let memory = lab
        .engine(3)
        .ok("inspect --format {{.HostConfig.Memory}} busier");
    assert_eq!(memory, "67108864");
    docker.ok("pause busier");
    docker.ok("unpause busier");
    let wait = docker.cmd("wait busier").background();
    std::thread::sleep(Duration::from_millis(300));
    docker.ok("kill busier");
    wait.line_with("137", SOON);
    docker.ok("rm busier");
}
