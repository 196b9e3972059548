//! A Portainer server as the caller: what it sends to its agents, replayed.

mod common;

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use common::{Bed, Cluster, is_private, manager, secret_file, worker};
use futures::future::join_all;
use md5::{Digest as _, Md5};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use skep::config::{Config, Grant, Hidden, Portainer, SecretSource};
use skep_bed::{EngineBuilder, Response, eventually, fixture};

const SECRET: &str = "a secret of server and agents";

const HEADERS: [(&str, &str); 3] = [
    ("Portainer-Agent", "2.45.0"),
    ("Portainer-Agent-API-Version", "2"),
    ("Portainer-Agent-Platform", "1"),
];

/// How every P-256 key begins in DER.
const SPKI: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// A Portainer server: its key, and what it signs.
struct Server {
    key: SigningKey,
    message: &'static str,
}

impl Server {
    fn new(seed: u8, message: &'static str) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).expect("a key");
        Self { key, message }
    }

    fn public_key(&self) -> String {
        let point = self.key.verifying_key().to_sec1_point(false);
        let digits = point.as_bytes().iter().map(|byte| format!("{byte:02x}"));
        SPKI.to_owned() + &digits.collect::<String>()
    }

    fn signature(&self) -> String {
        let digest = Md5::digest(self.message);
        let signature: Signature = self.key.sign_prehash(&digest).expect("a signature");
        STANDARD_NO_PAD.encode(signature.to_bytes())
    }

    /// Asks a node's agent, with header names as Go writes them.
    async fn ask(
        &self,
        bed: &Bed,
        node: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let (key, signature) = (self.public_key(), self.signature());
        let mut all = vec![
            ("X-Portaineragent-Publickey", key.as_str()),
            ("X-Portaineragent-Signature", signature.as_str()),
        ];
        all.extend(headers);
        send(bed, node, method, target, &all, body).await
    }

    async fn get(&self, bed: &Bed, node: &str, target: &str) -> Response {
        self.ask(bed, node, "GET", target, &[], b"").await
    }
}

async fn send(
    bed: &Bed,
    node: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let operator = bed.operator(node);
    let sent = operator.client().request(method, target, headers, body);
    let answer = sent
        .await
        .unwrap_or_else(|e| panic!("{method} {target}: {e}"));
    for (name, value) in HEADERS {
        let all: Vec<_> = answer.head.all(name).collect();
        assert_eq!(all, [value], "{method} {target}: {name}");
    }
    answer
}

fn server() -> Server {
    Server::new(1, SECRET)
}

fn portainer() -> Portainer {
    Portainer {
        secret: Some(SecretSource::Given(Hidden::new(SECRET.into()))),
        public_key_file: None,
        first_use: false,
        grant: Grant::admin(),
    }
}

fn with_secret(hostname: &str, folder: &Path, config: &mut Config) {
    config.state_dir = folder.join(hostname);
    config.auth.portainer = Some(portainer());
}

fn with_first_use(hostname: &str, folder: &Path, config: &mut Config) {
    config.state_dir = folder.join(hostname);
    config.auth.portainer = Some(Portainer {
        secret: None,
        first_use: true,
        ..portainer()
    });
}

fn holding(id: &'static str) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    move |engine| {
        engine
            .containers(vec![fixture::container(id, &format!("name-{id}"), 1, 0)])
            .images(vec![fixture::image(&format!("sha256:{id}"), &["app:1"], 1)])
            .volumes(vec![fixture::volume("data")])
            .networks(vec![fixture::network("overlay1", "net", "swarm")])
            .swarm_objects("services", vec![])
    }
}

fn swarm() -> Cluster<'static> {
    let nodes = [
        manager("n1").engine(holding("c1")),
        worker("n2").engine(holding("c2")),
    ];
    Cluster::of(nodes).configure(with_secret)
}

fn nodes_of(rows: &Value) -> Vec<String> {
    let rows = rows.as_array().expect("a list").iter();
    let name = |row: &Value| {
        row["Portainer"]["Agent"]["NodeName"]
            .as_str()
            .map(str::to_owned)
    };
    let mut names: Vec<_> = rows.filter_map(name).collect();
    names.sort();
    names
}

