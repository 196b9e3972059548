//! `skep connect` with several agents, of which one has fallen silent: its machine is
//! cut off, or its process is stopped.
#![cfg(unix)]

use std::time::Duration;

use skep_bed::{Behaviour, Cable, Response, fixture};

use crate::common::{Connect, TestCluster, manager, with_cluster, worker};

const SECRET: [&str; 2] = ["--secret-file", "FOLDER/secret"];
const VERSION: &str = "/version";
const STOP: &str = "/containers/c2/stop";

/// Longer than any request may wait for a silent agent.
const PATIENCE: Duration = Duration::from_secs(40);

/// Runs a test with `skep connect`, which reaches n1 through a cable, and n2.
async fn over_a_cable(test: impl AsyncFnOnce(&TestCluster, &Cable, &Connect)) {
    let row = fixture::container("c2", "c2", 1, 0);
    let nodes = [
        manager("n1"),
        worker("n2").engine(|engine| engine.containers(vec![row])),
    ];
    with_cluster(nodes, async |bed| {
        let cable = Cable::new().expect("a cable");
        cable.lead_to(bed.node("n1").address);
        let agents = [cable.address(), bed.node("n2").address];
        let mut connect = Connect::start(bed, &SECRET, &agents).await;
        connect.client = connect.client.clone().limit(PATIENCE);
        test(bed, &cable, &connect).await;
        cable.mend();
    })
    .await;
}

/// The node whose agent answers.
async fn answering(connect: &Connect) -> String {
    let answer = connect.client.get(VERSION, &[]).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let node = answer.header("Skep-Node").expect("a node");
    let name = node.rsplit(' ').next();
    name.expect("its name").to_owned()
}

async fn stop(connect: &Connect) -> Response {
    let stop = connect.client.request("POST", STOP, &[], b"").await;
    stop.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_reads_is_asked_of_another_agent_when_one_is_silent() {
    over_a_cable(async |_, cable, connect| {
        assert_eq!(answering(connect).await, "n1");
        cable.cut();
        assert_eq!(answering(connect).await, "n2");
        cable.mend();
        assert_eq!(answering(connect).await, "n2", "it stays with it");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_something_goes_to_another_agent_only_if_it_was_not_sent() {
    over_a_cable(async |bed, cable, connect| {
        answering(connect).await;
        cable.cut();
        let stop = stop(connect).await;
        assert!(stop.status < 500, "{}: {}", stop.status, stop.text());
        assert_eq!(bed.node("n2").engine.requests_to(STOP).len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_agent_may_have_done_is_not_done_twice() {
    over_a_cable(async |bed, cable, connect| {
        let engine = &bed.node("n2").engine;
        engine.set_behaviour_of(STOP, Behaviour::Held);
        let cutting = async {
            while engine.requests_to(STOP).is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cable.cut();
        };
        let (stop, ()) = tokio::join!(stop(connect), cutting);
        assert_eq!(stop.status, 503, "{}", stop.text());
        let message = stop.message().expect("a message");
        assert!(message.contains("look before you repeat it"), "{message}");
        assert_eq!(engine.requests_to(STOP).len(), 1);
        engine.set_behaviour_of(STOP, Behaviour::Normal);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_a_silent_agent_ends() {
    over_a_cable(async |_, cable, connect| {
        let upgrade = [
            ("Skep-Target", "n1"),
            ("Connection", "Upgrade"),
            ("Upgrade", "tcp"),
            ("Content-Type", "application/json"),
        ];
        let start = "/exec/exact/start";
        let exec = connect.client.hijack("POST", start, &upgrade, b"{}").await;
        let mut exec = exec.expect("a stream");
        assert_eq!(exec.status, 101);
        cable.cut();
        assert!(exec.stream.receive_to_end().await.unwrap().is_empty());
    })
    .await;
}
