//! Lists that are longer than what an agent holds of them: nodes send them as fast as the
//! client reads.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use skep::config::Config;
use skep_bed::{EngineBuilder, fixture};

use crate::common::node::Plan;
use crate::common::{ClusterBuilder, TestCluster, manager, with_cluster, worker};

/// Rows of 8 KB on each of two nodes: together three times as much as is held.
const ROWS: usize = 1500;

/// The time of a node in the test of a slow client. A busy machine takes seconds for the
/// rows, so this is no shorter.
const DEADLINE: Duration = Duration::from_secs(8);

fn row(node: &str, number: usize) -> Value {
    let seconds = 1_700_000_000 - i64::try_from(number).expect("a number");
    let id = format!("{node}{number:063}");
    let mut row = fixture::container(&id, &format!("{node}-{number}"), seconds, 0);
    row["Labels"] = json!({ "filler": "x".repeat(8000) });
    row
}

fn list(node: &str, rows: usize) -> Vec<Value> {
    (0..rows).map(|number| row(node, number)).collect()
}

fn long(name: &'static str) -> impl Fn(EngineBuilder) -> EngineBuilder {
    move |engine| engine.containers(list(&name[..1], ROWS))
}

fn nodes() -> [Plan; 3] {
    [
        manager("a").engine(long("a")),
        worker("b").engine(long("b")),
        worker("c").engine(|engine| engine.containers(list("c", 1))),
    ]
}

/// The names of the rows of a list.
fn names(body: &[u8]) -> Vec<String> {
    let rows: Vec<Value> = serde_json::from_slice(body).expect("a whole list");
    let name = |row: &Value| row["Names"][0].as_str().expect("a name").to_owned();
    rows.iter().map(name).collect()
}

/// Newest first, and of the same second those of the first node.
fn expected() -> Vec<String> {
    let each = (0..ROWS).flat_map(|n| {
        let nodes = if n == 0 {
            vec!["a", "b", "c"]
        } else {
            vec!["a", "b"]
        };
        nodes.into_iter().map(move |node| format!("/{node}-{n}"))
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_is_whole_and_in_order() {
    with_cluster(nodes(), async |bed| {
        for entry in ["a", "c"] {
            let operator = bed.operator(entry);
            let answer = operator.get("/containers/json").await.expect("a list");
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("Skep-Missing"), None);
            assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
            assert_eq!(answer.header("Content-Length"), None);
            assert!(names(&answer.body) == expected(), "{entry}");
            let answer = operator.get("/containers/json?limit=1000").await;
            let answer = answer.expect("a list");
            assert!(names(&answer.body) == expected()[..1000], "{entry}");
        }
        // What was listed is known: only its node is asked.
        let others = |bed: &TestCluster| bed.node("c").engine.requests().len();
        let before = others(bed);
        let id = format!("b{:063}", ROWS - 1);
        let path = format!("/containers/{id}/json");
        let answer = bed.operator("c").get(&path).await.expect("an inspect");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let asked = bed.node("c").engine.requests();
        let asked = asked
            .iter()
            .skip(before)
            .filter(|seen| seen.path.contains(&id));
        assert_eq!(asked.count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_wait_for_a_client_that_reads_slowly() {
    ClusterBuilder::of(nodes())
        .configure(|_: &str, _: &Path, config: &mut Config| {
            config.aggregate.deadline = DEADLINE;
        })
        .run(async |bed| {
            let operator = bed.operator("c");
            let mut answer = operator
                .stream("GET", "/containers/json", &[])
                .await
                .expect("a list");
            let mut body = Vec::new();
            let chunk = answer.next_chunk().await.expect("a chunk").expect("more");
            body.extend_from_slice(&chunk);
            // Longer than a node may take: its time does not pass.
            tokio::time::sleep(DEADLINE + Duration::from_secs(1)).await;
            while let Some(chunk) = answer.next_chunk().await.expect("a chunk") {
                body.extend_from_slice(&chunk);
            }
            let names = names(&body);
            assert_eq!(names.len(), 2 * ROWS + 1, "all nodes are there");
            assert!(names == expected());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_has_begun_breaks_off_with_its_node() {
    with_cluster(nodes(), async |bed| {
        let mut rows = list("b", ROWS);
        // No engine lists such a row; it comes last.
        rows.push(json!({ "Id": "b", "Created": "yesterday", "State": "running" }));
        bed.node("b").engine.set_containers(rows);
        for entry in ["a", "b", "c"] {
            let answer = bed.operator(entry).get("/containers/json").await;
            let error = answer.expect_err("no whole answer");
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
        }
        // A short list names the node.
        bed.node("b").engine.set_containers(vec![
            json!({ "Id": "b", "Created": "yesterday", "State": "running" }),
        ]);
        let answer = bed
            .operator("a")
            .get("/containers/json")
            .await
            .expect("a list");
        let missing = answer.header("Skep-Missing").unwrap_or_default();
        assert!(missing.contains(" b (element 0 of the answer"), "{missing}");
        assert_eq!(names(&answer.body).len(), ROWS + 1);
    })
    .await;
}
