//! An agent that was asked to stop is its node's only door: it goes on answering
//! until its long exchanges have ended.

use skep_bed::{Hijack, LIMIT};
use tokio::time::timeout;

use crate::common::node::Plan;
use crate::common::{Caller, TestCluster, manager, with_cluster, worker};

const LIST: &str = "/containers/json";
const UPGRADE: [(&str, &str); 4] = [
    ("Skep-Target", "n1"),
    ("Connection", "Upgrade"),
    ("Upgrade", "tcp"),
    ("Content-Type", "application/json"),
];

fn two_nodes() -> [Plan; 2] {
    [manager("n1"), worker("n2")]
}

async fn stream(bed: &TestCluster) -> Hijack {
    let operator = bed.operator("n1");
    let exec = operator.hijack("/exec/exact/start", &UPGRADE, b"{}").await;
    let exec = exec.expect("an answer");
    assert_eq!(exec.status, 101);
    exec
}

async fn end(stream: Hijack) {
    let mut stream = stream.stream;
    stream.send(b"hello").await.expect("an open stream");
    stream.close_write().await.expect("an open stream");
    let rest = stream.receive_to_end().await.expect("its end");
    assert_eq!(rest, b"hello");
}

async fn is_open(operator: &Caller) -> bool {
    operator.client().connect().await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_answers_until_its_streams_have_ended() {
    with_cluster(two_nodes(), async |bed| {
        let open = stream(bed).await;
        let stopping = bed.node_mut("n1").stop();
        let operator = bed.operator("n1");
        // Whether the signal has arrived shows in the answers.
        let mut last = false;
        for _ in 0..1000 {
            let list = operator.get(LIST).await.unwrap();
            assert_eq!(list.status, 200, "{}", list.text());
            assert_eq!(list.header("Skep-Missing"), None);
            last = list.header("Connection") == Some("close");
            if last {
                break;
            }
        }
        assert!(last, "the client is asked to leave the connection");
        let other = bed.operator("n2").get(LIST).await.unwrap();
        assert_eq!(
            other.header("Skep-Missing"),
            None,
            "other agents ask it too"
        );
        let later = stream(bed).await;
        end(open).await;
        end(later).await;
        timeout(LIMIT, stopping).await.expect("it ends");
        assert!(!is_open(&operator).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_and_short_requests_do_not_keep_an_agent() {
    with_cluster(two_nodes(), async |bed| {
        let operator = bed.operator("n1");
        let idle = operator.client().connect().await.unwrap();
        let asking = async {
            loop {
                let signed = operator.sign("GET", LIST, &[], b"");
                let answer = operator.client().get(LIST, &signed.fields()).await;
                if answer.is_err() {
                    return;
                }
            }
        };
        let stopping = bed.node_mut("n1").stop();
        let ended = timeout(LIMIT, async { tokio::join!(stopping, asking) }).await;
        assert!(ended.is_ok());
        drop(idle);
    })
    .await;
}
