//! Tags and removals: on every node that has the image.

use serde_json::json;
use skep_bed::{Behaviour, eventually};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_tagged_and_removed_on_every_node_that_has_it() {
    let [n1, n2, n3] = three_nodes();
    let nodes = [
        n1.engine(with_images(&["both:1"])),
        n2.engine(with_images(&["both:1", "reg:5000/one:1"])),
        n3,
    ];
    with_cluster(nodes, async |bed| {
        for entry in NODES {
            let operator = bed.operator(entry);
            let all = async |method: &str, target: &str| {
                operator
                    .ask(method, target, &[ALL], b"")
                    .await
                    .expect("an answer")
            };
            for name in ["both:1", "reg:5000/one:1"] {
                let tagged = all("POST", &format!("/images/{name}/tag?repo=r&tag=2")).await;
                assert_eq!(tagged.status, 201, "{entry}: {}", tagged.text());
                assert_eq!(
                    (tagged.text(), tagged.header("Skep-Missing")),
                    (String::new(), None)
                );
            }
            let removed = all("DELETE", "/images/both:1?force=1").await;
            assert_eq!(removed.status, 200, "{}", removed.text());
            let once = json!({ "Untagged": "both:1" });
            assert_eq!(removed.json().unwrap(), json!([once, once]), "{entry}");
            let removed = all("DELETE", "/images/reg:5000/one:1").await;
            assert_eq!(
                removed.json().unwrap(),
                json!([{ "Untagged": "reg:5000/one:1" }])
            );

            for (method, target) in [
                ("POST", "/images/none:1/tag?repo=r"),
                ("DELETE", "/images/none:1"),
            ] {
                let refused = all(method, target).await;
                assert_eq!(refused.status, 404, "{entry}");
                assert_eq!(refused.message().unwrap(), "No such image: none:1");
            }
        }
        assert_eq!(
            asked(bed, "/images/both:1"),
            [3; 3],
            "each engine was asked once per request"
        );
        let target = &bed.node("n2").engine.requests_to("/images/both:1/tag")[0].target;
        assert_eq!(target, "/images/both:1/tag?repo=r&tag=2");

        // Without the target, one of the two nodes does it.
        let answer = bed
            .operator("n1")
            .ask("DELETE", "/images/both:1", &[], b"")
            .await;
        assert_eq!(answer.unwrap().json().unwrap().as_array().unwrap().len(), 1);
        let removals = |node: &str| {
            let seen = bed.node(node).engine.requests_to("/images/both:1");
            seen.iter().filter(|r| r.method == "DELETE").count()
        };
        assert_eq!(NODES.map(removals), [4, 3, 3]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_failure_names_the_nodes_that_failed_and_that_succeeded() {
    let nodes = three_nodes().map(|plan| plan.engine(with_images(&["app:1"])));
    with_cluster(nodes, async |bed| {
        for (method, target, path) in [
            ("POST", "/images/app:1/tag?repo=r", "/images/app:1/tag"),
            ("DELETE", "/images/app:1", "/images/app:1"),
        ] {
            behave(bed, "n2", path, Behaviour::Status(409));
            for entry in ["n1", "n2"] {
                let answer = bed
                    .operator(entry)
                    .ask(method, target, &[ALL], b"")
                    .await
                    .unwrap();
                assert_eq!(answer.status, 409, "{entry}: {}", answer.text());
                let message = answer.message().unwrap();
                let (refused, done) = message.split_once("; done on ").unwrap();
                assert!(
                    refused.contains("n2") && refused.contains("set to fail"),
                    "{refused}"
                );
                assert!(done.contains("n1") && done.contains("n3") && !done.contains("n2"));
            }
            behave(bed, "n2", path, Behaviour::Normal);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_node_is_named_and_turns_a_404_into_a_503() {
    let nodes = three_nodes().map(|plan| plan.engine(with_images(&["app:1"])));
    with_cluster(nodes, async |bed| {
        bed.node_mut("n3").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let operator = bed.operator("n1");
        let answer = operator
            .ask("DELETE", "/images/app:1", &[ALL], b"")
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        let missing = answer.header("Skep-Missing").unwrap();
        assert!(missing.starts_with(&bed.node("n3").id), "{missing}");
        let answer = operator
            .ask("DELETE", "/images/none:1", &[ALL], b"")
            .await
            .unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.message().unwrap().contains("n3"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoded_question_mark_in_a_name_does_not_start_a_query() {
    with_cluster(three_nodes(), async |bed| {
        let target = "/images/a%3Fforce=1/tag?repo=r";
        let operator = bed.operator("n1");
        let answer = operator.ask("POST", target, &[ALL], b"").await;
        assert_eq!(answer.expect("an answer").status, 404);
        for node in NODES {
            let seen = bed.node(node).engine.requests();
            let tags = seen.iter().filter(|r| r.target.contains("/tag"));
            let targets: Vec<_> = tags.map(|r| r.target.as_str()).collect();
            assert_eq!(targets, ["/images/a%3Fforce%3D1/tag?repo=r"], "{node}");
        }
    })
    .await;
}
