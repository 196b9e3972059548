//! Pulls take effect where the containers of the image are.

use super::*;
use crate::common::node::Plan;
use crate::common::{manager, with_cluster, worker};
use skep_bed::Behaviour;

const PULL: &str = "/images/create";

/// A node with a container of each of these images.
fn using(plan: Plan, images: &[&str]) -> Plan {
    let rows = images.iter().enumerate().map(|(n, image)| {
        let id = format!("{n}{}", "a".repeat(63));
        let mut row = fixture::container(&id, &format!("web{n}"), 1, 0);
        row["Image"] = json!(image);
        fixture::exited(row)
    });
    let rows = rows.collect();
    plan.engine(|e| e.containers(rows))
}

fn three_nodes(images: [&[&str]; 3]) -> [Plan; 3] {
    let [one, two, three] = images;
    [
        using(manager("n1"), one),
        using(worker("n2"), two),
        using(worker("n3"), three),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_pulled_on_all_nodes_that_have_containers_of_it() {
    for (images, pull, pulled) in [
        (
            [&[][..], &["app:1"], &["app:1"]],
            "fromImage=app&tag=1",
            [0, 1, 1],
        ),
        (
            [&["other:1"], &["app:1"], &[]],
            "fromImage=app:1",
            [0, 1, 0],
        ),
        (
            [&["app"], &[], &["app:latest"]],
            "fromImage=docker.io/library/app&tag=latest",
            [1, 0, 1],
        ),
        // As without containers: where the client asks.
        (
            [&[], &["app:2"], &["app"]],
            "fromImage=app&tag=1",
            [1, 0, 0],
        ),
        // A service's image has a digest, which a pull does not change.
        (
            [&[], &["app:1@sha256:0a"], &[]],
            "fromImage=app&tag=1",
            [1, 0, 0],
        ),
    ] {
        with_cluster(three_nodes(images), async |bed| {
            let path = format!("{PULL}?{pull}");
            let answer = ask(bed, "n1", "POST", &path, &Value::Null).await;
            assert_eq!(answer.status, 200, "{pull}: {}", answer.text());
            assert_eq!(asked(bed, PULL), pulled, "{pull}");
            let messages = messages(&answer);
            if pulled.iter().sum::<usize>() == 1 {
                // One node's own answer.
                assert_eq!(messages.len(), 3, "{messages:?}");
                return;
            }
            for (node, pulls) in NODES.into_iter().zip(pulled) {
                if pulls == 1 {
                    assert_eq!(outcome(&messages, node), "done");
                }
            }
            assert!(!answer.text().contains("errorDetail"), "{}", answer.text());
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_counts_after_the_name_was_given_to_another_image() {
    let id = format!("0{}", "a".repeat(63));
    let nodes = three_nodes([&[], &["sha256:old"], &[]]);
    let [n1, n2, n3] = nodes;
    let inspect = json!({ "Id": id, "Name": "/web0", "Config": { "Image": "app:1" } });
    let n2 = n2.engine(|e| e.answer("GET", &format!("/containers/{id}/json"), 200, inspect));
    with_cluster([n1, n2, n3], async |bed| {
        let path = format!("{PULL}?fromImage=app&tag=1");
        let answer = ask(bed, "n3", "POST", &path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(asked(bed, PULL), [0, 1, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_fails_to_pull_hides_no_other_and_is_named_at_the_end() {
    with_cluster(three_nodes([&[], &["app:1"], &["app:1"]]), async |bed| {
        let fails = Behaviour::FailMidway;
        bed.node("n3").engine.set_behaviour_of(PULL, fails);
        let path = format!("{PULL}?fromImage=app&tag=1");
        let answer = ask(bed, "n1", "POST", &path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let messages = messages(&answer);
        assert_eq!(outcome(&messages, "n2"), "done");
        let error = messages.last().unwrap()["error"].as_str().unwrap();
        assert!(error.contains("n3") && !error.contains("n2"), "{error}");
    })
    .await;
}
