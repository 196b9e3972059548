//! A container is created on a node that lacks its image: the agents copy it.

use std::time::Duration;

use super::*;
use crate::common::node::Plan;
use crate::common::{ClusterBuilder, manager, with_cluster, worker};
use crate::policies::{configured, holder};
use skep_bed::{Behaviour, noise, sum};

const LOAD: &str = "/images/load";
const SAVE: &str = "/images/app:1/get";
const CREATE: &str = "/containers/create";

/// n1 and n2 lack the image, and have it after a load; n3 has it.
fn three_nodes() -> [Plan; 3] {
    let app = || vec![image("a", "app:1", 1)];
    [
        manager("n1").engine(|e| e.loads(app())),
        worker("n2").engine(|e| e.loads(app())),
        worker("n3").engine(|e| e.images(app())),
    ]
}

/// A container of the image on this node.
fn on(node: &str) -> Value {
    json!({ "Image": "app:1", "Labels": { "skep.node": node } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_another_node_is_copied_before_the_container_is_created() {
    for (entry, node) in [("n1", "n1"), ("n1", "n2"), ("n3", "n2"), ("n3", "n1")] {
        with_cluster(three_nodes(), async |bed| {
            let answer = ask(bed, entry, "POST", CREATE, &on(node)).await;
            assert_eq!(answer.status, 201, "{entry} {node}: {}", answer.text());
            let at = answer.header("Skep-Node").unwrap_or_default();
            assert!(at.ends_with(node), "{at}");
            let loads = bed.node(node).engine.requests_to(LOAD);
            assert_eq!(loads.len(), 1);
            let arrived = (loads[0].body.bytes, loads[0].body.sum.value());
            let archive = noise(1 << 20);
            assert_eq!(arrived, (archive.len() as u64, sum(&archive)));
            // Once more, it is there.
            let answer = ask(bed, entry, "POST", CREATE, &on(node)).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
            assert_eq!(asked(bed, LOAD).iter().sum::<usize>(), 1);
            assert_eq!(asked(bed, SAVE), [0, 0, 1]);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_by_id_or_on_a_named_node_gets_its_image_too() {
    with_cluster(three_nodes(), async |bed| {
        let operator = bed.operator("n3");
        let body = json!({ "Image": "sha256:a" }).to_string();
        let to = [("Skep-Target", "n2")];
        let answer = operator.ask("POST", CREATE, &to, body.as_bytes()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        // By its id it gets no name.
        assert_eq!(asked(bed, "/images/sha256:a/get"), [0, 0, 1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_no_node_has_is_the_engines_404_and_the_pull_follows() {
    with_cluster(three_nodes(), async |bed| {
        let body = json!({ "Image": "none:1", "Labels": { "skep.node": "n2" } });
        let answer = ask(bed, "n1", "POST", CREATE, &body).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.message().as_deref(), Some("No such image: none:1"));
        let pull = "/images/create?fromImage=none&tag=1";
        assert_eq!(ask(bed, "n1", "POST", pull, &Value::Null).await.status, 200);
        assert_eq!(asked(bed, "/images/create"), [0, 1, 0]);
        assert_eq!(ask(bed, "n1", "POST", CREATE, &body).await.status, 201);
        assert_eq!(asked(bed, LOAD), [0, 0, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_copies_off_the_answer_is_the_engines() {
    ClusterBuilder::of(three_nodes())
        .configure(|_, _, config| config.images.copy = false)
        .run(async |bed| {
            for (entry, node) in [("n1", "n1"), ("n1", "n2")] {
                let answer = ask(bed, entry, "POST", CREATE, &on(node)).await;
                assert_eq!(answer.status, 404);
                assert_eq!(answer.message().as_deref(), Some("No such image: app:1"));
            }
            assert_eq!(asked(bed, SAVE), [0, 0, 0]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_images_of_one_name_are_named_and_none_is_copied() {
    let [n1, n2, n3] = three_nodes();
    let n2 = n2.engine(|e| e.images(vec![image("b", "app:1", 1)]));
    with_cluster([n1, n2, n3], async |bed| {
        let answer = ask(bed, "n3", "POST", CREATE, &on("n1")).await;
        // Clients go on and pull.
        assert_eq!(answer.status, 404);
        let message = answer.message().unwrap();
        assert!(message.starts_with("No such image: app:1 ("), "{message}");
        for word in ["n2 has sha256:b", "n3 has sha256:a"] {
            assert!(message.contains(word), "{word} is not in {message:?}");
        }
        assert_eq!(asked(bed, LOAD), [0, 0, 0]);
        let pull = "/images/create?fromImage=app&tag=1";
        assert_eq!(ask(bed, "n3", "POST", pull, &Value::Null).await.status, 200);
        assert_eq!(asked(bed, "/images/create"), [1, 0, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_has_another_id_after_the_copy_is_an_error_with_both_ids() {
    let [n1, n2, n3] = three_nodes();
    let n2 = n2.engine(|e| e.loads(vec![image("b", "app:1", 1)]));
    with_cluster([n1, n2, n3], async |bed| {
        let answer = ask(bed, "n1", "POST", CREATE, &on("n2")).await;
        assert_eq!(answer.status, 409, "{}", answer.text());
        let message = answer.message().unwrap();
        for word in ["n3", "n2", "sha256:a", "sha256:b", "store images"] {
            assert!(message.contains(word), "{word} is not in {message:?}");
        }
        // It is there now, and is not copied again.
        assert_eq!(ask(bed, "n1", "POST", CREATE, &on("n2")).await.status, 201);
        assert_eq!(asked(bed, LOAD), [0, 1, 0]);
    })
    .await;
}

/// The same image under the id that another store gives it.
fn stored(id: &str) -> Value {
    let mut row = image(id, "app:1", 1);
    row["RootFS"] = json!({ "Type": "layers", "Layers": ["sha256:l1"] });
    row["Config"] = json!({ "Cmd": ["sh"] });
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_copied_between_engines_that_store_images_in_different_ways() {
    // n1 and n3 have it, under two ids, and n2 stores it under a third.
    let nodes = || {
        [
            manager("n1").engine(|e| e.images(vec![stored("a")])),
            worker("n2").engine(|e| e.loads(vec![stored("b")])),
            worker("n3").engine(|e| e.images(vec![stored("c")])),
        ]
    };
    with_cluster(nodes(), async |bed| {
        let answer = ask(bed, "n1", "POST", CREATE, &on("n2")).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(asked(bed, LOAD), [0, 1, 0]);
    })
    .await;
    with_cluster(nodes(), async |bed| {
        let spread = "/skep/v1/images/app:1/spread";
        let answer = ask(bed, "n1", "POST", spread, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.text().contains("error"), "{}", answer.text());
        assert_eq!(asked(bed, LOAD), [0, 1, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_fails_is_a_404_that_says_why() {
    let long = |config: &mut skep::config::Config| config.images.copy_max_bytes = 100_000;
    let quick = |config: &mut skep::config::Config| {
        config.images.copy_timeout = Duration::from_millis(500);
    };
    type Change = fn(&mut skep::config::Config);
    for (node, path, behaviour, change, why) in [
        ("n2", LOAD, Behaviour::FailMidway, None, "failed to load it"),
        ("n2", LOAD, Behaviour::Status(500), None, "answered 500"),
        ("n3", SAVE, Behaviour::Status(500), None, "answered 500"),
        (
            "n2",
            LOAD,
            Behaviour::Normal,
            Some(long as Change),
            "longer than 100000 bytes",
        ),
        (
            "n2",
            LOAD,
            Behaviour::Hang,
            Some(quick as Change),
            "longer than 500ms",
        ),
    ] {
        ClusterBuilder::of(three_nodes())
            .configure(move |_, _, config| {
                if let Some(change) = change {
                    change(config);
                }
            })
            .run(async |bed| {
                bed.node(node).engine.set_behaviour_of(path, behaviour);
                let answer = ask(bed, "n1", "POST", CREATE, &on("n2")).await;
                assert_eq!(answer.status, 404, "{why}: {}", answer.text());
                let message = answer.message().unwrap();
                assert!(message.starts_with("No such image: app:1 ("), "{message}");
                assert!(message.contains("n3"), "{message}");
                assert!(message.contains(why), "{why} is not in {message:?}");
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_for_one_image_wait_for_one_copy() {
    with_cluster(three_nodes(), async |bed| {
        let slow = Behaviour::Slow(Duration::from_millis(5));
        bed.node("n3").engine.set_behaviour_of(SAVE, slow);
        let body = on("n2");
        let creates = NODES.map(|entry| ask(bed, entry, "POST", CREATE, &body));
        for answer in futures::future::join_all(creates).await {
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        assert_eq!(asked(bed, LOAD), [0, 1, 0]);
        assert_eq!(asked(bed, SAVE), [0, 0, 1]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_agents_for_a_caller_that_may_create_containers_get_an_image() {
    let policies = "
auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: makers } ] }
policies:
  makers: { allow: [containers.write, ping], must: { images: ['other'] } }
";
    configured(three_nodes(), policies)
        .run(async |bed| {
            let ci = holder(bed, "n1", "ci");
            let body = on("n2").to_string();
            let answer = ci.ask("POST", CREATE, &[], body.as_bytes()).await.unwrap();
            assert_eq!(answer.status, 403, "{}", answer.text());
            // No client gets it, whatever its policy is.
            let copy = "/skep/v1/images/app:1/copy";
            assert_eq!(ci.get(copy).await.unwrap().status, 403);
            let operator = bed.operator("n3");
            assert_eq!(operator.get(copy).await.unwrap().status, 404);
            assert_eq!(operator.get_from("n3", copy).await.unwrap().status, 404);
            assert_eq!(asked(bed, SAVE), [0, 0, 0]);
            assert_eq!(asked(bed, LOAD), [0, 0, 0]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_policy_refuses_the_caller_gives_no_image() {
    let policies = "
auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: makers } ] }
policies:
  makers:
    rules: [ { allow: [containers.write], node: { hostname: n2 } }, { allow: [ping] } ]
";
    configured(three_nodes(), policies)
        .run(async |bed| {
            let ci = holder(bed, "n1", "ci");
            let body = on("n2").to_string();
            let answer = ci.ask("POST", CREATE, &[], body.as_bytes()).await.unwrap();
            assert_eq!(answer.status, 404, "{}", answer.text());
            // The caller does not learn that n3 has it.
            assert_eq!(answer.message().as_deref(), Some("No such image: app:1"));
            assert_eq!(asked(bed, SAVE), [0, 0, 0]);
        })
        .await;
}
