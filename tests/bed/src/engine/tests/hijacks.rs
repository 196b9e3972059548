//! Exec, attach, session and grpc, byte for byte.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{Hijack, noise, sum};

const UPGRADE: &[(&str, &str)] = &[
    ("Connection", "Upgrade"),
    ("Upgrade", "tcp"),
    ("Content-Type", "application/json"),
];
const BODY: &[u8] = br#"{"Detach":false,"Tty":false}"#;

async fn exec(client: &Client, id: &str, headers: &[(&str, &str)]) -> Hijack {
    let target = format!("/v1.45/exec/{id}/start");
    client.hijack("POST", &target, headers, BODY).await.unwrap()
}

fn with_exact_container() -> EngineBuilder {
    FakeEngine::node("node1").containers(vec![fixture::container("c1", "web", 1, 0)])
}

#[tokio::test]
async fn exec_upgrades_as_moby_does_with_and_without_an_upgrade_header() {
    let (_engine, client) = start(FakeEngine::node("node1")).await;
    let common = "Api-Version: 1.45\r\nDocker-Experimental: false\r\nOstype: linux\r\n\
                  Server: Docker/26.1.5 (linux)\r\n\r\n";
    let upgraded = exec(&client, "exact", UPGRADE).await;
    let head = format!(
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\n{common}"
    );
    assert_eq!(String::from_utf8(upgraded.head.raw).unwrap(), head);
    let old = exec(&client, "exact", &[]).await;
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n{common}");
    assert_eq!(String::from_utf8(old.head.raw).unwrap(), head);
}

#[tokio::test]
async fn attach_upgrades_without_the_common_fields_and_refuses_in_plain_text() {
    let (_engine, client) = start(with_exact_container()).await;
    let attached = client
        .hijack("POST", "/containers/web/attach?stream=1", UPGRADE, b"")
        .await;
    let mut attached = attached.unwrap();
    let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    assert_eq!(attached.head.raw, head.as_bytes());
    attached.stream.send(b"Same").await.unwrap();
    assert_eq!(attached.stream.receive_exact(4).await.unwrap(), b"Same");

    let missing = client
        .hijack("POST", "/containers/nope/attach", UPGRADE, b"")
        .await;
    let missing = missing.unwrap().response().await.unwrap();
    assert_eq!(missing.status, 404);
    assert_eq!(missing.text(), "No such container: nope\r\n");
    assert_eq!(missing.header("Content-Length"), None);
}

#[tokio::test]
async fn echo_answers_in_upper_case_and_sends_its_tail_after_the_clients_end() {
    let (engine, client) = start(FakeEngine::node("node1")).await;
    for headers in [UPGRADE, &[]] {
        let mut stream = exec(&client, "echo", headers).await.stream;
        for word in ["one", "two"] {
            stream.send(word.as_bytes()).await.unwrap();
            let echo = stream.receive_exact(3).await.unwrap();
            assert_eq!(echo, word.to_uppercase().as_bytes());
        }
        stream.close_write().await.unwrap();
        assert_eq!(stream.receive_to_end().await.unwrap(), tail());
    }
    for seen in engine.requests() {
        assert_eq!(seen.body.start, BODY);
        assert_eq!(seen.raw.start, b"onetwo");
        assert!(seen.client_closed);
    }
}

#[tokio::test]
async fn server_first_ends_its_side_and_still_reads() {
    let (engine, client) = start(FakeEngine::node("node1")).await;
    let mut stream = exec(&client, "server-first", UPGRADE).await.stream;
    assert_eq!(stream.receive_to_end().await.unwrap(), b"hello");
    stream.send(b"late").await.unwrap();
    assert!(eventually(|| engine.requests()[0].raw.start == b"late").await);
    assert!(!engine.requests()[0].client_closed);
    stream.close_write().await.unwrap();
    assert!(eventually(|| engine.requests()[0].client_closed).await);
}

#[tokio::test]
async fn early_output_arrives_in_the_segment_of_the_head() {
    let (engine, _) = start(FakeEngine::node("node1")).await;
    let mut socket = tokio::net::UnixStream::connect(engine.socket())
        .await
        .unwrap();
    let request = "POST /exec/early/start HTTP/1.1\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut first = vec![0; 4096];
    let n = socket.read(&mut first).await.unwrap();
    assert!(first[..n].ends_with(b"\r\n\r\nearly"));
}

