//! Totals of the whole cluster: disk usage, `/info` if the configuration asks for
//! them, and the containers of a Swarm network.

use std::path::Path;
use std::time::Duration;

use crate::common::node::Plan;
use crate::common::{ClusterBuilder, manager, with_cluster, worker};
use serde_json::{Value, json};
use skep::config::{Config, InfoOf};
use skep_bed::{Behaviour, FakeEngine, fixture};

fn usage(layers: i64, image: &str) -> Value {
    json!({
        "LayersSize": layers,
        "Images": [{ "Id": image, "Size": layers, "SharedSize": 0, "Containers": 1 }],
        "Containers": [{ "Id": format!("c-{image}"), "SizeRw": 1 }],
        "Volumes": null,
        "BuildCache": [],
    })
}

fn with_usage() -> [Plan; 3] {
    let plans = [(manager("n1"), 100), (worker("n2"), 20), (worker("n3"), 3)];
    plans.map(|(plan, size)| {
        plan.engine(|e| e.answer("GET", "/system/df", 200, usage(size, &format!("i{size}"))))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_usage_sums_all_nodes_and_names_the_node_of_every_row() {
    with_cluster(with_usage(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let answer = bed.operator(entry).get("/system/df").await.unwrap();
            assert_eq!(answer.header("Skep-Missing"), None);
            let usage = answer.json().unwrap();
            assert_eq!(usage["LayersSize"], 123, "{entry}");
            let mut rows: Vec<_> = usage["Images"]
                .as_array()
                .unwrap()
                .iter()
                .map(place)
                .collect();
            rows.sort();
            assert_eq!(rows, ["i100@n1", "i20@n2", "i3@n3"]);
            assert_eq!(usage["Containers"].as_array().unwrap().len(), 3);
        }
        let answer = bed.operator("n1").get_from("n2", "/system/df").await;
        assert_eq!(answer.unwrap().json().unwrap(), usage(20, "i20"));
    })
    .await;
}

fn place(row: &Value) -> String {
    let node = row["Portainer"]["Agent"]["NodeName"].as_str();
    let id = row["Id"].as_str().expect("an id");
    format!("{id}@{}", node.expect("a decoration"))
}

/// A deadline that is enough for lists but not for disk usage.
fn short(_: &str, _: &Path, config: &mut Config) {
    config.aggregate.deadline = Duration::from_millis(500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_usage_has_a_longer_deadline_than_a_list_and_names_failing_nodes() {
    ClusterBuilder::of(with_usage())
        .configure(short)
        .run(async |bed| {
            let engine = |node: &str| -> &FakeEngine { &bed.node(node).engine };
            let slow = Behaviour::Slow(Duration::from_secs(2));
            engine("n1").set_behaviour_of("/system/df", slow);
            engine("n2").set_behaviour_of("/system/df", slow);
            engine("n3").set_behaviour_of("/system/df", Behaviour::Status(500));
            for entry in ["n1", "n3"] {
                let answer = bed.operator(entry).get("/system/df").await.unwrap();
                let missing = answer.header("Skep-Missing").unwrap();
                assert!(missing.starts_with(&bed.node("n3").id), "{missing}");
                assert!(!missing.contains("n2"), "{missing}");
                assert_eq!(answer.json().unwrap()["LayersSize"], 120);
            }
        })
        .await;
}

fn with_containers() -> [Plan; 3] {
    let having = |plan: Plan, count: i64| {
        let row = |n| fixture::container(&format!("c{count}-{n}"), "x", n, 0);
        plan.engine(|e| e.containers((0..count).map(row).collect()))
    };
    [
        having(manager("n1"), 1),
        having(worker("n2"), 20),
        having(worker("n3"), 300),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn info_comes_from_one_manager_unless_configured_for_the_cluster() {
    with_cluster(with_containers(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let info = bed.operator(entry).get("/info").await.unwrap();
            let info = info.json().unwrap();
            assert_eq!(
                (&info["Name"], &info["Containers"]),
                (&json!("n1"), &json!(1))
            );
            assert_eq!(info.get("SystemStatus"), None);
        }
    })
    .await;
    let totals = |_: &str, _: &Path, config: &mut Config| {
        config.aggregate.info = InfoOf::Cluster;
    };
    ClusterBuilder::of(with_containers())
        .configure(totals)
        .run(async |bed| {
            for entry in ["n1", "n2", "n3"] {
                let answer = bed.operator(entry).get("/v1.41/info").await.unwrap();
                assert_eq!(answer.header("Skep-Missing"), None);
                let info = answer.json().unwrap();
                assert_eq!(info["Containers"], 321, "{entry}");
                assert_eq!(info["ContainersRunning"], 321);
                assert_eq!(info["NCPU"], 6);
                assert_eq!(info["MemTotal"], 3 * 4_294_967_296_u64);
                let lines = info["SystemStatus"].to_string();
                for node in &bed.nodes {
                    assert!(lines.contains(&node.id), "{lines}");
                }
                // `docker stack deploy` through a worker needs this.
                assert_eq!(info["Swarm"]["ControlAvailable"], true, "{entry}");
            }
            let answer = bed.operator("n1").get_from("n2", "/info").await.unwrap();
            assert_eq!(answer.json().unwrap()["Containers"], 20);
            let header = [("X-PortainerAgent-ManagerOperation", "1")];
            let answer = bed.operator("n2").ask("GET", "/info", &header, b"").await;
            assert_eq!(answer.unwrap().json().unwrap()["Containers"], 1);
        })
        .await;
}

const MESH: &str = "3e5hmesh";

fn with_networks() -> [Plan; 3] {
    let network = |id: &str, name: &str, scope: &str, container: &str| {
        let mut network = fixture::network(id, name, scope);
        network["Containers"] = json!({ container: { "Name": format!("in-{container}") } });
        network
    };
    [
        manager("n1").engine(|e| {
            e.networks(vec![
                network(MESH, "mesh", "swarm", "c1"),
                network("b1", "bridge", "local", "c1"),
                network("p1", "here", "local", "c1"),
            ])
        }),
        worker("n2").engine(|e| {
            e.networks(vec![
                network(MESH, "mesh", "swarm", "c2"),
                network("b2", "bridge", "local", "c2"),
                network("p2", "there", "local", "c2"),
            ])
        }),
        // This node has no container in the network, and does not know it.
        worker("n3"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_network_has_the_containers_of_all_nodes_and_a_local_one_its_own() {
    with_cluster(with_networks(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let operator = bed.operator(entry);
            for name in ["mesh", MESH] {
                let answer = operator.get(&format!("/networks/{name}?verbose=1")).await;
                let answer = answer.unwrap();
                assert_eq!(answer.status, 200, "{entry}: {}", answer.text());
                assert_eq!(answer.header("Skep-Missing"), None, "{entry}");
                let network = answer.json().unwrap();
                assert_eq!(network["Id"], MESH);
                let containers = network["Containers"].as_object().unwrap();
                let places: Vec<_> = containers
                    .iter()
                    .map(|(id, c)| format!("{id}@{}", c["Portainer"]["Agent"]["NodeName"]))
                    .collect();
                assert_eq!(places, ["c1@\"n1\"", "c2@\"n2\""], "{entry} {name}");
            }
            for (name, container) in [("here", "c1"), ("there", "c2")] {
                let answer = operator.get(&format!("/networks/{name}")).await.unwrap();
                let containers = answer.json().unwrap()["Containers"].clone();
                let containers = containers.as_object().unwrap();
                assert_eq!(containers.keys().collect::<Vec<_>>(), [container]);
            }
        }
        let answer = bed.operator("n1").get_from("n2", "/networks/mesh").await;
        let containers = answer.unwrap().json().unwrap()["Containers"].clone();
        assert_eq!(containers, json!({ "c2": { "Name": "in-c2" } }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_network_names_the_node_whose_containers_are_missing() {
    ClusterBuilder::of(with_networks())
        .configure(short)
        .run(async |bed| {
            let id = format!("/networks/{MESH}");
            bed.node("n2").engine.set_behaviour_of(&id, Behaviour::Hang);
            let answer = bed.operator("n1").get("/networks/mesh").await.unwrap();
            let missing = answer.header("Skep-Missing").unwrap();
            assert!(missing.starts_with(&bed.node("n2").id), "{missing}");
            let containers = answer.json().unwrap()["Containers"].clone();
            assert_eq!(containers.as_object().unwrap().len(), 1);
        })
        .await;
}
