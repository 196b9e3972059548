//! The agents' own objects: callers with a policy see them and cannot use them.

use serde_json::{Value, json};
use skep::config::{Config, Hidden, SecretSource, Socket, SocketIdentity};
use skep_bed::{Client, EngineBuilder, eventually, fixture};
use skep_filters::auth::SigningKey;

use super::{apply, changes, holder};
use crate::common::{Caller, ClusterBuilder, TestCluster, generation, manager, worker};

const YAML: &str = "
auth:
  keys:
    - { id: ci, secret_file: KEY_FILE, policy: ci }
    - { id: root, secret_file: KEY_FILE, policy: admin }
    - { id: ai, secret_file: KEY_FILE, policy: ai }
    - { id: trial, secret_file: KEY_FILE, policy: trial }
policies:
  ci: { allow: ['*'], may: { everything: true } }
  ai: { allow: ['*'], labels: { owner: ai } }
  trial: { allow: ['*'], may: { everything: true }, audit_only: true }
";

const N1: &str = "a1a1000000000000000000000000000000000000000000000000000000000000";
const N2: &str = "b2b2000000000000000000000000000000000000000000000000000000000000";
const SHORT: &str = "cccc000000000000000000000000000000000000000000000000000000000000";
const SERVICE: &str = "s3rv000000000000000000000";
const SECRET: &str = "s3cr000000000000000000000";

/// An engine on which an agent runs in this container.
fn with_agent(engine: EngineBuilder, id: &str, name: &str) -> EngineBuilder {
    let inspect = json!({
        "Id": id,
        "Name": format!("/{name}"),
        "Image": "sha256:5ce9000000000000000000000000000000000000000000000000000000000000",
        "HostnamePath": format!("/var/lib/docker/containers/{id}/hostname"),
        "Config": {
            "Image": "r.example/skep:1",
            "Labels": {
                "com.docker.swarm.service.id": SERVICE,
                "com.docker.swarm.service.name": "skep_agent",
            },
        },
        "Mounts": [{
            "Type": "volume", "Name": "skep", "Source": "/var/lib/docker/volumes/skep/_data",
            "Destination": "/var/lib/skep",
        }],
        "NetworkSettings": { "Networks": {
            "bridge": { "NetworkID": "b0" },
            "skep_agents": { "NetworkID": "n3t0000000000000000000000" },
        } },
    });
    let service = json!({
        "ID": SERVICE,
        "Spec": { "Name": "skep_agent", "TaskTemplate": { "ContainerSpec": {
            "Secrets": [{ "SecretID": SECRET, "SecretName": "skep_secret" }],
        } } },
    });
    engine
        .answer(
            "GET",
            &format!("/containers/{id}/json"),
            200,
            inspect.clone(),
        )
        .answer("GET", &format!("/containers/{name}/json"), 200, inspect)
        .answer("GET", &format!("/services/{SERVICE}"), 200, service)
        .answer(
            "GET",
            &format!("/exec/{name}/json"),
            200,
            json!({ "ID": name, "ContainerID": id }),
        )
}

/// Two nodes, each with its agent in a container. On `n1` there is also a
/// container whose name is the beginning of the agent's id.
fn two() -> ClusterBuilder<'static> {
    let row = |id, name| fixture::container(id, name, 1, 0);
    let plans = [
        manager("n1").engine(|e| {
            with_agent(e, N1, "skep-n1").containers(vec![row(N1, "skep-n1"), row(SHORT, "a1")])
        }),
        worker("n2").engine(|e| with_agent(e, N2, "skep-n2").containers(vec![row(N2, "skep-n2")])),
    ];
    ClusterBuilder::of(plans).configure(|node, folder, config| {
        apply(YAML, folder, config);
        config.cluster.container = Some(format!("skep-{node}"));
    })
}

/// Waits until every agent knows the containers of all agents.
async fn settle(bed: &TestCluster) {
    let knows = |node: &crate::common::node::Node| {
        let guarded = node.cluster().guarded();
        guarded.is_some_and(|guarded| guarded.containers.len() == 2)
    };
    assert!(eventually(|| bed.nodes.iter().all(knows)).await);
}

