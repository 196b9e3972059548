//! Identity, lists, inspects and the framing of answers.

use serde_json::{Value, json};

use super::*;

fn node1() -> EngineBuilder {
    FakeEngine::node("node1")
}

#[tokio::test]
async fn ping_answers_get_and_head_with_mobys_headers() {
    let (engine, client) = start(node1().manager(true)).await;
    for (method, body) in [("GET", "OK"), ("HEAD", "")] {
        let ping = client.request(method, "/_ping", &[], b"").await.unwrap();
        assert_eq!((ping.status, ping.text().as_str()), (200, body));
        for (name, value) in [
            ("Api-Version", "1.45"),
            ("Ostype", "linux"),
            ("Docker-Experimental", "false"),
            ("Server", "Docker/26.1.5 (linux)"),
            ("Swarm", "active/manager"),
        ] {
            assert_eq!(ping.header(name), Some(value), "{method} {name}");
        }
        let length = body.len().to_string();
        assert_eq!(ping.header("Content-Length"), Some(length.as_str()));
    }
    engine.set_manager(false);
    let ping = client.get("/v1.45/_ping", &[]).await.unwrap();
    assert_eq!(ping.header("Swarm"), Some("active/worker"));
    engine.set_in_swarm(false);
    let ping = client.get("/_ping", &[]).await.unwrap();
    assert_eq!(ping.header("Swarm"), Some("inactive"));
}

#[tokio::test]
async fn version_and_ping_agree() {
    let (_engine, client) = start(node1().version("20.10.24", "1.41")).await;
    let version = client.get("/version", &[]).await.unwrap().json().unwrap();
    assert_eq!(version["ApiVersion"], "1.41");
    assert_eq!(version["Components"][0]["Details"]["ApiVersion"], "1.41");
    let ping = client.get("/_ping", &[]).await.unwrap();
    assert_eq!(ping.header("Api-Version"), Some("1.41"));
}

#[tokio::test]
async fn info_differs_for_a_manager_a_worker_and_a_standalone_engine() {
    let builder = node1().remote_managers(&[("other", "10.0.0.2:2377")]);
    let (engine, client) = start(builder.manager(true)).await;
    let info = async || client.get("/info", &[]).await.unwrap().json().unwrap();
    let manager = info().await;
    assert_eq!(manager["Name"], "node1");
    assert_eq!(manager["Swarm"]["NodeID"], "node100000000000000000000");
    assert_eq!(manager["Swarm"]["ControlAvailable"], true);
    assert_eq!(
        manager["Swarm"]["RemoteManagers"][0]["Addr"],
        "127.0.0.1:2377"
    );
    assert_eq!(manager["Swarm"]["RemoteManagers"][1]["NodeID"], "other");
    assert!(manager["Swarm"]["Cluster"]["ID"].is_string());

    engine.set_manager(false);
    let worker = info().await;
    assert_eq!(worker["Swarm"]["LocalNodeState"], "active");
    assert_eq!(worker["Swarm"]["ControlAvailable"], false);
    assert_eq!(worker["Swarm"]["RemoteManagers"][0]["NodeID"], "other");
    assert!(worker["Swarm"].get("Cluster").is_none());

    engine.set_in_swarm(false);
    let lone = info().await;
    assert_eq!(lone["Swarm"]["LocalNodeState"], "inactive");
    assert_eq!(lone["Swarm"]["NodeID"], "");
}

fn three_containers() -> Vec<Value> {
    vec![
        fixture::container("aa1", "old", 100, 5),
        fixture::exited(fixture::container("aa2", "gone", 300, 0)),
        fixture::container("bb3", "new", 100, 120_000_000),
    ]
}

