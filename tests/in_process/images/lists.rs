//! `before` and `since` of image lists, while only some nodes have the named image.

use super::*;
use crate::common::node::Plan;
use crate::common::{manager, with_cluster, worker};
use skep_filters::endpoint::query;

/// n1 has 1, 3 and 5; n2 has 2 and 4; n3 has 3 and 6.
fn three_nodes() -> [Plan; 3] {
    let row = |n: i64| image(&n.to_string(), &format!("app:{n}"), n);
    let with = |plan: Plan, images: &[i64]| {
        let rows = images.iter().map(|n| row(*n)).collect();
        plan.engine(|e| e.images(rows))
    };
    [
        with(manager("n1"), &[1, 3, 5]),
        with(worker("n2"), &[2, 4]),
        with(worker("n3"), &[3, 6]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_bounded_by_an_image_of_some_nodes_has_the_rows_of_all() {
    with_cluster(three_nodes(), async |bed| {
        for (filters, expected) in [
            (json!({ "before": ["app:4"] }), "3 2 1"),
            (json!({ "since": { "app:4": true } }), "6 5"),
            (json!({ "before": ["app:3"] }), "2 1"),
            (json!({ "since": ["app:3"] }), "6 5 4"),
            (
                json!({ "since": ["sha256:1"], "before": ["app:6"] }),
                "5 4 3 2",
            ),
            (json!({ "since": ["app:6"] }), ""),
        ] {
            for entry in NODES {
                let query = query::with("", "filters", &filters.to_string());
                let path = format!("/v1.41/images/json?{query}");
                let answer = ask(bed, entry, "GET", &path, &Value::Null).await;
                assert_eq!(answer.status, 200, "{entry} {filters}: {}", answer.text());
                assert_eq!(answer.header("Skep-Missing"), None, "{entry} {filters}");
                let rows = answer.json().unwrap();
                let ids = rows.as_array().unwrap().iter();
                let ids: Vec<_> = ids.map(|row| row["Id"].as_str().unwrap()).collect();
                let ids = ids.join(" ").replace("sha256:", "");
                assert_eq!(ids, expected, "{entry} {filters}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_bounded_by_an_image_that_no_node_has_is_refused_in_the_engines_words() {
    with_cluster(three_nodes(), async |bed| {
        for name in ["before", "since"] {
            let query = query::with("", "filters", &json!({ name: ["app:9"] }).to_string());
            let path = format!("/images/json?{query}");
            let answer = ask(bed, "n1", "GET", &path, &Value::Null).await;
            assert_eq!(answer.status, 404, "{}", answer.text());
            assert_eq!(answer.message().as_deref(), Some("No such image: app:9"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_images_of_one_name_are_rows_with_their_nodes() {
    let n1 = manager("n1").engine(|e| e.images(vec![image("a", "app:1", 2)]));
    let n2 = worker("n2").engine(|e| e.images(vec![image("b", "app:1", 1)]));
    with_cluster([n1, n2], async |bed| {
        let answer = ask(bed, "n1", "GET", "/images/json", &Value::Null).await;
        let rows = answer.json().unwrap();
        let rows = rows.as_array().unwrap().iter();
        let rows: Vec<_> = rows
            .map(|row| (row["Id"].clone(), row["Labels"]["skep.node"].clone()))
            .collect();
        assert_eq!(
            rows,
            [
                (json!("sha256:a"), json!("n1")),
                (json!("sha256:b"), json!("n2"))
            ]
        );
    })
    .await;
}
