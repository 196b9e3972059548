//! Redaction of secrets in answers.

use serde_json::{Value, json};
use skep_bed::fixture;

use super::{configured, holder};
use crate::common::node::Plan;
use crate::common::{manager, worker};

const BLIND: &str = "
auth: { keys: [ { id: dev, secret_file: KEY_FILE, policy: dev }, { id: ops, secret_file: KEY_FILE, policy: admin } ] }
policies: { dev: { allow: ['*'], redact: [env, secrets] } }
";

fn plans() -> [Plan; 2] {
    let inspect = || {
        json!({
            "Id": "b1", "Name": "/db",
            "Args": ["--password", "hunter2"],
            "Config": {
                "Env": ["PASSWORD=hunter2"],
                "Cmd": ["sh", "-c", "echo hunter2"],
                "Labels": { "db.password": "hunter2", "url": "pg://app:letmein@db" },
            },
            "Unheard": [1.50, { "of": "kept" }],
        })
    };
    let labelled = || {
        let mut row = fixture::container("b1", "db", 1, 0);
        row["Labels"] = json!({ "db.password": "hunter2", "app": "shop" });
        row
    };
    [
        manager("n1"),
        worker("n2").engine(move |e| {
            e.containers(vec![labelled()])
                .answer("GET", "/containers/db/json", 200, inspect())
                .answer("GET", "/containers/b1/json", 200, inspect())
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspects_and_lists_are_redacted_through_every_agent() {
    configured(plans(), BLIND)
        .run(async |bed| {
            for entry in ["n1", "n2"] {
                let dev = holder(bed, entry, "dev");
                let answer = dev.get("/containers/db/json").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(!answer.text().contains("hunter2"), "{}", answer.text());
                assert!(!answer.text().contains("letmein"), "{}", answer.text());
                let inspect: Value = answer.json().unwrap();
                let command = json!(["sh", "-c", "echo [redacted]"]);
                assert_eq!(inspect["Config"]["Cmd"], command);
                assert_eq!(inspect["Config"]["Env"], json!(["PASSWORD=[redacted]"]));
                assert!(answer.text().contains("[1.5,{\"of\":\"kept\"}]"));
                let list = dev.get("/containers/json").await.unwrap();
                assert!(!list.text().contains("hunter2"), "{}", list.text());
                assert!(list.text().contains("\"app\":\"shop\""), "{}", list.text());
                let seen = holder(bed, entry, "ops").get("/containers/db/json").await;
                assert!(
                    seen.unwrap().text().contains("hunter2"),
                    "other policies see it"
                );
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_all_nodes_or_of_one_are_redacted() {
    configured(plans(), BLIND)
        .run(async |bed| {
            let dev = holder(bed, "n1", "dev");
            let mut event = fixture::event("local", "container", "die", "b1", 1);
            event["Actor"]["Attributes"]["db.password"] = json!("hunter2");
            let odd = "/events?filters=%7B%22type%22:%5B%22container%22%5D,%22type%22:%5B%5D%7D";
            assert_eq!(dev.get(odd).await.unwrap().status, 403);
            for headers in [&[][..], &[("Skep-Target", "n2")]] {
                let mut events = dev.stream("GET", "/events", headers).await.unwrap();
                assert_eq!(events.status, 200);
                let n2 = &bed.node("n2").engine;
                assert!(skep_bed::eventually(|| n2.listeners() > 0).await);
                n2.publish(event.clone());
                let line = events.next_line().await.unwrap().unwrap();
                assert!(line.contains("[redacted]"), "{line}");
                assert!(!line.contains("hunter2"), "{line}");
                drop(events);
                assert!(skep_bed::eventually(|| n2.listeners() == 0).await);
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_redacted_is_not_passed_on() {
    let plan = manager("n1").engine(|e| {
        let deep = (0..150).fold(json!("hunter2"), |inner, _| json!([inner]));
        e.answer("GET", "/containers/web/json", 200, deep)
    });
    configured([plan], BLIND)
        .run(async |bed| {
            let answer = holder(bed, "n1", "dev")
                .get("/containers/web/json")
                .await
                .unwrap();
            assert_eq!(answer.status, 502, "{}", answer.text());
            assert!(!answer.text().contains("hunter2"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redacted_label_cannot_be_guessed_by_a_filter() {
    configured(plans(), BLIND)
        .run(async |bed| {
            let dev = holder(bed, "n1", "dev");
            let by = |label: &str| {
                let filters = json!({ "label": [label] }).to_string();
                let filters: String = filters.bytes().map(|b| format!("%{b:02X}")).collect();
                format!("/containers/json?filters={filters}")
            };
            for label in ["db.password=hunter2", "db.password=wrong", "db.password"] {
                let answer = dev.get(&by(label)).await.unwrap();
                assert_eq!(answer.status, 403, "{}", answer.text());
                assert!(
                    answer.text().contains("redacted label"),
                    "{}",
                    answer.text()
                );
            }
            assert_eq!(dev.get(&by("app=shop")).await.unwrap().status, 200);
            let ops = holder(bed, "n1", "ops");
            let answer = ops.get(&by("db.password=hunter2")).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        })
        .await;
}
