//! An engine that misbehaves, stops and restarts.

use std::io::ErrorKind;
use std::time::Duration;

use super::*;

async fn engine() -> (FakeEngine, Client) {
    let (engine, client) = start(FakeEngine::node("node1")).await;
    (engine, client)
}

#[tokio::test]
async fn each_fault_has_its_effect_until_it_is_lifted() {
    let (engine, client) = engine().await;
    for (behaviour, kind) in [
        (Behaviour::Garbage, ErrorKind::InvalidData),
        (Behaviour::HalfJson, ErrorKind::UnexpectedEof),
    ] {
        engine.set_behaviour(behaviour);
        let error = client.get("/info", &[]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{behaviour:?}");
    }
    engine.set_behaviour(Behaviour::Refuse);
    assert!(client.get("/info", &[]).await.is_err());
    engine.set_behaviour(Behaviour::Status(500));
    let failed = client.get("/info", &[]).await.unwrap();
    assert_eq!(failed.status, 500);
    assert!(failed.message().is_some());
    engine.set_behaviour(Behaviour::Normal);
    assert_eq!(client.get("/info", &[]).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_truncated_answer_begins_correctly() {
    let (engine, client) = engine().await;
    engine.set_behaviour(Behaviour::HalfJson);
    let mut half = client
        .stream("GET", "/containers/json", &[], b"")
        .await
        .unwrap();
    assert_eq!(half.status, 200);
    let start = half.next_chunk().await.unwrap().unwrap();
    assert!(start.starts_with(b"[{\"Id\""));
    let error = half.next_chunk().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_hanging_engine_reads_the_request_and_sees_the_client_leave() {
    let (engine, client) = engine().await;
    engine.set_behaviour(Behaviour::Hang);
    let client = client.limit(Duration::from_millis(50));
    let error = client
        .request("POST", "/x", &[], b"body")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(eventually(|| engine.requests()[0].client_closed).await);
    assert_eq!(engine.requests()[0].body.start, b"body");
}

#[tokio::test]
async fn a_fault_can_be_limited_to_paths() {
    let (engine, client) = engine().await;
    engine.set_behaviour(Behaviour::Status(503));
    engine.set_behaviour_of("/containers", Behaviour::Status(500));
    engine.set_behaviour_of("/containers/json", Behaviour::Normal);
    let status = async |path: &str| client.get(path, &[]).await.unwrap().status;
    assert_eq!(status("/info").await, 503);
    assert_eq!(status("/v1.45/containers/x/json").await, 500);
    assert_eq!(status("/v1.45/containers/json?all=1").await, 200);
}

#[tokio::test]
async fn a_slow_engine_answers_after_its_delay_and_sees_the_client_leave() {
    let (engine, client) = engine().await;
    engine.set_behaviour_of("/info", Behaviour::Slow(Duration::from_secs(3600)));
    engine.set_delay(Duration::from_millis(1));
    assert_eq!(client.get("/_ping", &[]).await.unwrap().status, 200);
    let hasty = client.limit(Duration::from_millis(50));
    assert!(hasty.get("/info", &[]).await.is_err());
    assert!(eventually(|| engine.requests_to("/info")[0].client_closed).await);
}

#[tokio::test]
async fn an_engine_restarts_at_the_same_address() {
    let builder = FakeEngine::node("node1").tcp("127.0.0.1:0".parse().unwrap());
    let (engine, client) = start(builder).await;
    let tcp = Client::tcp(engine.addr().unwrap());
    let mut open = client.connect().await.unwrap();
    open.request("GET", "/_ping", &[], b"").await.unwrap();

    engine.stop().await;
    assert!(open.closed().await.unwrap());
    assert!(client.get("/_ping", &[]).await.is_err());
    assert!(tcp.get("/_ping", &[]).await.is_err());
    assert_eq!(engine.open_connections(), 0);
    engine.stop().await;

    engine.restart().await.unwrap();
    assert_eq!(client.get("/_ping", &[]).await.unwrap().status, 200);
    assert_eq!(tcp.get("/_ping", &[]).await.unwrap().status, 200);
    engine.restart().await.unwrap();
    assert_eq!(client.get("/_ping", &[]).await.unwrap().status, 200);
    assert_eq!(engine.requests().len(), 4);
}

#[tokio::test]
async fn a_dropped_engine_leaves_no_socket() {
    let (engine, client) = engine().await;
    let socket = engine.socket();
    let mut open = client.connect().await.unwrap();
    open.request("GET", "/_ping", &[], b"").await.unwrap();
    drop(engine);
    assert!(open.closed().await.unwrap());
    assert!(!socket.parent().unwrap().exists());
}
