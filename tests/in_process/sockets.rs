//! Callers at a Unix socket, such as Traefik or a stock docker CLI with
//! `-H unix://`.
#![cfg(unix)]

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::common::{ClusterBuilder, TestCluster, generation, is_private, manager, worker};
use skep::agent::{Agent, StartError};
use skep::cli::health;
use skep::config::{ClusterMode, Config, Grant, Socket, SocketIdentity, SocketUser};
use skep_bed::{Client, EngineBuilder, fixture};
use skep_filters::auth::SigningKey;

const LIST: &str = "/containers/json";

fn has(id: &'static str) -> impl Fn(EngineBuilder) -> EngineBuilder {
    move |e| e.containers(vec![fixture::container(id, id, 1, 0)])
}

fn identity(name: &str) -> SocketIdentity {
    SocketIdentity {
        name: name.to_owned(),
        grant: Grant::admin(),
    }
}

fn socket(path: PathBuf) -> Socket {
    Socket {
        path,
        owner: None,
        group: None,
        mode: 0o660,
        users: Vec::new(),
        others: Some(identity("traefik")),
    }
}

fn at(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.sock"))
}

/// The user id of this test, from the file system.
fn own_uid() -> u32 {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.path().metadata().expect("its owner").uid()
}

/// Two nodes; the agent of n1 listens on `open` for all users, on `mine` for this
/// user, and on `others` for another user.
fn two_nodes() -> ClusterBuilder<'static> {
    let configure = |node: &str, folder: &Path, config: &mut Config| {
        if node != "n1" {
            return;
        }
        let only = |name: &str, uid: u32| Socket {
            users: vec![SocketUser {
                uid,
                identity: identity("backup"),
            }],
            others: None,
            ..socket(at(folder, name))
        };
        config.sockets = vec![
            socket(at(folder, "open")),
            only("mine", own_uid()),
            only("others", own_uid() + 1),
        ];
    };
    let nodes = [
        manager("n1").engine(has("exact")),
        worker("n2").engine(has("far")),
    ];
    ClusterBuilder::of(nodes).configure(configure)
}

fn client(bed: &TestCluster, name: &str) -> Client {
    Client::unix(at(bed.folder(), name))
}

