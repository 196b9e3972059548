//! Pulls: one stream with the progress and the outcome of every node.

use skep_bed::{Behaviour, Response, eventually};

use super::*;

pub(crate) const PULL: &str = "/v1.41/images/create?fromImage=app&tag=1";
const CREATE: &str = "/images/create";

async fn pull(bed: &TestCluster, entry: &str) -> Response {
    let headers = [ALL, ("X-Registry-Auth", "e30=")];
    let answer = bed.operator(entry).ask("POST", PULL, &headers, b"").await;
    answer.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_on_all_nodes_shows_the_progress_of_each_node() {
    with_cluster(three_nodes(), async |bed| {
        for entry in NODES {
            let answer = pull(bed, entry).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
            let messages = messages(&answer.text());
            let lines = status_lines(&messages);
            for node in NODES {
                let own: Vec<_> = lines.iter().filter(|l| l.starts_with(node)).collect();
                let expected = [
                    format!("{node} 1: Pulling from app"),
                    format!("{node} 0a1b2c: Downloading"),
                    format!("{node}: Status: Downloaded newer image for app:1"),
                    format!("{node}: done"),
                ];
                assert_eq!(own, expected.iter().collect::<Vec<_>>(), "{entry}");
            }
            assert_eq!(messages.len(), 12, "and no error: {messages:?}");
        }
        assert_eq!(asked(bed, CREATE), [3; 3]);
        for node in NODES {
            let seen = &bed.node(node).engine.requests_to(CREATE)[0];
            assert_eq!(seen.target, PULL);
            assert_eq!(seen.header("X-Registry-Auth"), Some("e30="));
            assert_eq!(seen.header("Skep-Target"), None);
        }
        // Without the target, one node pulls.
        let answer = bed
            .operator("n2")
            .ask("POST", PULL, &[], b"")
            .await
            .unwrap();
        assert_eq!(messages(&answer.text()).len(), 3);
        assert_eq!(asked(bed, CREATE), [3, 4, 3]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_failure_of_one_node_comes_after_the_progress_of_the_others() {
    with_cluster(three_nodes(), async |bed| {
        for (behaviour, reason) in [
            (Behaviour::FailMidway, "this engine is set to fail"),
            (Behaviour::Status(500), "this engine is set to fail"),
            (Behaviour::Reject(403), "this engine is set to reject"),
            (Behaviour::Refuse, ""),
        ] {
            for failing in ["n1", "n3"] {
                behave(bed, failing, CREATE, behaviour);
                let answer = pull(bed, "n1").await;
                assert_eq!(answer.status, 200, "{behaviour:?}: {}", answer.text());
                let messages = messages(&answer.text());
                let error = assert_failed(&messages, &[failing]);
                assert!(error.contains(reason), "{behaviour:?}: {error}");
                for node in NODES {
                    let expected = if node == failing { "failed: " } else { "done" };
                    let outcome = outcome(&messages, node);
                    assert!(
                        outcome.starts_with(expected),
                        "{behaviour:?} {node}: {outcome}"
                    );
                }
                behave(bed, failing, CREATE, Behaviour::Normal);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_with_the_same_hostname_have_an_outcome_each() {
    let twin = |id: &str| worker("n2").id(&id.repeat(25));
    with_cluster([manager("n1"), twin("a"), twin("b")], async |bed| {
        for failing in [1, 2] {
            let engine = &bed.nodes[failing].engine;
            for behaviour in [Behaviour::FailMidway, Behaviour::Status(500)] {
                engine.set_behaviour_of(CREATE, behaviour);
                let lines = status_lines(&messages(&pull(bed, "n1").await.text()));
                let of = |text: &str| lines.iter().filter(|l| l.starts_with(text)).count();
                assert_eq!((of("n2: done"), of("n2: failed")), (1, 1), "{lines:?}");
            }
            engine.set_behaviour_of(CREATE, Behaviour::Normal);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_names_an_unreachable_node() {
    with_cluster(three_nodes(), async |bed| {
        bed.node_mut("n2").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let answer = pull(bed, "n1").await;
        assert_eq!(answer.status, 200);
        let messages = messages(&answer.text());
        assert_failed(&messages, &["n2"]);
        assert_eq!(outcome(&messages, "n3"), "done");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_or_load_that_all_nodes_refuse_is_refused() {
    with_cluster(three_nodes(), async |bed| {
        for behaviour in [Behaviour::Status(404), Behaviour::Reject(404)] {
            for node in NODES {
                behave(bed, node, "/images", behaviour);
            }
            for path in [PULL, "/images/load"] {
                let answer = bed
                    .operator("n2")
                    .ask("POST", path, &[ALL], b"tar")
                    .await
                    .unwrap();
                assert_eq!(
                    answer.status,
                    404,
                    "{behaviour:?} {path}: {}",
                    answer.text()
                );
                assert_eq!(answer.header("Content-Type"), Some("application/json"));
                let message = answer.message().unwrap();
                for word in ["n1", "n2", "n3", "set to"] {
                    assert!(message.contains(word), "{message}");
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_arrives_while_one_node_hangs_and_every_node_sees_the_client_leave() {
    with_cluster(three_nodes(), async |bed| {
        behave(bed, "n2", CREATE, Behaviour::Hang);
        let mut stream = bed
            .operator("n1")
            .stream("POST", PULL, &[ALL])
            .await
            .unwrap();
        let mut lines = Vec::new();
        // Three lines of each of the others; the outcomes come at the end.
        for _ in 0..6 {
            lines.push(stream.next_line().await.unwrap().unwrap());
        }
        assert!(lines.iter().all(|line| !line.contains("n2")), "{lines:?}");
        let asked = || bed.node("n2").engine.requests_to(CREATE);
        assert!(eventually(|| !asked().is_empty()).await);
        let left = || asked()[0].client_closed;
        assert!(!left());
        drop(stream);
        assert!(eventually(left).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_during_a_pull_is_named() {
    with_cluster(three_nodes(), async |bed| {
        behave(bed, "n2", CREATE, Behaviour::Hang);
        let mut stream = bed
            .operator("n1")
            .stream("POST", PULL, &[ALL])
            .await
            .unwrap();
        let mut text = String::new();
        for _ in 0..6 {
            text += &stream.next_line().await.unwrap().unwrap();
            text += "\n";
        }
        bed.node_mut("n2").kill().await;
        while let Some(line) = stream.next_line().await.unwrap() {
            text += &format!("{line}\n");
        }
        let messages = messages(&text);
        assert_failed(&messages, &["n2"]);
        assert_eq!(outcome(&messages, "n1"), "done");
        assert_eq!(outcome(&messages, "n3"), "done");
    })
    .await;
}
