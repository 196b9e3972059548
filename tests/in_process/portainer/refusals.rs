//! Servers that are refused, and agents without this interface.

use super::*;
use crate::common::secret_file;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_proof_gets_the_errors_that_portainer_expects() {
    swarm()
        .run(async |bed| {
            let good = server();
            let (key, signature) = (good.public_key(), good.signature());
            let unknown = Server::new(9, "Portainer-App");
            let (other_key, other) = (unknown.public_key(), unknown.signature());
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
            // A server cannot act on behalf of others, and a signature header is checked by itself.
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
async fn malformed_requests_get_the_agents_headers_too() {
    swarm()
        .run(async |bed| {
            let operator = bed.operator("n1");
            for (bytes, status) in [
                ("CONNECT docker:2375 HTTP/1.1\r\nHost: docker\r\n\r\n", 405),
                ("GET / HTTP/3.7\r\nHost: docker\r\n\r\n", 400),
                ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
                ("no request at all\r\n\r\n", 400),
            ] {
                let answer = operator.client().raw(bytes.as_bytes()).await.unwrap();
                assert_eq!(answer.status, status, "{bytes}");
                for (name, value) in HEADERS {
                    let all: Vec<_> = answer.head.all(name).collect();
                    assert_eq!(all, [value], "{bytes}: {name}");
                }
                assert!(answer.message().is_some_and(|m| !m.is_empty()), "{bytes}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_a_swarm_there_are_no_agents_and_targets_are_ignored() {
    let alone = manager("n1").engine(|engine| with_objects("c1")(engine).in_swarm(false));
    ClusterBuilder::of([alone])
        .without_settling()
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
async fn without_the_setting_the_portainer_interface_is_absent() {
    ClusterBuilder::of([manager("n1")])
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
async fn with_a_public_key_only_its_holder_is_accepted() {
    let with_key = |hostname: &str, folder: &Path, config: &mut Config| {
        let file = secret_file(folder, "portainer.pub", &Server::new(3, "").public_key());
        config.state_dir = folder.join(hostname);
        config.auth.portainer = Some(Portainer {
            secret: None,
            public_key_file: Some(file),
            ..portainer()
        });
    };
    ClusterBuilder::of([manager("n1")])
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