fn assert_untouched(bed: &TestCluster) {
    for node in &bed.nodes {
        assert!(node.asked().is_empty(), "{:?}", node.asked());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_serves_the_whole_cluster() {
    two_nodes()
        .run(async |bed| {
            for name in ["open", "mine"] {
                let mut connection = client(bed, name).connect().await.unwrap();
                let list = connection.request("GET", LIST, &[], b"").await.unwrap();
                assert_eq!(list.status, 200, "{}", list.text());
                assert_eq!(list.json().unwrap().as_array().unwrap().len(), 2);
                let json = [("Content-Type", "application/json")];
                let update = "/containers/far/update";
                let answer = connection.request("POST", update, &json, b"{}").await;
                let answer = answer.unwrap();
                assert_eq!(answer.status, 404, "the engine's own: {}", answer.text());
            }
            assert_eq!(
                bed.node("n2")
                    .engine
                    .requests_to("/containers/far/update")
                    .len(),
                2
            );
            let chunked = [("Transfer-Encoding", "chunked")];
            let tar = b"3\r\ntar\r\n0\r\n\r\n";
            let open = client(bed, "open");
            let loaded = open.request("POST", "/images/load", &chunked, tar).await;
            assert_eq!(loaded.unwrap().status, 200);
            let asked = bed.node("n1").engine.requests_to("/images/load");
            assert_eq!(asked[0].body.start, b"tar");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exec_works_through_a_socket() {
    two_nodes()
        .run(async |bed| {
            for node in ["n1", "n2"] {
                let headers = [
                    ("Skep-Target", node),
                    ("Connection", "Upgrade"),
                    ("Upgrade", "tcp"),
                    ("Content-Type", "application/json"),
                ];
                let open = client(bed, "open");
                let start = "/exec/exact/start";
                let mut exec = open.hijack("POST", start, &headers, b"{}").await.unwrap();
                assert_eq!(exec.status, 101, "{node}");
                exec.stream.send(b"hello").await.unwrap();
                exec.stream.close_write().await.unwrap();
                let all = exec.stream.receive_to_end().await.unwrap();
                assert_eq!(all, b"hello", "{node}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlisted_user_gets_a_403_that_names_the_user() {
    two_nodes()
        .run(async |bed| {
            let answer = client(bed, "others").get(LIST, &[]).await.unwrap();
            assert_eq!(answer.status, 403, "{}", answer.text());
            let error = answer.message().unwrap();
            assert!(error.contains(&format!("user {} ", own_uid())), "{error}");
            assert!(error.contains("others.sock"), "{error}");
            assert_untouched(bed);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_does_not_change_the_identity_of_a_socket_caller() {
    two_nodes()
        .run(async |bed| {
            let operator = bed.operator("n1");
            let generation = generation();
            let id = generation.agent_key_id();
            let key = SigningKey::hmac(&id, generation.peer_key()).unwrap();
            let to = [("Skep-Target", bed.node("n1").id.as_str())];
            for signed in [
                operator.sign("GET", LIST, &to, b""),
                operator.with_key(key).sign("GET", LIST, &to, b""),
            ] {
                let refused = client(bed, "others").get(LIST, &signed.fields()).await;
                assert_eq!(refused.unwrap().status, 403);
                assert_untouched(bed);
            }
            // A caller at a socket cannot act on behalf of others.
            let on_behalf = [("Skep-On-Behalf-Of", "key:root")];
            let answer = client(bed, "open").get(LIST, &on_behalf).await.unwrap();
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert_untouched(bed);
            // The agent ignores the signature and does not pass it to an engine.
            let signed = operator.sign("GET", "/version", &[], b"");
            let answer = client(bed, "open")
                .get(LIST, &signed.fields())
                .await
                .unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            for node in &bed.nodes {
                let requests = node.engine.requests();
                let all = requests.iter().flat_map(|r| &r.head.headers);
                assert_eq!(all.filter(|(name, _)| is_private(name)).count(), 0);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_has_its_mode_and_is_removed_with_its_agent() {
    two_nodes()
        .run(async |bed| {
            let open = at(bed.folder(), "open");
            let found = open.symlink_metadata().unwrap();
            assert!(found.file_type().is_socket());
            assert_eq!(found.permissions().mode() & 0o777, 0o660);
            assert_eq!(found.uid(), own_uid());
            bed.node_mut("n1").stop().await;
            for name in ["open", "mine", "others"] {
                assert!(!at(bed.folder(), name).exists(), "{name}");
            }
            // A stale socket is replaced.
            drop(UnixListener::bind(&open).unwrap());
            bed.node_mut("n1").start().await.unwrap();
            assert_eq!(
                client(bed, "open")
                    .get("/version", &[])
                    .await
                    .unwrap()
                    .status,
                200
            );
            // A socket of another program stays.
            std::fs::remove_file(&open).unwrap();
            let other = UnixListener::bind(&open).unwrap();
            bed.node_mut("n1").stop().await;
            assert!(open.exists());
            drop(other);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_sees_the_path_that_it_has_opened() {
    two_nodes()
        .run(async |bed| {
            for name in ["open", "mine"] {
                let path = at(bed.folder(), name);
                let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
                let address = stream.peer_addr().unwrap();
                assert_eq!(address.as_pathname(), Some(&*path));
            }
        })
        .await;
}

/// Only root may change the owner; for other users the error must say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_has_its_configured_owner_and_group() {
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        config.cluster.mode = ClusterMode::Off;
        config.sockets = vec![socket(at(folder, "open"))];
    };
    ClusterBuilder::of([manager("n1")])
        .configure(configure)
        .without_settling()
        .run(async |bed| {
            bed.node_mut("n1").stop().await;
            let path = at(bed.folder(), "open");
            let node = bed.node_mut("n1");
            node.config.sockets[0].owner = Some(4711);
            node.config.sockets[0].group = Some(4712);
            node.config.sockets[0].mode = 0o640;
            match node.start().await {
                Ok(()) => {
                    let found = path.metadata().unwrap();
                    assert_eq!((found.uid(), found.gid()), (4711, 4712));
                    assert_eq!(found.permissions().mode() & 0o777, 0o640);
                }
                Err(error) => {
                    assert_ne!(own_uid(), 0, "{error}");
                    assert!(error.to_string().contains("not permitted"), "{error}");
                    assert!(!path.exists());
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_obstacle_at_the_path_of_a_socket_stops_the_start_and_stays() {
    two_nodes()
        .run(async |bed| {
            let mut config = bed.node("n1").config.clone();
            config.listen.clear();
            let file = bed.folder().join("file");
            std::fs::write(&file, "precious").unwrap();
            let nowhere = bed.folder().join("nowhere/s.sock");
            for (path, says) in [
                (file.clone(), "is not a socket"),
                (at(bed.folder(), "open"), "another program listens there"),
                (nowhere, "its folder does not exist"),
            ] {
                config.sockets = vec![socket(path)];
                let error = Agent::start(config.clone()).await.err().unwrap();
                assert!(matches!(error, StartError::Socket { .. }), "{error}");
                assert!(error.to_string().contains(says), "{error}");
            }
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
            // The attempts leave no files, and the running agent still listens.
            let left = std::fs::read_dir(bed.folder()).unwrap().flatten();
            let hidden = left.filter(|e| e.file_name().to_string_lossy().starts_with('.'));
            assert_eq!(hidden.count(), 0);
            assert_eq!(
                client(bed, "open").get(LIST, &[]).await.unwrap().status,
                200
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_listens_only_on_sockets_is_healthy() {
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        config.cluster.mode = ClusterMode::Off;
        config.listen.clear();
        config.sockets = vec![socket(at(folder, "open"))];
    };
    ClusterBuilder::of([manager("n1").engine(has("c1"))])
        .configure(configure)
        .without_settling()
        .run(async |bed| {
            let list = client(bed, "open").get(LIST, &[]).await.unwrap();
            assert_eq!(list.status, 200, "{}", list.text());
            let config = bed.node("n1").config.clone();
            let health = health::run(&config).await.unwrap();
            assert!(health.contains('{'), "{health}");
            bed.node_mut("n1").stop().await;
            assert!(health::run(&config).await.is_err());
        })
        .await;
}
