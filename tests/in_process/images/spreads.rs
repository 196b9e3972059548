//! `POST /skep/v1/images/{name}/spread`: an image that one node has gets to others.

use super::*;
use crate::common::node::Plan;
use crate::common::{manager, with_cluster, worker};
use crate::policies::{configured, holder};
use skep_bed::Behaviour;

const LOAD: &str = "/images/load";
const SPREAD: &str = "/skep/v1/images/app:1/spread";

/// n1 and n2 lack the image, and have it after a load; n3 has it.
fn three_nodes() -> [Plan; 3] {
    let app = || vec![image("a", "app:1", 1)];
    [
        manager("n1").engine(|e| e.loads(app())),
        worker("n2").engine(|e| e.loads(app())),
        worker("n3").engine(|e| e.images(app())),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_spread_to_all_nodes_or_to_the_named_ones() {
    for (query, loads) in [
        ("", [1, 1, 0]),
        ("?nodes=n2", [0, 1, 0]),
        ("?nodes=n1,n3", [1, 0, 0]),
        ("?nodes=n1&nodes=n2", [1, 1, 0]),
        ("?from=n3", [1, 1, 0]),
    ] {
        for entry in NODES {
            with_cluster(three_nodes(), async |bed| {
                let path = format!("{SPREAD}{query}");
                let answer = ask(bed, entry, "POST", &path, &Value::Null).await;
                assert_eq!(answer.status, 200, "{entry} {query}: {}", answer.text());
                assert_eq!(asked(bed, LOAD), loads, "{entry} {query}");
                let messages = messages(&answer);
                for (node, loads) in NODES.into_iter().zip(loads) {
                    if loads == 1 {
                        assert_eq!(outcome(&messages, node), "done");
                    }
                }
                assert!(!answer.text().contains("error"), "{}", answer.text());
                // Once more: it is everywhere.
                let answer = ask(bed, entry, "POST", &path, &Value::Null).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(asked(bed, LOAD), loads, "{entry} {query}");
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_chosen_is_not_spread() {
    let [n1, n2, n3] = three_nodes();
    let n2 = n2.engine(|e| e.images(vec![image("b", "app:1", 1)]));
    with_cluster([n1, n2, n3], async |bed| {
        for (path, status, words) in [
            (
                SPREAD,
                409,
                &["n2 has sha256:b", "n3 has sha256:a", "`from`"][..],
            ),
            (
                "/skep/v1/images/none:1/spread",
                404,
                &["No such image: none:1"],
            ),
            ("/skep/v1/images/app:1/spread?from=n1", 404, &["on node n1"]),
            (
                "/skep/v1/images/app:1/spread?from=n3&nodes=n9",
                404,
                &["no such node: \"n9\""],
            ),
            (
                "/skep/v1/images/app@sha256:0a/spread",
                400,
                &["can be copied"],
            ),
        ] {
            let answer = ask(bed, "n1", "POST", path, &Value::Null).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            let message = answer.message().unwrap();
            for word in words {
                assert!(message.contains(word), "{word} is not in {message:?}");
            }
        }
        assert_eq!(asked(bed, LOAD), [0, 0, 0]);
        let path = format!("{SPREAD}?from=n3&nodes=n1");
        let answer = ask(bed, "n2", "POST", &path, &Value::Null).await;
        assert_eq!(outcome(&messages(&answer), "n1"), "done");
        assert_eq!(asked(bed, LOAD), [1, 0, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_get_the_image_is_named_at_the_end() {
    with_cluster(three_nodes(), async |bed| {
        let fails = Behaviour::FailMidway;
        bed.node("n2").engine.set_behaviour_of(LOAD, fails);
        let answer = ask(bed, "n3", "POST", SPREAD, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let messages = messages(&answer);
        assert_eq!(outcome(&messages, "n1"), "done");
        let error = messages.last().unwrap()["error"].as_str().unwrap();
        assert!(
            error.contains("n2: ") && error.contains("failed to load"),
            "{error}"
        );
        assert!(!error.contains("n1: "), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_spread_an_image_takes_the_right_to_load_and_to_export_it() {
    let policies = "
auth: { keys: [ { id: loads, secret_file: KEY_FILE, policy: loads }, { id: saves, secret_file: KEY_FILE, policy: saves }, { id: both, secret_file: KEY_FILE, policy: both } ] }
policies:
  loads: { allow: [images.write] }
  saves: { allow: [images.archive] }
  both: { allow: [images.write, images.archive] }
";
    configured(three_nodes(), policies)
        .run(async |bed| {
            let refused = holder(bed, "n1", "saves")
                .ask("POST", SPREAD, &[], b"")
                .await;
            assert_eq!(refused.unwrap().status, 403);
            let refused = holder(bed, "n1", "loads")
                .ask("POST", SPREAD, &[], b"")
                .await;
            let refused = refused.unwrap();
            for node in ["n1", "n2"] {
                let outcome = outcome(&messages(&refused), node);
                assert!(outcome.contains("policy does not allow"), "{outcome}");
            }
            assert_eq!(asked(bed, LOAD), [0, 0, 0]);
            let done = holder(bed, "n1", "both")
                .ask("POST", SPREAD, &[], b"")
                .await;
            assert_eq!(outcome(&messages(&done.unwrap()), "n2"), "done");
            assert_eq!(asked(bed, LOAD), [1, 1, 0]);
        })
        .await;
}