#[tokio::test]
async fn containers_are_listed_newest_first_with_all_and_limit() {
    let (_engine, client) = start(node1().containers(three_containers())).await;
    for (query, ids) in [
        ("", vec!["bb3", "aa1"]),
        ("?all=0", vec!["bb3", "aa1"]),
        ("?all=1", vec!["aa2", "bb3", "aa1"]),
        ("?limit=2", vec!["aa2", "bb3"]),
        ("?limit=1&all=true", vec!["aa2"]),
    ] {
        let target = format!("/v1.45/containers/json{query}");
        let list = client.get(&target, &[]).await.unwrap().json().unwrap();
        let rows = list.as_array().unwrap();
        let listed: Vec<_> = rows.iter().map(|row| row["Id"].as_str().unwrap()).collect();
        assert_eq!(listed, ids, "{query}");
        assert!(rows[0].get(fixture::NANOS).is_none());
    }
}

#[tokio::test]
async fn a_container_is_found_by_id_name_or_unique_prefix() {
    let (_engine, client) = start(node1().containers(three_containers())).await;
    for (wanted, id) in [("aa1", "aa1"), ("new", "bb3"), ("b", "bb3")] {
        let answer = client.get(&format!("/containers/{wanted}/json"), &[]).await;
        assert_eq!(answer.unwrap().json().unwrap()["Id"], id);
    }
    let new = client.get("/containers/new/json", &[]).await.unwrap();
    assert_eq!(new.json().unwrap()["Created"], "1970-01-01T00:01:40.12Z");

    let both = client.get("/containers/aa/json", &[]).await.unwrap();
    let message = "multiple IDs found with provided prefix: aa";
    assert_eq!(
        (both.status, both.message().unwrap().as_str()),
        (400, message)
    );
    let none = client.get("/containers/web/json", &[]).await.unwrap();
    assert_eq!(none.status, 404);
    assert_eq!(none.text(), "{\"message\":\"No such container: web\"}\n");
    assert_eq!(none.header("Content-Type"), Some("application/json"));
}

#[tokio::test]
async fn the_other_lists_have_mobys_shapes() {
    let builder = node1()
        .images(vec![
            fixture::image("sha256:1", &["a/b:1"], 1),
            fixture::image("sha256:2", &[], 2),
        ])
        .volumes(vec![fixture::volume("data")])
        .networks(vec![fixture::network("n1", "bridge", "local")]);
    let (_engine, client) = start(builder).await;
    let get = async |target: &str| client.get(target, &[]).await.unwrap().json().unwrap();
    assert_eq!(get("/images/json").await[0]["Id"], "sha256:2");
    assert_eq!(get("/images/a/b:1/json").await["Id"], "sha256:1");
    assert_eq!(get("/volumes").await["Volumes"][0]["Name"], "data");
    assert_eq!(get("/volumes").await["Warnings"], Value::Null);
    assert_eq!(get("/volumes/data").await["Driver"], "local");
    assert_eq!(get("/networks").await[0]["Name"], "bridge");
    assert_eq!(get("/networks/n1").await["Name"], "bridge");
    for missing in ["/images/a/json", "/volumes/a", "/networks/a"] {
        assert_eq!(client.get(missing, &[]).await.unwrap().status, 404);
    }
}

#[tokio::test]
async fn only_a_manager_answers_for_the_swarm() {
    let rows = vec![fixture::node("n1", "node1", "manager")];
    let (engine, client) = start(node1().manager(true).swarm_objects("nodes", rows)).await;
    let nodes = client.get("/nodes", &[]).await.unwrap();
    assert_eq!(nodes.json().unwrap()[0]["Description"]["Hostname"], "node1");
    let services = client.get("/services", &[]).await.unwrap();
    assert_eq!(services.text(), "[]\n");

    engine.set_manager(false);
    for path in ["/nodes", "/services", "/tasks", "/secrets", "/configs"] {
        let refused = client.get(path, &[]).await.unwrap();
        assert_eq!(refused.status, 503);
        let message = refused.message().unwrap();
        assert!(message.contains("Worker nodes can't be used"), "{message}");
    }
    engine.set_in_swarm(false);
    let message = client.get("/nodes", &[]).await.unwrap().message().unwrap();
    assert!(message.contains("\"docker swarm init\""), "{message}");
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let (_engine, client) = start(node1()).await;
    for (method, target) in [("GET", "/nothing"), ("DELETE", "/info"), ("GET", "/")] {
        let answer = client.request(method, target, &[], b"").await.unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.text(), "{\"message\":\"page not found\"}\n");
    }
}

