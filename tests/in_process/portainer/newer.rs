//! Behaviour of servers from 2.43 and of their UI that older ones lack.

use serde_json::{Value, json};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_creates_swarm_networks_whatever_node_is_named() {
    let creates = |engine: EngineBuilder| {
        engine.answer("POST", "/networks/create", 201, json!({ "Id": "n" }))
    };
    let nodes = [
        worker("a1").engine(creates),
        manager("m1").engine(creates),
        worker("z1").engine(creates),
    ];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            // The server removes the UI's header for a manager and keeps the target.
            let headers = [
                ("X-PortainerAgent-Target", "a1"),
                ("Content-Type", "application/json"),
            ];
            for (body, node) in [
                (&br#"{"Name":"o","Driver":"overlay"}"#[..], "m1"),
                (br#"{"Name":"m","Driver":"macvlan","Scope":"swarm"}"#, "m1"),
                (br#"{"Name":"b","Driver":"bridge"}"#, "a1"),
            ] {
                let target = "/v1.41/networks/create";
                let answer = server.ask(bed, "z1", "POST", target, &headers, body).await;
                assert_eq!(answer.status, 201, "{}", answer.text());
                let named = answer.header("Skep-Node").unwrap();
                assert!(named.ends_with(&format!(" {node}")), "{named}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_has_a_row_for_each_node() {
    let with_image = |tag: &'static str| {
        move |engine: EngineBuilder| engine.images(vec![fixture::image("sha256:a", &[tag], 1)])
    };
    let nodes = [
        manager("n1").engine(with_image("app:1")),
        worker("n2").engine(with_image("only2:1")),
    ];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let rows = server().get(bed, "n1", "/images/json").await;
            let rows: Value = rows.json().unwrap();
            let found: Vec<_> = (0..2)
                .map(|n| {
                    let name = &rows[n]["Portainer"]["Agent"]["NodeName"];
                    (rows[n]["RepoTags"].clone(), name.clone())
                })
                .collect();
            let expected = [
                (json!(["app:1"]), json!("n1")),
                (json!(["only2:1"]), json!("n2")),
            ];
            assert_eq!(found, expected, "{rows}");
            // Other clients see one image.
            let rows = bed.operator("n1").get("/images/json").await.unwrap();
            assert_eq!(rows.json().unwrap().as_array().map(Vec::len), Some(1));
        })
        .await;
}
