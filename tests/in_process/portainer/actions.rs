//! Actions of a server's user: the node that carries them out, and the request
//! that arrives there.

use serde_json::json;

use super::*;
use crate::common::is_private;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_goes_to_the_named_node_with_its_empty_body() {
    let start = |engine: EngineBuilder| {
        let engine = engine.answer("POST", "/containers/c2/start", 200, json!({}));
        engine.answer("POST", "/images/create", 200, json!({}))
    };
    let nodes = [
        manager("n1"),
        worker("n2").engine(with_objects("c2")).engine(start),
    ];
    ClusterBuilder::of(nodes)
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
            assert_eq!(answer.status, 415);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_deploys_a_stack_whatever_node_is_named() {
    let creates = |engine: EngineBuilder| {
        let engine = engine.answer("POST", "/services/create", 201, json!({ "ID": "s" }));
        engine.answer("POST", "/networks/create", 201, json!({ "Id": "n" }))
    };
    let nodes = [
        manager("n1").engine(with_objects("c1")).engine(creates),
        worker("n2").engine(with_objects("c2")),
        worker("n3"),
    ];
    ClusterBuilder::of(nodes)
        .configure(with_secret)
        .run(async |bed| {
            let server = server();
            let headers_for_manager = [
                ("X-PortainerAgent-ManagerOperation", "1"),
                ("X-PortainerAgent-Target", "n3"),
            ];
            let filter = "/networks?filters=%7B%22label%22%3A%5B%22a%22%5D%7D";
            for target in ["/_ping", "/info", filter, "/services", "/nodes"] {
                let answer = server
                    .ask(bed, "n2", "GET", target, &headers_for_manager, b"")
                    .await;
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                assert!(
                    answer.header("Skep-Node").unwrap().ends_with(" n1"),
                    "{target}"
                );
                assert!(!answer.text().contains("NodeName"), "{target}");
            }
            let service = br#"{"Name":"web","TaskTemplate":{}}"#;
            let headers = [
                headers_for_manager[0],
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
            // A target does not matter for a Swarm list either.
            for target in ["/services", "/info"] {
                let answer = server
                    .ask(bed, "n2", "GET", target, &headers_for_manager[1..], b"")
                    .await;
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
async fn unsigned_bodies_decide_the_route_and_arrive_whole() {
    let takes = |engine: EngineBuilder| {
        let engine = engine.answer("POST", "/networks/net/connect", 200, json!({}));
        engine.answer("POST", "/containers/c2/exec", 201, json!({ "Id": "e" }))
    };
    let nodes = [
        manager("n1").engine(with_objects("c1")),
        worker("n2").engine(with_objects("c2")).engine(takes),
    ];
    ClusterBuilder::of(nodes)
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
            // A build or an import has no limit.
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
async fn an_unknown_node_gets_the_error_of_portainers_agent() {
    swarm()
        .run(async |bed| {
            let nowhere = [("X-PortainerAgent-Target", "n9")];
            let target = "/containers/c1/top";
            let answer = server().ask(bed, "n1", "GET", target, &nowhere, b"").await;
            assert_eq!(answer.status, 500);
            let error = answer.json().unwrap();
            assert_eq!(
                error["message"],
                "The agent was unable to contact any other agent"
            );
            let details = error["details"].as_str().unwrap();
            assert!(
                details.starts_with("Unable to find the targeted agent"),
                "{details}"
            );
        })
        .await;
}
