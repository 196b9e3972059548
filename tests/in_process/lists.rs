//! Lists of the whole cluster: merged, in order, and with the names of missing nodes.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::node::Plan;
use crate::common::{Caller, ClusterBuilder, TestCluster, manager, with_cluster, worker};
use serde_json::{Value, json};
use skep::config::{Config, Discover, Partial};
use skep_bed::{Behaviour, EngineBuilder, Response, fixture};

fn rows(answer: &Response) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    answer
        .json()
        .expect("JSON")
        .as_array()
        .expect("a list")
        .clone()
}

/// `name@node` of each row, in the order of the list.
fn places(rows: &[Value], name: &str) -> Vec<String> {
    let place = |row: &Value| {
        let node = row["Portainer"]["Agent"]["NodeName"]
            .as_str()
            .expect("a decoration");
        format!("{}@{node}", row[name].as_str().expect("a name"))
    };
    rows.iter().map(place).collect()
}

/// Three nodes; the container ids contain their creation time.
fn three_nodes() -> [Plan; 3] {
    let having = |seconds: &'static [i64]| {
        move |e: EngineBuilder| {
            let container =
                |s: &i64| fixture::container(&format!("c{s}"), &format!("name{s}"), *s, 0);
            e.containers(seconds.iter().map(container).collect())
        }
    };
    [
        manager("a").engine(having(&[10, 40, 60])),
        worker("b").engine(having(&[30, 50])),
        worker("c").engine(having(&[20, 70])),
    ]
}