fn asked(bed: &Bed, node: &str, path: &str) -> usize {
    bed.node(node).engine.requests_to(path).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_can_be_added() {
    swarm()
        .run(async |bed| {
            for target in ["/ping", "/v2/ping", "/v1.41/ping", "/v1.44/v2/ping"] {
                let answer = send(bed, "n2", "GET", target, &[], b"").await;
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (204, ""),
                    "{target}"
                );
                assert_eq!(answer.header("Skep-Node"), None);
                assert_eq!(answer.header("Content-Length"), None);
            }
            let answer = send(bed, "n2", "GET", "/_ping", &[], b"").await;
            assert_eq!(answer.status, 401);
            for method in ["GET", "POST"] {
                let answer = send(bed, "n1", method, "/key", &[], b"").await;
                assert_eq!(answer.status, 503);
                assert!(answer.message().unwrap().starts_with("Edge key management"));
            }
            assert!(bed.node("n1").asked().is_empty() && bed.node("n2").asked().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_whole_through_any_agent() {
    swarm()
        .run(async |bed| {
            let server = server();
            for node in ["n1", "n2"] {
                let answer = server.ask(bed, node, "HEAD", "/_ping", &[], b"").await;
                assert_eq!(
                    (answer.status, answer.header("Swarm")),
                    (
                        200,
                        Some(&*format!(
                            "active/{}",
                            if node == "n1" { "manager" } else { "worker" }
                        ))
                    )
                );
                let info = server.get(bed, node, "/v1.41/info").await.json().unwrap();
                assert_eq!(info["Swarm"]["ControlAvailable"], true);
                assert_eq!(info["Swarm"]["Cluster"]["ID"], "bedcluster000000000000000");
                for list in ["/services", "/nodes"] {
                    assert_eq!(server.get(bed, node, list).await.status, 200, "{list}");
                }
                let rows = server.get(bed, node, "/v1.41/containers/json?all=1").await;
                let rows = rows.json().unwrap();
                assert_eq!(nodes_of(&rows), ["n1", "n2"]);
                for row in rows.as_array().unwrap() {
                    let id = row["Id"].as_str().unwrap();
                    let answer = server
                        .get(bed, node, &format!("/v1.41/containers/{id}/json"))
                        .await;
                    assert_eq!(answer.json().unwrap()["Id"], id);
                }
                let images = server.get(bed, node, "/images/json").await.json().unwrap();
                assert_eq!(nodes_of(&images), ["n1", "n2"]);
                let volumes = server.get(bed, node, "/volumes").await.json().unwrap();
                assert_eq!(nodes_of(&volumes["Volumes"]), ["n1", "n2"]);
                let networks = server.get(bed, node, "/networks").await.json().unwrap();
                let agents = server.get(bed, node, "/v2/agents").await.json().unwrap();
                let known: Vec<_> = agents
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|a| a["NodeName"].clone())
                    .collect();
                for name in nodes_of(&networks) {
                    assert!(known.contains(&name.into()), "{networks}");
                }
                assert_eq!(server.get(bed, node, "/version").await.status, 200);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_listed_by_node_id_in_the_agent_s_form() {
    swarm()
        .run(async |bed| {
            for target in ["/agents", "/v1/agents", "/v2/agents", "/v1.41/v2/agents"] {
                let answer = server().get(bed, "n2", target).await;
                let port = |n: &str| bed.node(n).address.port().to_string();
                let ip = |n: &str| bed.node(n).address.ip().to_string();
                let expected = json!([
                    { "IPAddress": ip("n1"), "Port": port("n1"), "NodeName": "n1", "NodeRole": "manager", "EdgeKeySet": false },
                    { "IPAddress": ip("n2"), "Port": port("n2"), "NodeName": "n2", "NodeRole": "worker", "EdgeKeySet": false },
                ]);
                assert_eq!(answer.json().unwrap(), expected, "{target}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_version_in_the_path_is_raised_to_what_the_engine_serves() {
    let newer = |engine: EngineBuilder| {
        let body = json!({ "Version": "29.0.0", "ApiVersion": "1.52", "MinAPIVersion": "1.44" });
        engine.answer("GET", "/version", 200, body)
    };
    let nodes = [
        manager("n1").engine(holding("c1")).engine(newer),
        worker("n2").engine(holding("c2")).engine(newer),
    ];
    Cluster::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            for (node, id) in [("n1", "c1"), ("n1", "c2"), ("n2", "c2")] {
                let target = format!("/v1.41/containers/{id}/json");
                assert_eq!(server.get(bed, node, &target).await.status, 200);
            }
            let rows = server.get(bed, "n1", "/v1.41/containers/json?all=1").await;
            assert_eq!(nodes_of(&rows.json().unwrap()), ["n1", "n2"]);
            for node in ["n1", "n2"] {
                for seen in bed.node(node).asked() {
                    assert!(seen.target.starts_with("/v1.44/"), "{}", seen.target);
                }
            }
            // Others get what they ask for.
            let operator = bed.operator("n1");
            operator.get("/v1.41/containers/c1/json").await.unwrap();
            let last = bed.node("n1").asked().pop().unwrap();
            assert_eq!(last.target, "/v1.41/containers/c1/json");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_goes_to_the_named_node_with_its_empty_body() {
    let start = |engine: EngineBuilder| {
        let engine = engine.answer("POST", "/containers/c2/start", 200, json!({}));
        engine.answer("POST", "/images/create", 200, json!({}))
    };
    let nodes = [
        manager("n1"),
        worker("n2").engine(holding("c2")).engine(start),
    ];
    Cluster::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            let here = [("X-PortainerAgent-Target", "n2")];
            let target = "/v1.41/containers/c2/start";
            let answer = server.ask(bed, "n1", "POST", target, &here, b"").await;
            assert_eq!(answer.status, 200);
            assert!(answer.header("Skep-Node").unwrap().ends_with(" n2"));
            let seen = bed.node("n2").engine.requests_to("/containers/c2/start");
            assert_eq!(seen[0].header("Content-Length"), Some("0"));

            // As axios sends a POST without data.
            let form = [
                ("X-PortainerAgent-Target", "n2"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                ("X-Registry-Auth", "e30="),
            ];
            let target = "/images/create?fromImage=app:1";
            let answer = server.ask(bed, "n1", "POST", target, &form, b"").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = &bed.node("n2").engine.requests_to("/images/create")[0];
            assert_eq!(seen.header("X-Registry-Auth"), Some("e30="));
            assert!(!seen.head.headers.iter().any(|(name, _)| is_private(name)));
            let answer = server
                .ask(bed, "n1", "POST", target, &form, b"fromSrc=-")
                .await;
            assert_eq!(answer.status, 400);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_is_deployed_by_a_manager_whatever_node_is_named() {
    let creates = |engine: EngineBuilder| {
        let engine = engine.answer("POST", "/services/create", 201, json!({ "ID": "s" }));
        engine.answer("POST", "/networks/create", 201, json!({ "Id": "n" }))
    };
    let nodes = [
        manager("n1").engine(holding("c1")).engine(creates),
        worker("n2").engine(holding("c2")),
        worker("n3"),
    ];
    Cluster::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            let wish = [
                ("X-PortainerAgent-ManagerOperation", "1"),
                ("X-PortainerAgent-Target", "n3"),
            ];
            let filter = "/networks?filters=%7B%22label%22%3A%5B%22a%22%5D%7D";
            for target in ["/_ping", "/info", filter, "/services", "/nodes"] {
                let answer = server.ask(bed, "n2", "GET", target, &wish, b"").await;
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                assert!(
                    answer.header("Skep-Node").unwrap().ends_with(" n1"),
                    "{target}"
                );
                assert!(!answer.text().contains("NodeName"), "{target}");
            }
            let service = br#"{"Name":"web","TaskTemplate":{}}"#;
            let headers = [
                wish[0],
                ("Content-Type", "application/json"),
                ("X-Registry-Auth", "e30="),
            ];
            for target in ["/services/create", "/networks/create"] {
                let answer = server
                    .ask(bed, "n2", "POST", target, &headers, service)
                    .await;
                assert_eq!(answer.status, 201, "{}", answer.text());
                let seen = bed.node("n1").engine.requests_to(target).remove(0);
                assert_eq!(seen.body.start, service);
                assert_eq!(seen.header("X-Registry-Auth"), Some("e30="));
            }
            // A node that is named for a list of the Swarm's does not matter either.
            for target in ["/services", "/info"] {
                let answer = server.ask(bed, "n2", "GET", target, &wish[1..], b"").await;
                assert_eq!(answer.status, 200, "{target}");
                assert!(
                    answer.header("Skep-Node").unwrap().ends_with(" n1"),
                    "{target}"
                );
            }
            for node in ["n2", "n3"] {
                assert!(bed.node(node).asked().is_empty(), "{node}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_nothing_signs_are_routed_by_and_arrive_whole() {
    let takes = |engine: EngineBuilder| {
        let engine = engine.answer("POST", "/networks/net/connect", 200, json!({}));
        engine.answer("POST", "/containers/c2/exec", 201, json!({ "Id": "e" }))
    };
    let nodes = [
        manager("n1").engine(holding("c1")),
        worker("n2").engine(holding("c2")).engine(takes),
    ];
    Cluster::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            let kind = [("Content-Type", "application/json")];
            let connect = br#"{"Container":"c2","EndpointConfig":{"Aliases":["a"]}}"#;
            let exec = br#"{"Cmd":["sh"],"Tty":true}"#;
            for (target, body) in [
                ("/networks/net/connect", &connect[..]),
                ("/containers/c2/exec", &exec[..]),
            ] {
                let answer = server.ask(bed, "n1", "POST", target, &kind, body).await;
                assert!(answer.status < 300, "{target}: {}", answer.text());
                let seen = bed.node("n2").engine.requests_to(target).remove(0);
                assert_eq!(seen.body.start, body);
                let chunked = format!(
                    "{:x}\r\n{}\r\n0\r\n\r\n",
                    body.len(),
                    String::from_utf8_lossy(body)
                );
                let headers = [kind[0], ("Transfer-Encoding", "chunked")];
                let answer = server
                    .ask(bed, "n1", "POST", target, &headers, chunked.as_bytes())
                    .await;
                assert!(answer.status < 300, "{target}: {}", answer.text());
                let seen = bed.node("n2").engine.requests_to(target).remove(1);
                assert_eq!(seen.body.start, body);
            }
            let long = vec![b' '; (4 << 20) + 1];
            let answer = server
                .ask(bed, "n1", "POST", "/containers/c2/exec", &kind, &long)
                .await;
            assert_eq!(answer.status, 413);
            // A build or an import is as long as it likes.
            let headers = [
                ("X-PortainerAgent-Target", "n2"),
                ("Content-Type", "application/x-tar"),
            ];
            let answer = server
                .ask(bed, "n1", "POST", "/images/load", &headers, &long)
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = bed.node("n2").engine.requests_to("/images/load").remove(0);
            assert_eq!(seen.body.bytes, long.len() as u64);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_prove_it_hears_what_the_server_looks_for() {
    swarm()
        .run(async |bed| {
            let good = server();
            let (key, signature) = (good.public_key(), good.signature());
            let stranger = Server::new(9, "Portainer-App");
            let (other_key, other) = (stranger.public_key(), stranger.signature());
            let name = ("X-PortainerAgent-PublicKey", "X-PortainerAgent-Signature");
            let invalid = "Invalid request signature";
            let missing = "Missing request signature headers";
            for (headers, message) in [
                (vec![(name.0, &*key)], missing),
                (vec![(name.1, &*signature)], missing),
                (vec![(name.0, ""), (name.1, &*signature)], missing),
                (vec![(name.0, &*other_key), (name.1, &*other)], invalid),
                (vec![(name.0, &*other_key), (name.1, &*signature)], invalid),
                (vec![(name.0, &*key), (name.1, "AAAA")], invalid),
                (vec![(name.0, "zz"), (name.1, &*signature)], invalid),
                (
                    vec![
                        (name.0, &*key),
                        (name.1, &*signature),
                        (name.1, &*signature),
                    ],
                    invalid,
                ),
            ] {
                let answer = send(bed, "n1", "GET", "/containers/json", &headers, b"").await;
                assert_eq!(answer.status, 403, "{headers:?}");
                assert_eq!(answer.message().as_deref(), Some(message));
                assert!(answer.json().unwrap()["details"].is_string());
                assert_eq!(answer.header("Skep-Node"), None);
            }
            // Nobody speaks for others in this way, and another proof is judged by itself.
            let for_others = [("Skep-On-Behalf-Of", "key:root")];
            let answer = good.ask(bed, "n1", "GET", "/info", &for_others, b"").await;
            assert_eq!(answer.status, 400);
            let unsigned = [("Signature", "sig1=:AA==:")];
            let answer = good.ask(bed, "n1", "GET", "/info", &unsigned, b"").await;
            assert_eq!(answer.status, 401);
            assert!(bed.node("n1").asked().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_node_is_told_in_the_agent_s_words() {
    swarm()
        .run(async |bed| {
            let nowhere = [("X-PortainerAgent-Target", "n9")];
            let target = "/containers/c1/top";
            let answer = server().ask(bed, "n1", "GET", target, &nowhere, b"").await;
            assert_eq!(answer.status, 500);
            let said = answer.json().unwrap();
            assert_eq!(
                said["message"],
                "The agent was unable to contact any other agent"
            );
            let details = said["details"].as_str().unwrap();
            assert!(
                details.starts_with("Unable to find the targeted agent"),
                "{details}"
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_lost_between_list_and_inspect_does_not_spoil_a_snapshot() {
    swarm()
        .run(async |bed| {
            let server = server();
            let rows = server.get(bed, "n1", "/containers/json?all=1").await;
            assert_eq!(nodes_of(&rows.json().unwrap()), ["n1", "n2"]);
            bed.node_mut("n2").kill().await;
            for _ in 0..3 {
                let answer = server.get(bed, "n1", "/containers/c2/json").await;
                assert!(answer.status >= 404, "{}", answer.status);
                let message = answer.message().unwrap();
                assert!(message.contains("No such container: c2"), "{message}");
            }
            let answer = server.get(bed, "n1", "/containers/c1/json").await;
            assert_eq!(answer.status, 200);
            let rows = server.get(bed, "n1", "/containers/json?all=1").await;
            assert_eq!(nodes_of(&rows.json().unwrap()), ["n1"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_a_swarm_there_are_no_agents_and_no_targets() {
    let alone = manager("n1").engine(|engine| holding("c1")(engine).in_swarm(false));
    Cluster::of([alone])
        .unawaited()
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            for target in ["/agents", "/v2/agents"] {
                let answer = server.get(bed, "n1", target).await;
                assert_eq!(answer.status, 503);
                assert_eq!(
                    answer.message().as_deref(),
                    Some("Agent management is not available when running the agent on a standalone engine")
                );
            }
            let headers = [
                ("X-PortainerAgent-Target", "elsewhere"),
                ("X-PortainerAgent-ManagerOperation", "1"),
            ];
            let answer = server.ask(bed, "n1", "GET", "/containers/json", &headers, b"").await;
            assert_eq!(answer.status, 200);
            assert!(!answer.text().contains("NodeName"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_setting_there_is_no_such_interface() {
    Cluster::of([manager("n1")])
        .run(async |bed| {
            let operator = bed.operator("n1");
            let server = server();
            let (key, signature) = (server.public_key(), server.signature());
            let headers = [
                ("X-PortainerAgent-PublicKey", key.as_str()),
                ("X-PortainerAgent-Signature", signature.as_str()),
            ];
            for target in ["/ping", "/v2/agents", "/info"] {
                let answer = operator.client().get(target, &headers).await.unwrap();
                assert_eq!(answer.status, 401, "{target}");
                assert_eq!(answer.header("Portainer-Agent"), None);
            }
            for target in [
                "/ping",
                "/v2/agents",
                "/v2/browse/ls?path=/",
                "/v2/host/info",
            ] {
                let answer = operator.get(target).await.unwrap();
                assert_eq!(answer.status, 404, "{target}: {}", answer.text());
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_public_key_its_holder_alone_is_let_in() {
    let with_key = |hostname: &str, folder: &Path, config: &mut Config| {
        let file = secret_file(folder, "portainer.pub", &Server::new(3, "").public_key());
        config.state_dir = folder.join(hostname);
        config.auth.portainer = Some(Portainer {
            secret: None,
            public_key_file: Some(file),
            ..portainer()
        });
    };
    Cluster::of([manager("n1")])
        .configure(with_key)
        .run(async |bed| {
            for (seed, message, status) in [
                (3, "Portainer-App", 200),
                (3, SECRET, 403),
                (4, "Portainer-App", 403),
            ] {
                let answer = Server::new(seed, message).get(bed, "n1", "/info").await;
                assert_eq!(answer.status, status, "{seed} {message}");
            }
        })
        .await;
}

fn app(seed: u8) -> Server {
    Server::new(seed, "Portainer-App")
}

async fn status(server: &Server, bed: &Bed, node: &str) -> u16 {
    server.get(bed, node, "/info").await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_server_that_proves_itself_stays_the_only_one() {
    let nodes = [manager("n1"), worker("n2")];
    Cluster::of(nodes)
        .configure(with_first_use)
        .run(async |bed| {
            // Keys without a valid signature leave nothing behind.
            for seed in 20..24 {
                let bad = Server::new(seed, "something else");
                assert_eq!(status(&bad, bed, "n1").await, 403);
            }
            let (owner, stranger) = (app(1), app(2));
            assert_eq!(status(&owner, bed, "n1").await, 200);
            // The other agent was never called, and knows.
            assert_eq!(status(&stranger, bed, "n2").await, 403);
            assert_eq!(status(&stranger, bed, "n1").await, 403);
            assert_eq!(status(&owner, bed, "n2").await, 200);
            // What agents tell each other is for agents.
            let told = bed.operator("n1").get("/skep/v1/portainer").await.unwrap();
            assert_eq!(told.status, 404);
            // All agents at once forget nothing.
            for node in ["n1", "n2"] {
                bed.node_mut(node).stopping().await;
            }
            for node in ["n1", "n2"] {
                bed.node_mut(node).start().await.unwrap();
                assert_eq!(status(&stranger, bed, node).await, 403);
                assert_eq!(status(&owner, bed, node).await, 200);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_lost_its_memory_hears_from_the_others() {
    Cluster::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let (owner, stranger) = (app(1), app(2));
            assert_eq!(status(&owner, bed, "n1").await, 200);
            let file = bed.node("n1").config.state_dir.join("portainer.json");
            assert!(eventually(|| bed.folder().join("n2/portainer.json").exists()).await);
            bed.node_mut("n1").stopping().await;
            std::fs::remove_file(&file).unwrap();
            bed.node_mut("n1").start().await.unwrap();
            // Whatever it knows of the others by now, it does not fall for a stranger.
            assert_eq!(status(&stranger, bed, "n1").await, 403);
            bed.settle().await;
            assert_eq!(status(&stranger, bed, "n1").await, 403);
            assert_eq!(status(&owner, bed, "n1").await, 200);
            assert!(file.exists());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_another_node_may_know_a_key_none_is_taken() {
    let rarely = |hostname: &str, folder: &Path, config: &mut Config| {
        with_first_use(hostname, folder, config);
        config.cluster.interval = Duration::from_secs(3600);
    };
    Cluster::of([manager("n1"), worker("n2")])
        .configure(rarely)
        .run(async |bed| {
            bed.node_mut("n2").kill().await;
            let answer = app(1).get(bed, "n1", "/info").await;
            assert_eq!(answer.status, 403);
            let details = answer.json().unwrap()["details"].to_string();
            assert!(details.contains("n2"), "{details}");
            bed.node_mut("n2").start().await.unwrap();
            assert_eq!(status(&app(2), bed, "n1").await, 200);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_servers_that_come_at_once_one_stays() {
    Cluster::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let bed = &*bed;
            let servers: Vec<_> = (1..=8).map(app).collect();
            let at_once = servers.iter().map(|server| status(server, bed, "n1"));
            let let_in = join_all(at_once).await;
            assert_eq!(
                let_in.iter().filter(|s| **s == 200).count(),
                1,
                "{let_in:?}"
            );
        })
        .await;
    Cluster::of([manager("n1"), worker("n2")])
        .configure(with_first_use)
        .run(async |bed| {
            let bed = &*bed;
            let servers = [app(1), app(2)];
            let at_once = [
                status(&servers[0], bed, "n1"),
                status(&servers[1], bed, "n2"),
            ];
            join_all(at_once).await;
            let read =
                |node: &str| std::fs::read(bed.folder().join(node).join("portainer.json")).ok();
            let agreed = || read("n1").is_some() && read("n1") == read("n2");
            assert!(eventually(agreed).await);
            let mut seen = Vec::new();
            for server in &servers {
                seen.push((
                    status(server, bed, "n1").await,
                    status(server, bed, "n2").await,
                ));
            }
            seen.sort();
            assert_eq!(seen, [(200, 200), (403, 403)]);
            assert!(asked(bed, "n1", "/info") > 0);
        })
        .await;
}
