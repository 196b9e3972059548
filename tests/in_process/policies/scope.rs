//! Callers that see only objects with their labels.

use serde_json::{Value, json};
use skep_bed::fixture;

use super::{changes, configured, holder};
use crate::common::node::Plan;
use crate::common::{manager, worker};

const AGENT: &str = "
auth: { keys: [ { id: ai, secret_file: KEY_FILE, policy: ai } ] }
policies:
  ai: { allow: ['*'], may: { share: true }, labels: { owner: ai } }
";

const MINE: &str = "aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000aaaa0000";
const OTHERS: &str = "bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000bbbb0000";

fn labelled(mut object: Value, owner: &str) -> Value {
    object["Labels"] = json!({ "owner": owner });
    object
}

fn plans() -> [Plan; 2] {
    let mine = || labelled(fixture::container(MINE, "mine", 1, 0), "ai");
    let others = || labelled(fixture::container(OTHERS, "others", 1, 0), "me");
    let volume = |name: &str, owner| labelled(fixture::volume(name), owner);
    [
        manager("n1").engine(|e| e.containers(vec![others()]).execs(&["e1"])),
        worker("n2").engine(|e| {
            e.containers(vec![mine()])
                .images(vec![fixture::image("sha256:b0", &["a:latest"], 1)])
                .volumes(vec![volume("data", "ai"), volume("shop", "me")])
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_outside_the_scope_are_not_found() {
    configured(plans(), AGENT)
        .run(async |bed| {
            for entry in ["n1", "n2"] {
                let ai = holder(bed, entry, "ai");
                for name in ["mine", MINE, "aaaa"] {
                    let own = ai
                        .get(&format!("/v1.41/containers/{name}/json"))
                        .await
                        .unwrap();
                    assert_eq!(own.status, 200, "{}", own.text());
                }
                for (method, target) in [
                    ("GET", "/containers/others/json"),
                    ("GET", "/containers/bbbb/logs"),
                    ("POST", "/containers/others/start"),
                    ("DELETE", "/containers/others"),
                    ("POST", "/commit?container=others"),
                    ("GET", "/volumes/shop"),
                    ("DELETE", "/volumes/shop"),
                    ("GET", "/containers/unknown/json"),
                ] {
                    let answer = ai.ask(method, target, &[], b"").await.unwrap();
                    assert_eq!(answer.status, 404, "{method} {target}: {}", answer.text());
                }
                for target in ["/nodes", "/system/df", "/swarm", "/skep/v1/nodes"] {
                    let answer = ai.get(target).await.unwrap();
                    assert_eq!(answer.status, 403, "{target}: {}", answer.text());
                }
            }
            assert!(changes(bed).is_empty(), "{:?}", changes(bed));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_uses_the_id_of_the_object_that_was_checked() {
    configured(plans(), AGENT)
        .run(async |bed| {
            let ai = holder(bed, "n1", "ai");
            let stop = ai
                .ask(
                    "POST",
                    "/v1.41/containers/aaaa/start?detachKeys=a",
                    &[],
                    b"",
                )
                .await;
            assert_eq!(stop.unwrap().status, 204);
            let [stopped] = &changes(bed)[..] else {
                panic!("{:?}", changes(bed));
            };
            assert_eq!(stopped.path, format!("/containers/{MINE}/start"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_by_the_labels_of_the_scope() {
    configured(plans(), AGENT)
        .run(async |bed| {
            let ai = holder(bed, "n1", "ai");
            let list = ai.get("/containers/json?all=1").await.unwrap();
            assert_eq!(list.status, 200);
            for node in &bed.nodes {
                let asked = node.engine.requests_to("/containers/json");
                assert!(!asked.is_empty());
                for request in asked {
                    assert!(request.target.contains("owner%3Dai"), "{}", request.target);
                }
            }
            let other =
                ai.get("/containers/json?filters=%7B%22label%22%3A%5B%22owner%3Dme%22%5D%7D");
            assert_eq!(other.await.unwrap().status, 403);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_containers_get_the_labels_and_use_nothing_outside_the_scope() {
    configured(plans(), AGENT)
        .run(async |bed| {
            let ai = holder(bed, "n1", "ai");
            let create = async |body: &Value| {
                let body = body.to_string();
                let answer = ai.ask("POST", "/containers/create", &[], body.as_bytes());
                answer.await.unwrap()
            };
            let made = create(&json!({"Image": "a", "HostConfig": {"Binds": ["data:/x"]}})).await;
            assert_eq!(made.status, 201, "{}", made.text());
            let [created] = &changes(bed)[..] else {
                panic!("{:?}", changes(bed));
            };
            assert_eq!(created.json().unwrap()["Labels"], json!({"owner": "ai"}));
            for body in [
                json!({"Image": "a", "HostConfig": {"Binds": ["shop:/x"]}}),
                json!({"Image": "a", "HostConfig": {"Binds": ["new:/x"]}}),
                json!({"Image": "a", "HostConfig": {"NetworkMode": "container:others"}}),
                json!({"Image": "a", "HostConfig": {"VolumesFrom": ["others"]}}),
            ] {
                let answer = create(&body).await;
                assert_eq!(answer.status, 404, "{body}: {}", answer.text());
            }
            let stolen = create(&json!({"Image": "a", "Labels": {"owner": "me"}})).await;
            assert_eq!(stolen.status, 403, "{}", stolen.text());
            assert_eq!(changes(bed).len(), 1);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_checked_on_one_node_is_not_used_on_another() {
    // The manager has another owner's volume; the worker has the caller's, with the same name.
    let volume = |owner| labelled(fixture::volume("data"), owner);
    let images = || vec![fixture::image("sha256:b0", &["a:latest"], 1)];
    let plans = [
        manager("n1").engine(|e| e.volumes(vec![volume("me")]).images(images())),
        worker("n2").engine(|e| e.volumes(vec![volume("ai")]).images(images())),
    ];
    configured(plans, AGENT)
        .run(async |bed| {
            let ai = holder(bed, "n2", "ai");
            let body = json!({"Image": "a", "HostConfig": {"Binds": ["data:/x"]}}).to_string();
            let create = async |headers: &[(&str, &str)]| {
                let answer = ai.ask("POST", "/containers/create", headers, body.as_bytes());
                answer.await.unwrap().status
            };
            for manager in [
                ("X-PortainerAgent-ManagerOperation", "1"),
                ("Skep-Target", "n1"),
            ] {
                assert_eq!(create(&[manager]).await, 404, "{manager:?}");
            }
            assert_eq!(create(&[("Skep-Target", "n2")]).await, 201);
            let delete = ai.ask(
                "DELETE",
                "/volumes/data",
                &[("X-PortainerAgent-ManagerOperation", "1")],
                b"",
            );
            assert_eq!(delete.await.unwrap().status, 404);
            let n1 = bed.node("n1").engine.requests();
            assert!(n1.iter().all(|seen| seen.method == "GET"), "{n1:?}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_a_volume_does_not_reveal_one_outside_the_scope() {
    configured(plans(), AGENT)
        .run(async |bed| {
            let ai = holder(bed, "n2", "ai");
            let create = async |name: &str| {
                let body = json!({ "Name": name }).to_string();
                let answer = ai.ask("POST", "/volumes/create", &[], body.as_bytes());
                answer.await.unwrap().status
            };
            assert_eq!(create("shop").await, 403);
            assert_ne!(create("data").await, 403);
        })
        .await;
}

/// The engine uses the last of several spellings. So the name must occur once,
/// even if the policy allows everything and inspects no body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_name_is_accepted_in_one_spelling_only() {
    let agent = AGENT.replace("share: true", "everything: true");
    configured(plans(), &agent)
        .run(async |bed| {
            let ai = holder(bed, "n2", "ai");
            for (body, is_refused) in [
                (r#"{"NAME":"fresh","Name":"shop"}"#, true),
                (r#"{"Name":"shop","NAME":"fresh"}"#, true),
                (r#"{"NAME":"fresh"}"#, false),
            ] {
                let answer = ai.ask("POST", "/volumes/create", &[], body.as_bytes());
                let status = answer.await.unwrap().status;
                assert_eq!(status == 403, is_refused, "{body}");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_is_connected_by_the_checked_ids_on_one_node() {
    const NET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let network = |owner| {
        let mut network = fixture::network(NET, "backend", "local");
        network["Labels"] = json!({ "owner": owner });
        network
    };
    let mine = || labelled(fixture::container(MINE, "mine", 1, 0), "ai");
    let connect = format!("/networks/{NET}/connect");
    for (there, status) in [("ai", 200), ("me", 404)] {
        let plans = [
            manager("n1").engine(|e| e.networks(vec![network("ai")])),
            worker("n2").engine(|e| {
                e.containers(vec![mine()])
                    .networks(vec![network(there)])
                    .answer("POST", &connect, 200, json!({}))
            }),
        ];
        configured(plans, AGENT)
            .run(async |bed| {
                let ai = holder(bed, "n1", "ai");
                let body = br#"{"Container":"mine"}"#;
                let answer = ai.ask("POST", "/networks/backend/connect", &[], body).await;
                assert_eq!(answer.unwrap().status, status, "{there}");
                let seen = bed.node("n2").engine.requests_to(&connect);
                assert_eq!(seen.len(), usize::from(status == 200));
                for request in seen {
                    assert_eq!(request.json().unwrap()["Container"], MINE);
                }
            })
            .await;
    }
}