async fn status(bed: &TestCluster, entry: &str, id: &str, request: &str, body: &Value) -> u16 {
    let (method, target) = request.split_once(' ').expect("a method and a target");
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let caller = holder(bed, entry, id);
    let answer = caller.ask(method, target, &[], body.as_bytes()).await;
    answer.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_reaches_no_agent_on_any_node() {
    two()
        .run(async |bed| {
            settle(bed).await;
            for entry in ["n1", "n2"] {
                for request in [
                    "POST /containers/skep-n1/exec",
                    "POST /containers/skep-n2/exec",
                    "POST /v1.41/containers/a1a1/attach?stream=1",
                    "POST /containers/b2/stop",
                    "GET /containers/skep-n2/archive?path=/run/secrets/skep_secret",
                    "GET /containers/skep-n1/export",
                    "POST /commit?container=skep-n2&repo=x",
                    "DELETE /containers/skep-n1?force=1",
                    "POST /exec/skep-n1/start",
                    "POST /exec/skep-n2/resize?h=1",
                    "DELETE /volumes/skep",
                    "DELETE /networks/skep_agents",
                    "DELETE /services/skep_agent",
                    "DELETE /services/s3rv000000000000000000000",
                    "DELETE /secrets/skep_secret",
                    "POST /secrets/s3cr000000000000000000000/update?version=1",
                    "DELETE /images/r.example/skep:1",
                ] {
                    let body = match request.ends_with("exec") || request.contains("/update") {
                        true => json!({}),
                        false => Value::Null,
                    };
                    assert_eq!(status(bed, entry, "ci", request, &body).await, 404, "{entry}: {request}");
                }
                let bodies = [
                    ("POST /containers/create", json!({"Image": "a", "HostConfig": {"Binds": ["skep:/x:ro"]}}), 404),
                    ("POST /containers/create", json!({"Image": "a", "HostConfig": {"VolumesFrom": ["skep-n2"]}}), 404),
                    ("POST /containers/create", json!({"Image": "a", "HostConfig": {"PidMode": "container:b2b2"}}), 404),
                    ("POST /containers/create", json!({"Image": "a", "HostConfig": {"Binds": ["/var/lib/docker/containers:/x"]}}), 403),
                    ("POST /containers/create", json!({"Image": "r.example/skep:1", "Cmd": ["sign"]}), 403),
                    ("POST /services/create", json!({"Name": "s", "TaskTemplate": {"ContainerSpec": {"Image": "a",
                        "Secrets": [{"SecretID": SECRET, "SecretName": "skep_secret", "File": {"Name": "x"}}]}}}), 404),
                    ("POST /networks/web/connect", json!({"Container": "skep-n1"}), 404),
                    ("POST /images/alpine/tag?repo=r.example/skep&tag=1", Value::Null, 403),
                ];
                for (request, body, expected) in bodies {
                    assert_eq!(status(bed, entry, "ci", request, &body).await, expected, "{entry}: {request} {body}");
                }
            }
            assert!(changes(bed).is_empty(), "{:?}", changes(bed));
            let mut seen = bed.nodes.iter().flat_map(|node| node.engine.requests());
            let file = |path: &str| path.ends_with("/archive") || path.ends_with("/export");
            assert!(!seen.any(|request| file(&request.path)));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_is_in_the_engines_words_and_lists_still_show_the_agent() {
    two()
        .run(async |bed| {
            let ci = holder(bed, "n2", "ci");
            let json = [("Content-Type", "application/json")];
            let exec = ci.ask("POST", "/containers/skep-n1/exec", &json, b"{}");
            let exec = exec.await.unwrap();
            assert_eq!(
                exec.json().unwrap()["message"],
                "No such container: skep-n1"
            );
            let list = ci.get("/containers/json").await.unwrap();
            assert!(list.text().contains("skep-n1"), "{}", list.text());
            let shown = ci.get("/containers/skep-n1/json").await.unwrap();
            assert_eq!(shown.status, 200, "{}", shown.text());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_objects_are_used_by_the_id_that_was_inspected() {
    two()
        .run(async |bed| {
            for entry in ["n1", "n2"] {
                let start = "POST /containers/a1/start";
                assert_eq!(
                    status(bed, entry, "ci", start, &Value::Null).await,
                    204,
                    "{entry}"
                );
            }
            let started = bed
                .node("n1")
                .engine
                .requests_to(&format!("/containers/{SHORT}/start"));
            assert_eq!(started.len(), 2, "{:?}", changes(bed));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_and_a_policy_on_trial_reach_the_agent() {
    two()
        .run(async |bed| {
            for (id, name) in [("root", "skep-n2"), ("root", "b2b2"), ("trial", "skep-n2")] {
                let start = format!("POST /containers/{name}/start");
                assert_eq!(
                    status(bed, "n1", id, &start, &Value::Null).await,
                    204,
                    "{id} {name}"
                );
            }
            let operator = bed.operator("n1");
            let start = operator.ask("POST", "/containers/skep-n2/start", &[], b"");
            assert_eq!(start.await.unwrap().status, 204);
        })
        .await;
}

/// Other nodes do not know the callers at a socket: the agent that is called
/// has to refuse for all agents.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_user_reaches_no_agent_on_another_node() {
    let configure = |node: &str, folder: &std::path::Path, config: &mut Config| {
        apply(YAML, folder, config);
        config.cluster.container = Some(format!("skep-{node}"));
        if node == "n1" {
            let grant = config.auth.keys[0].grant.clone();
            config.sockets = vec![Socket {
                path: folder.join("local.sock"),
                owner: None,
                group: None,
                mode: 0o660,
                users: Vec::new(),
                others: Some(SocketIdentity {
                    name: "ci".to_owned(),
                    grant,
                }),
            }];
        }
    };
    two()
        .configure(configure)
        .run(async |bed| {
            settle(bed).await;
            let local = Client::unix(bed.folder().join("local.sock"));
            let mut local = local.connect().await.unwrap();
            for target in ["/containers/skep-n2/start", "/containers/b2b2/start"] {
                let answer = local.request("POST", target, &[], b"").await.unwrap();
                assert_eq!(answer.status, 404, "{target}: {}", answer.text());
            }
            assert!(changes(bed).is_empty(), "{:?}", changes(bed));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_know_itself_lets_callers_read_only() {
    let configure = |_: &str, folder: &std::path::Path, config: &mut Config| {
        apply(YAML, folder, config);
        config.cluster.container = Some("gone".to_owned());
    };
    two()
        .configure(configure)
        .run(async |bed| {
            for (request, expected) in [
                ("GET /containers/json", 200),
                ("GET /containers/a1/json", 200),
                ("POST /containers/a1/start", 503),
                ("POST /containers/create", 503),
                ("DELETE /volumes/x", 503),
            ] {
                let body = match request.ends_with("create") {
                    true => json!({"Image": "a"}),
                    false => Value::Null,
                };
                assert_eq!(
                    status(bed, "n1", "ci", request, &body).await,
                    expected,
                    "{request}"
                );
            }
            for id in ["root", "trial"] {
                let start = status(bed, "n1", id, "POST /containers/a1/start", &Value::Null);
                assert_eq!(start.await, 204, "{id}");
            }
        })
        .await;
}

/// A name that could be the agent's is settled before the caller's labels are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_and_the_guard_hold_together() {
    let mine = || {
        let mut mine = fixture::container(SHORT, "a1", 1, 0);
        mine["Labels"] = json!({ "owner": "ai" });
        mine
    };
    let agent = || fixture::container(N1, "skep-n1", 1, 0);
    let plan =
        manager("n1").engine(|e| with_agent(e, N1, "skep-n1").containers(vec![agent(), mine()]));
    ClusterBuilder::of([plan])
        .configure(|node, folder, config| {
            apply(YAML, folder, config);
            config.cluster.container = Some(format!("skep-{node}"));
        })
        .run(async |bed| {
            let start = async |name: &str| {
                let start = format!("POST /containers/{name}/start");
                status(bed, "n1", "ai", &start, &Value::Null).await
            };
            assert_eq!(start("a1").await, 204);
            for name in ["a1a1", "skep-n1", N1] {
                assert_eq!(start(name).await, 404, "{name}");
            }
            let [started] = &changes(bed)[..] else {
                panic!("{:?}", changes(bed));
            };
            assert_eq!(started.path, format!("/containers/{SHORT}/start"));
        })
        .await;
}

/// What another agent lets through by mistake ends at the agent of the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_refuses_for_itself_what_another_one_passes_on() {
    two()
        .run(async |bed| {
            let generation = generation();
            let key = SigningKey::hmac(&generation.agent_key_id(), generation.peer_key()).unwrap();
            let leaf = bed.node("n1").trust().leaf(0).unwrap();
            let n2 = bed.node("n2");
            let peer = Caller::new(n2.address, &generation, Some(&leaf), key);
            for (client, expected) in [("key:ci", 404), ("key:root", 204)] {
                let headers = [
                    ("Skep-Target", n2.id.as_str()),
                    ("Skep-On-Behalf-Of", client),
                ];
                let start = peer.ask("POST", "/containers/skep-n2/start", &headers, b"");
                let start = start.await.unwrap();
                assert_eq!(start.status, expected, "{client}: {}", start.text());
            }
            assert_eq!(changes(bed).len(), 1, "{:?}", changes(bed));
        })
        .await;
}

/// Portainer's stack files give agents their secret in the environment, which an
/// inspect shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_the_environment_of_an_agent_is_shown_to_admins_only() {
    const SECRET: &str = "a secret of agents in their environment";
    let inspect = json!({ "Id": N1, "Config": {
        "Env": [format!("AGENT_SECRET={SECRET}"), "A=1"], "Labels": { "owner": "ai" },
    } });
    let plan = manager("n1").engine(|e| {
        e.containers(vec![fixture::container(N1, "other", 1, 0)])
            .answer("GET", "/containers/other/json", 200, inspect.clone())
            .answer(
                "GET",
                "/containers/other/top",
                200,
                json!({ "Processes": [] }),
            )
    });
    ClusterBuilder::of([plan])
        .configure(|_, folder, config| {
            apply(YAML, folder, config);
            let secret = SecretSource::Given(Hidden::new(SECRET.into()));
            config.cluster.portainer_secret = Some(secret);
        })
        .run(async |bed| {
            let shown = async |id: &str| {
                let caller = holder(bed, "n1", id);
                caller.get("/containers/other/json").await.unwrap().text()
            };
            for id in ["ci", "trial"] {
                let text = shown(id).await;
                assert_eq!(text.contains(SECRET), id == "trial", "{id}: {text}");
                assert!(text.contains("A=1"), "{text}");
            }
            assert!(shown("root").await.contains(SECRET));
            let top = "/containers/other/top?ps_args=axe";
            let top = holder(bed, "n1", "ci").get(top).await.unwrap();
            assert_eq!(top.status, 403, "{}", top.text());
        })
        .await;
}

/// The agent would be another image at its next start, or would not start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_image_gets_its_name_back_after_what_may_have_moved_it() {
    const OWN: &str = "sha256:5ce9000000000000000000000000000000000000000000000000000000000000";
    let plan = manager("n1").engine(|e| {
        with_agent(e, N1, "skep-n1")
            .answer(
                "GET",
                &format!("/images/{OWN}/json"),
                200,
                json!({ "Id": OWN }),
            )
            .answer(
                "GET",
                "/images/r.example/skep:1/json",
                200,
                json!({ "Id": "sha256:0bad" }),
            )
            .answer("POST", "/build", 200, json!({}))
            .answer("POST", "/images/load", 200, json!({}))
            .answer("POST", "/images/prune", 200, json!({ "ImagesDeleted": [] }))
    });
    ClusterBuilder::of([plan])
        .configure(|node, folder, config| {
            apply(YAML, folder, config);
            config.cluster.container = Some(format!("skep-{node}"));
        })
        .run(async |bed| {
            let given = || {
                let seen = bed.node("n1").engine.requests();
                let tags = seen.iter().filter(|seen| seen.path.ends_with("/tag"));
                tags.map(|seen| seen.target.clone()).collect::<Vec<_>>()
            };
            let tar = [("Content-Type", "application/x-tar")];
            let cases = [
                ("root", "/images/load", 0),
                ("ci", "/images/load", 1),
                ("ci", "/build?t=app", 2),
                ("ci", "/images/prune", 3),
                ("root", "/images/prune", 3),
            ];
            for (id, target, expected) in cases {
                let caller = holder(bed, "n1", id);
                let (headers, body): (&[_], &[u8]) = match target {
                    "/images/prune" => (&[], b""),
                    _ => (&tar, b"tar"),
                };
                let answer = caller.ask("POST", target, headers, body).await.unwrap();
                assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                assert!(
                    eventually(|| given().len() >= expected).await,
                    "{target}: {:?}",
                    given()
                );
                assert_eq!(given().len(), expected, "{id} {target}: {:?}", given());
            }
            let last = given().pop().expect("a tag");
            assert!(last.contains("skep") && last.contains("tag=1"), "{last}");
        })
        .await;
}