async fn containers(operator: &Caller, query: &str) -> Vec<String> {
    let answer = operator
        .get(&format!("/v1.41/containers/json{query}"))
        .await
        .expect("an answer");
    assert_eq!(answer.header("Skep-Missing"), None);
    places(&rows(&answer), "Id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_agent_lists_the_containers_of_all_nodes_newest_first() {
    with_cluster(three_nodes(), async |bed| {
        for node in &bed.nodes {
            let operator = bed.operator(&node.hostname);
            let all = containers(&operator, "").await;
            assert_eq!(
                all,
                [
                    "c70@c", "c60@a", "c50@b", "c40@a", "c30@b", "c20@c", "c10@a"
                ]
            );
            let answer = operator.get("/containers/json").await.unwrap();
            let entry = format!("{} {}", node.id, node.hostname);
            assert_eq!(answer.header("Skep-Node"), Some(entry.as_str()));
            let row = &rows(&answer)[0];
            assert_eq!(
                row["Portainer"]["Agent"]["NodeID"],
                bed.node("c").id.as_str()
            );
            assert_eq!(
                row["Names"],
                json!(["/name70"]),
                "the rest comes from the engine"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_before_and_since_apply_to_the_whole_cluster() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["a", "b", "c"] {
            let operator = bed.operator(entry);
            for (query, expected) in [
                ("?limit=1", &["c70@c"][..]),
                ("?limit=3", &["c70@c", "c60@a", "c50@b"]),
                (
                    "?limit=0",
                    &[
                        "c70@c", "c60@a", "c50@b", "c40@a", "c30@b", "c20@c", "c10@a",
                    ],
                ),
                (
                    "?limit=99",
                    &[
                        "c70@c", "c60@a", "c50@b", "c40@a", "c30@b", "c20@c", "c10@a",
                    ],
                ),
            ] {
                assert_eq!(
                    containers(&operator, query).await,
                    expected,
                    "{entry} {query}"
                );
            }
        }
        // The fake engine applies no filters: all rows of the owner stay.
        let operator = bed.operator("a");
        for (filters, expected) in [
            (
                r#"{"before":["c50"]}"#,
                ["c50@b", "c40@a", "c30@b", "c20@c", "c10@a"].as_slice(),
            ),
            (
                r#"{"since":["name50"]}"#,
                &["c70@c", "c60@a", "c50@b", "c30@b"],
            ),
        ] {
            let query = format!("?all=1&filters={}", filters.replace('"', "%22"));
            assert_eq!(containers(&operator, &query).await, expected, "{filters}");
        }
        // Only the owner's engine gets the name.
        for node in ["a", "c"] {
            let asked = bed.node(node).engine.requests_to("/containers/json");
            let by_name = asked.iter().filter(|r| r.target.contains("50"));
            assert_eq!(by_name.count(), 0, "{node}: {asked:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_volumes_and_networks_have_their_own_merge_rules() {
    let shared = ["busybox:latest"];
    let a = manager("a").engine(|e| {
        e.images(vec![
            fixture::image("sha256:1", &shared, 10),
            fixture::image("sha256:2", &["a:1"], 30),
        ])
        .volumes(vec![fixture::volume("data"), fixture::volume("only-a")])
        .networks(vec![
            fixture::network("net-overlay", "mesh", "swarm"),
            fixture::network("net-a", "bridge", "local"),
        ])
    });
    let b = worker("b").engine(|e| {
        e.images(vec![fixture::image(
            "sha256:1",
            &["busybox:latest", "busybox:1"],
            10,
        )])
        .volumes(vec![fixture::volume("data")])
        .networks(vec![
            fixture::network("net-overlay", "mesh", "swarm"),
            fixture::network("net-b", "bridge", "local"),
        ])
    });
    with_cluster([a, b], async |bed| {
        for entry in ["a", "b"] {
            let operator = bed.operator(entry);
            let images = rows(&operator.get("/images/json").await.unwrap());
            assert_eq!(places(&images, "Id"), ["sha256:2@a", "sha256:1@a"]);
            assert_eq!(
                images[1]["RepoTags"],
                json!(["busybox:latest", "busybox:1"])
            );
            assert_eq!(images[1]["Portainer"]["Agent"]["Nodes"], json!(["a", "b"]));

            let volumes = operator.get("/volumes").await.unwrap().json().unwrap();
            let volumes = volumes["Volumes"].as_array().unwrap().clone();
            let mut places_of = places(&volumes, "Name");
            places_of.sort();
            assert_eq!(places_of, ["data@a", "data@b", "only-a@a"]);

            let networks = rows(&operator.get("/networks").await.unwrap());
            assert_eq!(
                places(&networks, "Id"),
                ["net-overlay@a", "net-a@a", "net-b@b"]
            );
        }
    })
    .await;
}

/// A list names the broken node, and takes no longer than the deadline.
async fn assert_missing(bed: &TestCluster, entry: &str, broken: &str, why: &str) {
    let begun = Instant::now();
    let answer = bed
        .operator(entry)
        .get("/containers/json")
        .await
        .expect("an answer");
    let took = begun.elapsed();
    let missing = answer.header("Skep-Missing").unwrap_or_default().to_owned();
    let node = bed.node(broken);
    let named = format!("{} {} (", node.id, node.hostname);
    assert!(missing.starts_with(&named), "{why}: {missing:?}");
    assert!(missing.ends_with(')') && missing.len() > named.len() + 1);
    let named = bed.nodes.iter().filter(|n| missing.contains(&n.id));
    assert_eq!(named.count(), 1, "{why}: no other node: {missing}");
    let all = places(&rows(&answer), "Id");
    let others = all
        .iter()
        .filter(|p| !p.ends_with(&format!("@{broken}")))
        .count();
    assert_eq!(others, all.len(), "{why}: {all:?}");
    assert!(all.len() >= 4, "{why}: {all:?}");
    // The deadline is two seconds; the rest allows for busy machines.
    assert!(took < Duration::from_secs(8), "{why}: {took:?}");
}

fn short_deadline(_: &str, _: &Path, config: &mut Config) {
    config.aggregate.deadline = Duration::from_secs(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_node_is_named_and_the_others_are_listed_in_time() {
    ClusterBuilder::of(three_nodes())
        .configure(short_deadline)
        .run(async |bed| {
            for broken in ["b", "a"] {
                let engine = &bed.node(broken).engine;
                engine.set_behaviour_of("/containers/json", Behaviour::Hang);
                tokio::join!(
                    assert_missing(bed, "a", broken, "it hangs"),
                    assert_missing(bed, "c", broken, "it hangs"),
                );
                engine.set_behaviour_of("/containers/json", Behaviour::Normal);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_node_is_named_and_the_others_are_listed() {
    with_cluster(three_nodes(), async |bed| {
        for behaviour in [
            Behaviour::Refuse,
            Behaviour::Garbage,
            Behaviour::HalfJson,
            Behaviour::Status(500),
        ] {
            let why = format!("{behaviour:?}");
            for broken in ["b", "a"] {
                let engine = &bed.node(broken).engine;
                engine.set_behaviour_of("/containers/json", behaviour);
                assert_missing(bed, "a", broken, &why).await;
                assert_missing(bed, "c", broken, &why).await;
                engine.set_behaviour_of("/containers/json", Behaviour::Normal);
            }
        }
        // Status 200, but no list.
        let engine = &bed.node("b").engine;
        for answer in [
            json!({ "not": "a list" }),
            json!([{ "Id": 1 }]),
            json!(["c1"]),
        ] {
            let why = answer.to_string();
            engine.set_answer("GET", "/containers/json", 200, answer);
            assert_missing(bed, "a", "b", &why).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_an_agent_is_named_as_missing() {
    with_cluster(three_nodes(), async |bed| {
        bed.node_mut("b").kill().await;
        assert_missing(bed, "a", "b", "its agent was killed").await;
        assert_missing(bed, "c", "b", "its agent was killed").await;
        bed.node_mut("b").start().await.unwrap();
        bed.settle().await;
        assert_eq!(containers(&bed.operator("a"), "").await.len(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_can_refuse_partial_answers() {
    let refuse = |name: &str, folder: &Path, config: &mut Config| {
        short_deadline(name, folder, config);
        config.aggregate.partial = Partial::Refuse;
    };
    ClusterBuilder::of(three_nodes())
        .configure(refuse)
        .run(async |bed| {
            let operator = bed.operator("a");
            assert_eq!(containers(&operator, "").await.len(), 7);
            bed.node("b")
                .engine
                .set_behaviour_of("/containers/json", Behaviour::Hang);
            let answer = operator.get("/containers/json").await.unwrap();
            assert_eq!(answer.status, 504, "{}", answer.text());
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
            let message = answer.message().unwrap();
            assert!(message.contains(&bed.node("b").id), "{message}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_all_engines_refuse_gets_the_engines_error() {
    with_cluster(three_nodes(), async |bed| {
        for node in &bed.nodes {
            node.engine.set_answer(
                "GET",
                "/containers/json",
                400,
                json!({ "message": "invalid filter" }),
            );
        }
        let answer = bed
            .operator("b")
            .get("/containers/json?filters=%7B")
            .await
            .unwrap();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.message().unwrap(), "invalid filter");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_engine_is_asked_in_a_version_it_serves() {
    let old = worker("old").engine(|e| {
        e.version("20.10.24", "1.41")
            .containers(vec![fixture::container("c1", "web", 1, 0)])
    });
    with_cluster([manager("new"), old], async |bed| {
        for (asked, new, old) in [
            ("/v1.45", "/v1.45", "/v1.41"),
            ("/v1.40", "/v1.40", "/v1.40"),
            ("", "/v1.41", "/v1.41"),
        ] {
            let target = format!("{asked}/containers/json");
            for entry in ["new", "old"] {
                assert_eq!(
                    rows(&bed.operator(entry).get(&target).await.unwrap()).len(),
                    1
                );
                for (node, version) in [("new", new), ("old", old)] {
                    let seen = bed.node(node).asked();
                    let last = &seen.last().unwrap().target;
                    assert_eq!(*last, format!("{version}/containers/json"));
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_agents_give_one_list() {
    let name = |n: usize| format!("n{n:02}");
    let nodes = (0..50).map(|n| {
        let plan = if n == 0 {
            manager(&name(n))
        } else {
            worker(&name(n))
        };
        plan.engine(|e| e.containers(vec![fixture::container(&name(n), "web", n as i64, 0)]))
    });
    // Only the first agent discovers all; the others know the first.
    let star = |hostname: &str, _: &Path, config: &mut Config| {
        config.cluster.interval = Duration::from_secs(3600);
        config.aggregate.deadline = Duration::from_secs(10);
        if hostname != "n00"
            && let Some(Discover::Static(all)) = config.cluster.discover.first_mut()
        {
            all.truncate(1);
        }
    };
    ClusterBuilder::of(nodes)
        .configure(star)
        .without_settling()
        .run(async |bed| {
            assert!(skep_bed::eventually(|| bed.nodes[0].sees() == 50).await);
            let all = containers(&bed.operator("n00"), "").await;
            let newest_first: Vec<_> = (0..50).rev().map(|n| format!("{0}@{0}", name(n))).collect();
            assert_eq!(all, newest_first);
            for node in [1, 25, 49].map(name) {
                let answer = bed
                    .operator("n00")
                    .get_from(&node, "/version")
                    .await
                    .unwrap();
                assert!(answer.header("Skep-Node").unwrap().ends_with(&node));
            }
        })
        .await;
}
