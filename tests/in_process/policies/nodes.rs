//! Rules that apply to some nodes only.

use serde_json::json;
use skep_bed::fixture;

use super::{changes, configured, holder};
use crate::common::node::Plan;
use crate::common::{manager, worker};

const WORKERS: &str = "
auth: { keys: [ { id: dev, secret_file: KEY_FILE, policy: dev } ] }
policies:
  dev:
    rules:
      - { allow: [containers.*], node: { role: worker, hostname: n2 } }
    allow: [ping]
";

fn plans() -> [Plan; 3] {
    let one = |id: &'static str, name: &'static str| {
        move |e: skep_bed::EngineBuilder| {
            e.containers(vec![fixture::container(id, name, 1, 0)])
                .images(vec![fixture::image("sha256:b0", &["busybox:latest"], 1)])
        }
    };
    [
        manager("n1").engine(one("a1", "web")),
        worker("n2").engine(one("b1", "db")),
        worker("n3").engine(one("c1", "cache")),
    ]
}

fn started(engine: &skep_bed::FakeEngine) -> bool {
    let seen = engine.requests();
    seen.iter().any(|request| request.path.ends_with("/start"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_outside_the_rules_are_invisible() {
    configured(plans(), WORKERS)
        .run(async |bed| {
            for entry in ["n1", "n2", "n3"] {
                let dev = holder(bed, entry, "dev");
                let list = dev.get("/containers/json").await.unwrap();
                assert_eq!(list.status, 200, "{}", list.text());
                assert_eq!(list.header("Skep-Missing"), None);
                let rows = list.json().unwrap();
                let ids: Vec<_> = rows.as_array().unwrap().iter().map(|r| &r["Id"]).collect();
                assert_eq!(ids, [&json!("b1")], "through {entry}");
                let mine = dev.ask("POST", "/containers/db/start", &[], b"").await;
                let mine = mine.unwrap();
                assert_eq!(mine.status, 204, "through {entry}: {}", mine.text());
                for other in ["web", "cache"] {
                    let stop = format!("/containers/{other}/start");
                    let answer = dev.ask("POST", &stop, &[], b"").await.unwrap();
                    assert!(
                        matches!(answer.status, 403 | 404),
                        "{entry}: {}",
                        answer.text()
                    );
                }
                let at = [("Skep-Target", "n3")];
                let named = dev.ask("POST", "/containers/cache/start", &at, b"").await;
                assert_eq!(named.unwrap().status, 403, "through {entry}");
            }
            let others = [bed.node("n1"), bed.node("n3")];
            assert!(others.iter().all(|node| !started(&node.engine)));
            assert!(started(&bed.node("n2").engine));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_can_be_created_on_a_permitted_node() {
    configured(plans(), WORKERS)
        .run(async |bed| {
            let body = br#"{"Image":"busybox"}"#;
            let here = holder(bed, "n2", "dev");
            let here = here.ask("POST", "/containers/create", &[], body).await;
            assert_eq!(here.unwrap().status, 201);
            let named = [("Skep-Target", "n2")];
            let there = holder(bed, "n1", "dev");
            let there = there.ask("POST", "/containers/create", &named, body).await;
            assert_eq!(there.unwrap().status, 201);
            let made: Vec<_> = changes(bed);
            assert_eq!(made.len(), 2, "{made:?}");
            assert_eq!(
                bed.node("n2")
                    .engine
                    .requests_to("/containers/create")
                    .len(),
                2
            );
        })
        .await;
}
