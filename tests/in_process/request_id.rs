//! The id of a request, which connects the answer, the logs and the audit files of
//! all nodes that take part in it.

use std::path::Path;

use crate::common::{ClusterBuilder, TestCluster, manager, requests_of, worker};
use serde_json::Value;
use skep::config::{Audit, Config};
use skep_bed::{EngineBuilder, Response, eventually, fixture};

const INSPECT: &str = "/containers/c1/json";
const HEADER: &str = "Skep-Request-Id";

fn with_c1(engine: EngineBuilder) -> EngineBuilder {
    let c1 = fixture::container("c1", "web", 1, 0);
    engine.containers(vec![c1]).execs(&["echo.n1"])
}

fn audited(hostname: &str, folder: &Path, config: &mut Config) {
    config.audit = Some(Audit {
        file: folder.join(format!("audit-{hostname}")),
        routine: false,
    });
}

async fn with_two_nodes(test: impl AsyncFnOnce(&mut TestCluster)) {
    ClusterBuilder::of([manager("n1").engine(with_c1), worker("n2")])
        .configure(audited)
        .run(test)
        .await;
}

/// The id of an answer, which must have exactly one.
fn id_of(answer: &Response) -> String {
    let all: Vec<_> = answer.head.all(HEADER).collect();
    let [id] = all[..] else {
        panic!("one id, not {all:?}");
    };
    id.to_owned()
}

/// The number of lines about this request in the audit file of a node.
fn audited_by(bed: &TestCluster, node: &str, id: &str) -> usize {
    let file = bed.folder().join(format!("audit-{node}"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["request_id"] == id).count()
}

/// Both nodes have logged and audited the request, each once.
async fn assert_logged_on_both(bed: &TestCluster, id: &str) {
    let both = || audited_by(bed, "n1", id) == 1 && audited_by(bed, "n2", id) == 1;
    assert!(eventually(both).await, "{id} is not in both audit files");
    let of = |caller: &str| {
        let lines = requests_of(id);
        lines.iter().filter(|l| l.starts_with(caller)).count()
    };
    let logged = || of("operator:") == 1 && of("peer:") == 1;
    assert!(eventually(logged).await, "{:?}", requests_of(id));
}

fn is_generated(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_id_is_logged_on_both_nodes_and_not_sent_to_the_engine() {
    with_two_nodes(async |bed| {
        let sent = [("X-Request-Id", "build-7.alone")];
        let operator = bed.operator("n2");
        let answer = operator.ask("GET", INSPECT, &sent, b"").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(id_of(&answer), "build-7.alone");
        assert_logged_on_both(bed, "build-7.alone").await;
        for seen in bed.node("n1").engine.requests_to(INSPECT) {
            assert_eq!(seen.header(HEADER), None);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entry_node_makes_an_id_if_the_caller_sends_none_or_an_invalid_one() {
    with_two_nodes(async |bed| {
        let operator = bed.operator("n2");
        for sent in [None, Some(("X-Request-Id", "a b")), Some((HEADER, "mine"))] {
            let sent: Vec<_> = sent.into_iter().collect();
            let answer = operator.ask("GET", INSPECT, &sent, b"").await.unwrap();
            let id = id_of(&answer);
            assert!(is_generated(&id), "{id} for {sent:?}");
            assert_logged_on_both(bed, &id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_streams_have_an_id_too() {
    with_two_nodes(async |bed| {
        let operator = bed.operator("n2");
        let answer = operator.get("/containers/json").await.unwrap();
        assert_logged_on_both(bed, &id_of(&answer)).await;

        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "tcp"),
            ("Content-Type", "application/json"),
            ("X-Request-Id", "stream-1"),
            ("Skep-Target", "n1"),
        ];
        let start = "/v1.41/exec/echo.n1/start";
        let hijack = operator.hijack(start, &headers, b"{}").await.unwrap();
        assert_eq!(hijack.status, 101, "{:?}", hijack.head);
        let ids: Vec<_> = hijack.head.all(HEADER).collect();
        assert_eq!(ids, ["stream-1"]);
        drop(hijack);
        assert_logged_on_both(bed, "stream-1").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_has_an_id_that_an_unauthenticated_client_cannot_choose() {
    with_two_nodes(async |bed| {
        let sent = [("X-Request-Id", "forged"), (HEADER, "forged")];
        let operator = bed.operator("n1");
        let mut connection = operator.client().connect().await.unwrap();
        let answer = connection.request("GET", "/info", &sent, b"").await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 401);
        let id = id_of(&answer);
        assert!(is_generated(&id), "{id}");
        assert!(eventually(|| audited_by(bed, "n1", &id) == 1).await);
        assert_eq!(audited_by(bed, "n1", "forged"), 0);

        let nowhere = [("Skep-Target", "nowhere"), ("X-Request-Id", "refused-1")];
        let answer = operator.ask("GET", INSPECT, &nowhere, b"").await.unwrap();
        assert!(answer.status >= 400, "{}", answer.text());
        assert_eq!(id_of(&answer), "refused-1");
    })
    .await;
}
