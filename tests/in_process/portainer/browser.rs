//! Headers of a browser that its server passes on to the agent.

use serde_json::json;

use super::*;
use crate::common::is_private;

/// The headers as Portainer 2.23 passes them on.
const BROWSER: [(&str, &str); 16] = [
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en"),
    ("Authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.secret.secret"),
    ("Cookie", "portainer_api_key=secret; _gorilla_csrf=secret"),
    ("Origin", "https://portainer.example.com"),
    ("Private-Token", "glpat-secret"),
    ("Proxy-Authorization", "Basic c2VjcmV0OnNlY3JldA=="),
    ("Referer", "https://portainer.example.com/"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
    ("User-Agent", "Mozilla/5.0"),
    ("X-Api-Key", "ptr_secret"),
    ("X-Csrf-Token", "secret"),
    ("X-Forwarded-For", "192.0.2.7"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browsers_credentials_stop_at_the_agent_and_cause_no_refusal() {
    let takes = |engine: EngineBuilder| {
        let engine = engine.answer("POST", "/containers/c2/start", 200, json!({}));
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
            let exec = &br#"{"Cmd":["sh"]}"#[..];
            for (method, target, body) in [
                ("GET", "/v1.41/containers/json?all=1", &b""[..]),
                ("GET", "/containers/c1/json", b""),
                ("GET", "/containers/c2/json", b""),
                ("GET", "/services", b""),
                ("GET", "/volumes", b""),
                ("POST", "/containers/c2/start", b""),
                ("POST", "/containers/c2/exec", exec),
                ("POST", "/images/load", b"an archive"),
            ] {
                let answer = server.ask(bed, "n1", method, target, &BROWSER, body).await;
                assert!(answer.status < 300, "{target}: {}", answer.text());
                let coding = answer.header("Content-Encoding").unwrap_or("identity");
                assert!(["identity", "gzip"].contains(&coding), "{target}: {coding}");
            }
            for node in ["n1", "n2"] {
                let asked = bed.node(node).asked();
                assert!(!asked.is_empty(), "{node}");
                for seen in asked {
                    let mut headers = seen.head.headers.iter();
                    let secret = headers.find(|(name, value)| {
                        is_private(name) || value.contains("secret") || value.contains("c2VjcmV0")
                    });
                    assert_eq!(secret, None, "{node}: {}", seen.target);
                }
            }
            let seen = &bed.node("n2").engine.requests_to("/containers/c2/start")[0];
            assert_eq!(seen.header("User-Agent"), Some("Mozilla/5.0"));
        })
        .await;
}
