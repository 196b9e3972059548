//! Callers that are served the node of their agent only, as tools that run once per
//! node expect: `nodes: self`.
#![cfg(unix)]

use std::path::Path;

use skep::config::{Config, Grant, KeyFile, KeyMaterial, Nodes, Socket, SocketIdentity};
use skep_bed::{Client, EngineBuilder, eventually, fixture};
use skep_filters::auth::SigningKey;

use crate::common::{
    Caller, ClusterBuilder, TestCluster, generation, manager, secret_file, worker,
};

const KEY: &str = "Zq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";

fn own_grant() -> Grant {
    let mut grant = Grant::admin();
    grant.nodes = Nodes::Own;
    grant
}

/// Two nodes, and a socket of the worker whose callers are served that one only.
fn two_nodes() -> ClusterBuilder<'static> {
    let has = |id: &'static str| {
        move |e: EngineBuilder| {
            e.containers(vec![fixture::container(id, id, 1, 0)])
                .volumes(vec![fixture::volume(id)])
                .images(vec![fixture::image(id, &["app:1"], 1)])
        }
    };
    let nodes = [
        manager("n1").engine(has("far")),
        worker("n2").engine(has("here")),
    ];
    ClusterBuilder::of(nodes).configure(|node, folder: &Path, config: &mut Config| {
        config.auth.keys = vec![KeyFile {
            id: "once".to_owned(),
            material: KeyMaterial::Secret(secret_file(folder, "once", KEY)),
            grant: own_grant(),
            unsigned_streams: true,
        }];
        if node == "n2" {
            config.sockets = vec![Socket {
                path: folder.join("own.sock"),
                owner: None,
                group: None,
                mode: 0o660,
                users: Vec::new(),
                others: Some(SocketIdentity {
                    name: "traefik".to_owned(),
                    grant: own_grant(),
                }),
            }];
        }
    })
}

fn client(bed: &TestCluster) -> Client {
    Client::unix(bed.folder().join("own.sock"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_the_agents_own_engine() {
    two_nodes()
        .run(async |bed| {
            let n2 = bed.node("n2");
            let engine = Client::unix(n2.engine.socket());
            for path in [
                "/containers/json?all=1",
                "/v1.41/containers/json",
                "/images/json",
                "/volumes",
                "/networks",
                "/system/df",
                "/info",
                "/version",
                "/_ping",
                "/containers/here/json",
                "/containers/far/json",
                "/images/far/json",
                "/volumes/far",
                // What only a manager answers, this worker refuses.
                "/services",
                "/nodes",
                "/tasks",
            ] {
                let own = engine.get(path, &[]).await.unwrap();
                let answer = client(bed).get(path, &[]).await.unwrap();
                assert_eq!(answer.status, own.status, "{path}");
                assert_eq!(answer.text(), own.text(), "{path}");
                assert_eq!(answer.header("Skep-Missing"), None, "{path}");
            }
            let answer = client(bed).get("/containers/far/json", &[]).await.unwrap();
            assert_eq!(answer.status, 404, "{}", answer.text());
            assert!(
                bed.node("n1").asked().is_empty(),
                "{:?}",
                bed.node("n1").asked()
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_nodes_do_not_exist_by_name_either() {
    two_nodes()
        .run(async |bed| {
            let n1 = bed.node("n1").id.clone();
            for (target, status) in [("n1", 404), (&n1, 404), ("n2", 200), ("*", 200)] {
                let headers = [("Skep-Target", target)];
                let answer = client(bed).get("/containers/json", &headers).await.unwrap();
                assert_eq!(answer.status, status, "{target}: {}", answer.text());
                let rows = answer.json().unwrap();
                let rows = rows.as_array().map(Vec::len);
                assert_eq!(rows, (status == 200).then_some(1), "{target}");
            }
            // Portainer's header is a hint, and there is no other node to hint at.
            let hint = [("X-PortainerAgent-Target", "n1")];
            let answer = client(bed).get("/containers/json", &hint).await.unwrap();
            assert!(answer.text().contains("here"), "{}", answer.text());
            let metrics = client(bed).get("/skep/v1/metrics", &[]).await.unwrap();
            assert!(!metrics.text().contains(&n1), "{}", metrics.text());
            assert!(bed.node("n1").asked().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_new_containers_are_those_of_the_node() {
    two_nodes()
        .run(async |bed| {
            let mut events = client(bed)
                .stream("GET", "/events", &[], b"")
                .await
                .unwrap();
            let listens = || bed.node("n2").engine.listeners() == 1;
            assert!(eventually(listens).await);
            assert_eq!(bed.node("n1").engine.listeners(), 0);
            let event = fixture::event("local", "container", "start", "here", 1);
            bed.node("n2").engine.publish(event);
            let seen = events.next_chunk().await.unwrap().unwrap();
            assert!(String::from_utf8_lossy(&seen).contains("here"));
            drop(events);
            let json = [("Content-Type", "application/json")];
            let body = br#"{"Image":"app:1","Labels":{"skep.node":"n1"}}"#;
            let create = "/containers/create?name=far";
            let made = client(bed)
                .request("POST", create, &json, body)
                .await
                .unwrap();
            assert_eq!(made.status, 201, "{}", made.text());
            assert_eq!(
                bed.node("n2")
                    .engine
                    .requests_to("/containers/create")
                    .len(),
                1
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_for_one_node_is_served_the_node_that_it_calls() {
    two_nodes()
        .run(async |bed| {
            for (entry, id) in [("n1", "far"), ("n2", "here")] {
                let key = SigningKey::hmac("once", KEY.as_bytes()).unwrap();
                let caller = Caller::new(bed.node(entry).address, &generation(), None, key);
                let list = caller.get("/containers/json").await.unwrap();
                let list = list.json().unwrap();
                let rows = list.as_array().unwrap();
                assert_eq!(rows.len(), 1, "{list}");
                assert_eq!(rows[0]["Id"], id);
            }
        })
        .await;
}
