//! The node of an object as a label, for clients that print and filter labels.

use crate::common::node::Plan;
use crate::common::{ClusterBuilder, TestCluster, manager, with_cluster, worker};
use serde_json::{Value, json};
use skep_bed::{Response, fixture};
use skep_filters::endpoint::query;

fn three_nodes() -> [Plan; 3] {
    let with = |plan: Plan, n: u8| {
        plan.engine(|e| {
            let mut container =
                fixture::container(&format!("{n:02x}").repeat(32), &format!("c{n}"), 1, 0);
            container["Labels"] = json!({ "a": "b", "skep.node": "asked-for" });
            let volume = fixture::volume(&format!("v{n}"));
            let network =
                fixture::network(&format!("{n:02x}").repeat(32), &format!("n{n}"), "local");
            let mesh = fixture::network("3e5h", "mesh", "swarm");
            e.containers(vec![container])
                .images(vec![fixture::image("sha256:1", &["app:1"], 1)])
                .volumes(vec![volume])
                .networks(vec![network, mesh])
        })
    };
    [
        with(manager("n1"), 1),
        with(worker("n2"), 2),
        with(worker("n3"), 3),
    ]
}

async fn get(bed: &TestCluster, entry: &str, path: &str) -> Value {
    let answer = ask(bed, entry, path, &[]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json().expect("JSON")
}

async fn ask(bed: &TestCluster, entry: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let operator = bed.operator(entry);
    let answer = operator.ask("GET", path, headers, b"").await;
    answer.expect("an answer")
}

/// The label of each row, of networks without the Swarm's.
fn labels(list: &Value) -> Vec<String> {
    let rows = list
        .get("Volumes")
        .unwrap_or(list)
        .as_array()
        .expect("a list");
    let rows = rows.iter().filter(|row| row["Scope"] != "swarm");
    let label = |row: &Value| {
        row["Labels"]["skep.node"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    let mut labels: Vec<_> = rows.map(label).collect();
    labels.sort();
    labels
}

const LISTS: [&str; 4] = ["/containers/json", "/images/json", "/volumes", "/networks"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_inspects_show_the_node_as_a_label() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            for path in LISTS {
                let list = get(bed, entry, path).await;
                let expected = match path {
                    "/images/json" => vec!["n1,n2,n3"],
                    _ => vec!["n1", "n2", "n3"],
                };
                assert_eq!(labels(&list), expected, "{entry} {path}");
            }
            let networks = get(bed, entry, "/networks").await;
            let mut rows = networks.as_array().unwrap().iter();
            let mesh = rows.find(|row| row["Name"] == "mesh").unwrap();
            assert_eq!(mesh["Labels"], json!({}));
            for (path, at) in [
                ("/containers/c2/json", "/Config/Labels/skep.node"),
                ("/volumes/v2", "/Labels/skep.node"),
                ("/networks/n2", "/Labels/skep.node"),
            ] {
                let inspect = get(bed, entry, path).await;
                assert_eq!(inspect.pointer(at), Some(&json!("n2")), "{entry} {path}");
            }
            let inspect = get(bed, entry, "/containers/c2/json").await;
            assert_eq!(inspect["Config"]["Labels"]["a"], "b");
            // A named node's answer is its engine's.
            let target = [("Skep-Target", "n2")];
            let inspect = ask(bed, entry, "/containers/c2/json", &target).await;
            let label = &inspect.json().unwrap()["Config"]["Labels"]["skep.node"];
            assert_eq!(label, "asked-for", "{entry}");
            let answer = ask(bed, entry, "/containers/unknown/json", &[]).await;
            assert_eq!(answer.status, 404);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_by_the_label_and_by_the_node() {
    with_cluster(three_nodes(), async |bed| {
        let id = bed.node("n2").id.clone();
        for path in LISTS {
            for (filters, expected) in [
                (json!({ "label": ["skep.node=n2"] }), vec!["n2"]),
                (json!({ "label": { "skep.node=n2": true } }), vec!["n2"]),
                (json!({ "label": [format!("skep.node={id}")] }), vec!["n2"]),
                (json!({ "node": ["n2"] }), vec!["n2"]),
                (json!({ "label": ["skep.node=n9"] }), vec![]),
                (json!({ "node": ["n9"] }), vec![]),
                (json!({ "label": ["skep.node=n1", "skep.node=n2"] }), vec![]),
            ] {
                let target = format!(
                    "{path}?{}",
                    query::with("", "filters", &filters.to_string())
                );
                let list = get(bed, "n1", &target).await;
                assert_eq!(labels(&list), expected, "{path} {filters}");
            }
            let filters = json!({ "node": ["n2", "n3"], "label": ["a=b"] }).to_string();
            let target = format!("{path}?all=1&{}", query::with("", "filters", &filters));
            let asked = bed.node("n1").engine.requests_to(path).len();
            get(bed, "n1", &target).await;
            assert_eq!(
                bed.node("n1").engine.requests_to(path).len(),
                asked,
                "{path}"
            );
            let sent = bed.node("n3").engine.requests_to(path);
            let sent = sent.last().unwrap().target.clone();
            let filters = query::get(sent.split_once('?').unwrap().1, "filters").unwrap();
            assert_eq!(filters, r#"{"label":{"a=b":true}}"#, "{path}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_label_has_another_name_or_is_off() {
    for (name, shown) in [(Some("where"), Some("n2")), (None, None)] {
        let cluster = ClusterBuilder::of(three_nodes()).configure(move |_, _, config| {
            config.aggregate.node_label = name.map(str::to_owned);
        });
        cluster
            .run(async |bed| {
                let inspect = get(bed, "n1", "/containers/c2/json").await;
                let own = &inspect["Config"]["Labels"];
                assert_eq!(own["skep.node"], "asked-for");
                assert_eq!(own["where"].as_str(), shown);
                let list = get(bed, "n1", "/containers/json").await;
                let rows = list.as_array().unwrap();
                assert!(
                    rows.iter()
                        .all(|row| row["Labels"]["skep.node"] == "asked-for")
                );
                let labelled = rows.iter().filter(|row| row["Labels"]["where"] == "n2");
                assert_eq!(labelled.count(), usize::from(shown.is_some()));
                // Without a label, the engines judge the filter.
                let filters = json!({ "node": ["n2"] }).to_string();
                let target = format!("/volumes?{}", query::with("", "filters", &filters));
                let list = get(bed, "n1", &target).await;
                let volumes = list["Volumes"].as_array().unwrap().len();
                assert_eq!(volumes, if shown.is_some() { 1 } else { 3 });
            })
            .await;
    }
}
