//! The container of a task is found by the names that people know: a service, a
//! slot, a task's id.

use crate::common::node::Plan;
use crate::common::{TestCluster, manager, with_cluster, worker};
use serde_json::{Value, json};
use skep_bed::{EngineBuilder, Response, eventually, fixture};

const SERVICE: &str = "s1s1s1s1s1s1s1s1s1s1s1s1s";
const PAIR: &str = "s2s2s2s2s2s2s2s2s2s2s2s2s";
const GLOBAL: &str = "s3s3s3s3s3s3s3s3s3s3s3s3s";

/// A container's id.
fn container(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

/// A task's id.
fn id(n: u8) -> String {
    format!("task{n:02x}xxxxxxxxxxxxxxxxxxx")
        .chars()
        .take(25)
        .collect()
}

fn task(n: u8, service: &str, slot: u64, node: &str, state: &str) -> Value {
    json!({
        "ID": id(n),
        "ServiceID": service,
        "Slot": slot,
        "NodeID": format!("{node:0<25}"),
        "CreatedAt": format!("2023-11-14T22:13:{n:02}Z"),
        "Status": { "State": state, "ContainerStatus": { "ContainerID": container(n) } },
    })
}

/// `web` has one slot, whose first task has ended; `pair` has two slots, and two
/// running tasks in the second; `agent` is global.
fn tasks() -> Vec<Value> {
    vec![
        task(1, SERVICE, 1, "n3", "shutdown"),
        task(2, SERVICE, 1, "n2", "running"),
        task(3, PAIR, 1, "n2", "running"),
        task(4, PAIR, 2, "n3", "running"),
        task(5, PAIR, 2, "n1", "running"),
        task(6, GLOBAL, 0, "n2", "running"),
        task(7, GLOBAL, 0, "n3", "running"),
        task(8, "s4", 1, "n3", "failed"),
    ]
}

fn managing(mut engine: EngineBuilder) -> EngineBuilder {
    for (id, name) in [
        (SERVICE, "web"),
        (PAIR, "pair"),
        (GLOBAL, "agent"),
        ("s4", "old"),
    ] {
        let service = json!({ "ID": id, "Spec": { "Name": name } });
        for name in [id, name] {
            let path = format!("/services/{name}");
            engine = engine.answer("GET", &path, 200, service.clone());
        }
    }
    for task in tasks() {
        let whole = task["ID"].as_str().expect("an id");
        for id in [whole, &whole[..12]] {
            engine = engine.answer("GET", &format!("/tasks/{id}"), 200, task.clone());
        }
    }
    engine.swarm_objects("tasks", tasks())
}

fn running(engine: EngineBuilder, numbers: &[u8]) -> EngineBuilder {
    let rows = numbers.iter().map(|n| {
        let name = format!("container-{n}");
        fixture::container(&container(*n), &name, 1, 0)
    });
    let mut rows: Vec<_> = rows.collect();
    if numbers.contains(&7) {
        rows.push(fixture::container("feed", "pair.1", 1, 0));
    }
    numbers.iter().fold(engine.containers(rows), |engine, n| {
        let path = format!("/containers/{}/exec", container(*n));
        engine.answer("POST", &path, 201, json!({ "Id": container(100 + n) }))
    })
}

fn three_nodes() -> [Plan; 3] {
    [
        manager("n1").engine(|e| running(managing(e), &[5])),
        worker("n2").engine(|e| running(e, &[2, 3, 6])),
        worker("n3").engine(|e| running(e, &[1, 4, 7, 8])),
    ]
}

async fn ask(bed: &TestCluster, entry: &str, method: &str, path: &str) -> Response {
    let body: &[u8] = match path.ends_with("/exec") {
        true => br#"{"Cmd":["true"]}"#,
        false => b"",
    };
    let operator = bed.operator(entry);
    let answer = operator.ask(method, path, &[], body).await;
    answer.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_in_the_running_task_of_every_name() {
    with_cluster(three_nodes(), async |bed| {
        let full = format!("web.1.{}", id(2));
        let on_node = format!("agent.{:0<25}", "n3");
        let by_id = format!("{SERVICE}.1");
        for (name, number) in [
            ("web.1", 2),
            ("web", 2),
            (SERVICE, 2),
            (by_id.as_str(), 2),
            (full.as_str(), 2),
            (&id(2), 2),
            (&id(2)[..12], 2),
            ("pair.2.task04xxxxxx", 4),
            (on_node.as_str(), 7),
        ] {
            for entry in ["n1", "n2", "n3"] {
                let path = format!("/v1.41/containers/{name}/exec");
                let answer = ask(bed, entry, "POST", &path).await;
                assert_eq!(answer.status, 201, "{entry} {name}: {}", answer.text());
                let made = answer.json().unwrap()["Id"].clone();
                assert_eq!(made, container(100 + number), "{entry} {name}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_of_the_name_comes_first() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let answer = ask(bed, entry, "GET", "/containers/pair.1/json").await;
            assert_eq!(answer.json().unwrap()["Id"], "feed", "{entry}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_running_tasks_are_listed() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            for (name, listed) in [
                ("pair.2", &[(4, "pair.2", "n3"), (5, "pair.2", "n1")][..]),
                (
                    "pair",
                    &[
                        (3, "pair.1", "n2"),
                        (4, "pair.2", "n3"),
                        (5, "pair.2", "n1"),
                    ],
                ),
            ] {
                let path = format!("/containers/{name}/exec");
                let answer = ask(bed, entry, "POST", &path).await;
                assert_eq!(answer.status, 409, "{entry} {name}: {}", answer.text());
                let message = answer.message().unwrap();
                for (number, place, node) in listed {
                    let words = format!("{place}.{} on {node}", id(*number));
                    assert!(message.contains(&words), "{words} is not in {message:?}");
                }
            }
            // The CLI inspects first: it shows the service, or prints this.
            let answer = ask(bed, entry, "GET", "/containers/pair/json").await;
            assert_eq!(answer.status, 404, "{}", answer.text());
            let message = answer.message().unwrap();
            assert!(message.starts_with("No such container: pair"), "{message}");
            assert!(message.contains("pair.1."), "{message}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_task_can_be_read_and_not_entered() {
    with_cluster(three_nodes(), async |bed| {
        let answer = ask(bed, "n2", "GET", "/containers/old.1/json").await;
        assert_eq!(answer.json().unwrap()["Id"], container(8));
        let answer = ask(bed, "n2", "POST", "/containers/old.1/exec").await;
        assert_eq!(answer.status, 404, "{}", answer.text());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_removed_or_renamed_by_the_name_of_a_service_or_a_task() {
    with_cluster(three_nodes(), async |bed| {
        let task = format!("/containers/{}", id(2));
        let rename = format!("{task}/rename?name=new");
        for (method, path) in [
            ("DELETE", "/containers/web"),
            ("DELETE", "/containers/web.1?force=1"),
            ("DELETE", &task),
            ("POST", "/containers/web/rename?name=new"),
            ("POST", &rename),
            ("POST", "/containers/web/kill"),
            ("POST", "/containers/web/stop"),
        ] {
            let answer = ask(bed, "n1", method, path).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        }
        for name in [
            "web.2",
            "web.0",
            "web.",
            ".1",
            "we",
            "web.1.2",
            "unknown.1",
            "task0",
        ] {
            let path = format!("/containers/{name}/exec");
            let answer = ask(bed, "n2", "POST", &path).await;
            assert_eq!(answer.status, 404, "{name}: {}", answer.text());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_on_a_node_that_is_away_is_a_503() {
    with_cluster(three_nodes(), async |bed| {
        bed.node_mut("n2").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let answer = ask(bed, "n1", "POST", "/containers/web.1/exec").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(
            answer.message().unwrap().contains("n2"),
            "{}",
            answer.text()
        );
        // Others are found.
        let path = format!("/containers/{}/exec", id(4));
        assert_eq!(ask(bed, "n1", "POST", &path).await.status, 201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_node_finds_its_tasks_too() {
    let tasks = vec![task(5, SERVICE, 1, "n1", "running")];
    let n1 = manager("n1").engine(|e| running(managing(e), &[5]).swarm_objects("tasks", tasks));
    with_cluster([n1], async |bed| {
        let answer = ask(bed, "n1", "POST", "/containers/web.1/exec").await;
        assert_eq!(answer.json().unwrap()["Id"], container(105));
        let answer = ask(bed, "n1", "GET", "/containers/container-5/json").await;
        assert_eq!(answer.json().unwrap()["Id"], container(5));
    })
    .await;
}