#[tokio::test]
async fn a_fixed_answer_replaces_the_engines_own() {
    let builder = node1().answer("POST", "/containers/create", 201, json!({ "Id": "c1" }));
    let (engine, client) = start(builder).await;
    let body = br#"{"Image":"busybox"}"#;
    let created = client.request("POST", "/v1.45/containers/create?name=web", &[], body);
    let created = created.await.unwrap();
    assert_eq!(
        (created.status, created.json().unwrap()),
        (201, json!({ "Id": "c1" }))
    );
    assert_eq!(engine.requests()[0].json().unwrap()["Image"], "busybox");

    engine.set_answer("DELETE", "/containers/c1", 204, Value::Null);
    let deleted = client.request("DELETE", "/containers/c1", &[], b"").await;
    let deleted = deleted.unwrap();
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
}

#[tokio::test]
async fn a_short_answer_has_a_length_and_a_long_one_is_chunked() {
    let (engine, client) = start(node1()).await;
    let short = client.get("/containers/json", &[]).await.unwrap();
    assert_eq!(short.header("Content-Length"), Some("3"));
    let many = (0..50).map(|n| fixture::container(&format!("{n:064}"), "x", n, 0));
    engine.set_containers(many.collect());
    let long = client.get("/containers/json", &[]).await.unwrap();
    assert_eq!(long.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(long.header("Content-Length"), None);
    assert_eq!(long.json().unwrap().as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn requests_are_logged_with_the_number_of_their_connection() {
    let (engine, client) = start(node1()).await;
    let mut one = client.connect().await.unwrap();
    one.request("GET", "/v1.45/info?x=1", &[("A", "1"), ("a", "2")], b"")
        .await
        .unwrap();
    one.request("POST", "/build", &[], b"context")
        .await
        .unwrap();
    client
        .get("/_ping", &[("Connection", "close")])
        .await
        .unwrap();

    let seen = engine.requests();
    let connections: Vec<_> = seen.iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 1, 2]);
    assert_eq!(seen[0].target, "/v1.45/info?x=1");
    assert_eq!(seen[0].head.all("a").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen[1].body.start, b"context");
    assert_eq!(engine.requests_to("/info").len(), 1);
    assert_eq!(engine.connections(), 2);
    drop(one);
    assert!(eventually(|| engine.open_connections() == 0).await);
}

#[tokio::test]
async fn a_connection_closes_on_request_and_on_bytes_that_are_not_http() {
    let (_engine, client) = start(node1()).await;
    let mut connection = client.connect().await.unwrap();
    let close = connection.request("GET", "/info", &[("Connection", "close")], b"");
    assert_eq!(close.await.unwrap().header("Connection"), Some("close"));
    assert!(connection.closed().await.unwrap());
    for raw in [
        "nonsense\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nx\r\n\r\n",
    ] {
        assert_eq!(
            client.raw(raw.as_bytes()).await.unwrap().status,
            400,
            "{raw:?}"
        );
    }
}

#[tokio::test]
async fn a_request_with_expect_gets_100_continue() {
    let (engine, client) = start(node1()).await;
    let mut connection = client.connect().await.unwrap();
    let head = "POST /build HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    connection.send(head.as_bytes()).await.unwrap();
    connection.send(b"data").await.unwrap();
    assert_eq!(connection.response("POST").await.unwrap().status, 200);
    assert_eq!(engine.requests()[0].body.start, b"data");
}

#[tokio::test]
async fn an_engine_can_listen_on_tcp_too() {
    let builder = node1().tcp("127.0.0.3:0".parse().unwrap());
    let (engine, _) = start(builder).await;
    let client = Client::tcp(engine.addr().unwrap());
    assert_eq!(client.get("/_ping", &[]).await.unwrap().status, 200);
}