#[tokio::test]
async fn bytes_sent_together_with_the_request_are_echoed() {
    let (_engine, client) = start(FakeEngine::node("node1")).await;
    let mut connection = client.connect().await.unwrap();
    let request = "POST /session HTTP/1.1\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    connection.send(request.as_bytes()).await.unwrap();
    let mut session = connection.hijack().await.unwrap();
    assert_eq!(session.head.header("Upgrade"), Some("h2c"));
    let preface = session.stream.receive_exact(24).await.unwrap();
    assert_eq!(preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

#[tokio::test]
async fn session_and_grpc_require_h2c() {
    let (_engine, client) = start(FakeEngine::node("node1")).await;
    for path in ["/session", "/grpc"] {
        let plain = client.request("POST", path, &[], b"").await.unwrap();
        assert_eq!(plain.message().unwrap(), "no upgrade proto in request");
        let tcp = client
            .request("POST", path, &[("Upgrade", "tcp")], b"")
            .await
            .unwrap();
        assert_eq!(tcp.message().unwrap(), "protocol tcp not supported");
        let h2c = client
            .hijack("POST", path, &[("Upgrade", "h2c")], b"")
            .await
            .unwrap();
        assert_eq!(h2c.status, 101);
    }
}

#[tokio::test]
async fn the_eager_exec_upgrades_before_the_body_arrives() {
    let (engine, client) = start(FakeEngine::node("node1")).await;
    let headers = [("Upgrade", "tcp"), ("Content-Length", "4")];
    let mut eager = client
        .hijack("POST", "/exec/eager/start", &headers, b"")
        .await
        .unwrap();
    assert_eq!(eager.status, 101);
    eager.stream.send(b"bodyhello").await.unwrap();
    assert_eq!(eager.stream.receive_exact(5).await.unwrap(), b"hello");
    assert_eq!(engine.requests()[0].body.start, b"body");
}

#[tokio::test]
async fn an_eager_engine_upgrades_before_the_request_arrives() {
    let (engine, client) = start(FakeEngine::node("node1")).await;
    engine.set_behaviour(Behaviour::Eager);
    let mut connection = client.connect().await.unwrap();
    assert_eq!(
        connection.head().await.unwrap().start,
        "HTTP/1.1 101 UPGRADED"
    );
    assert!(engine.requests().is_empty());
    connection
        .ask("POST", "/exec/x/start", UPGRADE, BODY)
        .await
        .unwrap();
    connection.send(b"hello").await.unwrap();
    let echo = connection.into_raw().receive_exact(5).await;
    assert_eq!(echo.unwrap(), b"hello");
    assert_eq!(engine.requests()[0].raw.start, b"hello");
}

#[tokio::test]
async fn only_configured_exec_ids_are_known() {
    let builder = FakeEngine::node("node1").execs(&["echo.1"]);
    let (_engine, client) = start(builder).await;
    assert_eq!(exec(&client, "echo.1", UPGRADE).await.status, 101);
    assert_eq!(
        client.get("/exec/echo.1/json", &[]).await.unwrap().status,
        200
    );
    for missing in ["echo", "missing"] {
        let refused = exec(&client, missing, UPGRADE)
            .await
            .response()
            .await
            .unwrap();
        let message = format!("No such exec instance: {missing}");
        assert_eq!((refused.status, refused.message()), (404, Some(message)));
        let inspected = client.get(&format!("/exec/{missing}/json"), &[]).await;
        assert_eq!(inspected.unwrap().status, 404);
    }
}

#[tokio::test]
async fn a_detached_exec_gets_an_ordinary_answer_and_keeps_the_connection() {
    let (_engine, client) = start(FakeEngine::node("node1")).await;
    let mut connection = client.connect().await.unwrap();
    let body = br#"{"Detach":true}"#;
    let detached = connection
        .request("POST", "/exec/exact/start", &[], body)
        .await
        .unwrap();
    assert_eq!((detached.status, detached.body.len()), (200, 0));
    let again = connection.request("GET", "/_ping", &[], b"").await.unwrap();
    assert_eq!(again.text(), "OK");
}

#[tokio::test]
async fn bulk_data_passes_both_ways_at_once_unchanged() {
    const SIZE: usize = 4 * 1024 * 1024;
    let (engine, client) = start(FakeEngine::node("node1")).await;
    let (mut reader, mut writer) = exec(&client, "exact", UPGRADE).await.stream.into_split();
    let sender = tokio::spawn(async move {
        writer.write_all(&noise(SIZE)).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).await.unwrap();
    sender.await.unwrap();
    assert!(back == noise(SIZE));
    let raw = engine.requests()[0].raw.clone();
    assert_eq!((raw.bytes, raw.sum.value()), (SIZE as u64, sum(&back)));
}
