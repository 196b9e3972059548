//! What cannot be reached, and who may not.

use skep_filters::auth::SigningKey;

use super::*;
use crate::common::{ClusterBuilder, secret_file};
use skep_bed::eventually;

/// A container of n2 with this mode of its network.
fn with_network(name: &str, mode: &str) -> Value {
    let mut row = fixture::container(&format!("{:0<64}", hex(name)), name, 1, 0);
    row["_host"] = json!({ "NetworkMode": mode });
    row
}

fn hex(name: &str) -> String {
    name.bytes().map(|b| format!("{b:02x}")).collect()
}

async fn refusal(caller: &Caller, name: &str, port: u16) -> (u16, String) {
    let hijack = connect(caller, name, port).await;
    let answer = hijack.response().await.expect("an answer");
    let message = answer.message().unwrap_or_default();
    (answer.status, message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_ports_of_its_own_is_refused_with_the_reason() {
    let stopped = fixture::exited(with_network("stopped", "bridge"));
    let more = vec![
        with_network("host", "host"),
        with_network("none", "none"),
        with_network("beside", &format!("container:{}", agent("n2"))),
        with_network("on-host", &format!("container:{:0<64}", hex("host"))),
        with_network("orphan", "container:gone"),
        stopped,
    ];
    two(more)
        .run(async |bed| {
            for entry in ["n1", "n2"] {
                let operator = bed.operator(entry);
                for (name, status, words) in [
                    ("host", 409, "network of its host"),
                    ("on-host", 409, "network of its host"),
                    ("none", 409, "no network"),
                    ("orphan", 409, "is gone"),
                    ("stopped", 409, "not running"),
                    ("nobody", 404, "No such container: nobody"),
                    // The agents' own, for the operator too, and what has their network.
                    ("skep-n2", 404, "No such container"),
                    (&agent("n2"), 404, "No such container"),
                    (&agent("n2")[..12], 404, "No such container"),
                    ("beside", 404, "No such container: beside"),
                ] {
                    let (got, message) = refusal(&operator, name, 80).await;
                    assert_eq!(got, status, "{entry} {name}: {message}");
                    assert!(message.contains(words), "{entry} {name}: {message}");
                }
            }
            assert!(made(bed.node("n2")).is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_where_nobody_listens_and_a_malformed_request_are_refused() {
    two(Vec::new())
        .run(async |bed| {
            let (listener, port) = listen().await;
            drop(listener);
            let operator = bed.operator("n1");
            let (status, message) = refusal(&operator, "web.n2", port).await;
            assert_eq!(status, 502, "{message}");
            assert!(message.contains(&format!("port {port}")), "{message}");
            for query in ["", "?port=0", "?port=x", "?port=80&port=81", "?port=65536"] {
                let target = format!("/skep/v1/containers/web.n2/forward{query}");
                let answer = operator.ask("POST", &target, &[], b"").await.unwrap();
                assert_eq!(answer.status, 400, "{query}: {}", answer.text());
            }
            let answer = operator.ask("POST", &target("web.n2", 80), &[], b"").await;
            assert_eq!(answer.unwrap().status, 426);
        })
        .await;
}

const YAML: &str = "
auth:
  keys:
    - { id: web, secret_file: KEY_FILE, policy: web }
    - { id: all, secret_file: KEY_FILE, policy: all }
    - { id: team-a, secret_file: KEY_FILE, policy: team-a }
    - { id: team-b, secret_file: KEY_FILE, policy: team-b }
    - { id: word, secret_file: KEY_FILE, policy: word }
    - { id: stars, secret_file: KEY_FILE, policy: stars }
    - { id: portainer, secret_file: KEY_FILE, policy: portainer }
    - { id: reader, secret_file: KEY_FILE, policy: read-only }
policies:
  web: { allow: [forward], may: { forward: [1, '2-3'] } }
  all: { allow: ['*'], may: { everything: true } }
  team-a: { allow: [forward], may: { forward: ['*'] }, labels: { team: a } }
  team-b: { allow: [forward], may: { forward: ['*'] }, labels: { team: b } }
  word: { allow: [forward] }
  stars: { allow: ['*'] }
";

const KEY: &str = "the secret of a key in a test, 40 bytes.";

fn policies() -> ClusterBuilder<'static> {
    two(Vec::new()).configure(|node, folder, config| {
        configure(node, folder, config);
        let file = secret_file(folder, "key", KEY);
        let yaml = YAML.replace("KEY_FILE", &file.display().to_string());
        let read = Config::parse("test", &yaml).unwrap_or_else(|e| panic!("{e}"));
        config.auth.keys = read.auth.keys;
        config.policies = read.policies;
    })
}

fn holder(bed: &TestCluster, node: &str, id: &str) -> Caller {
    let key = SigningKey::hmac(id, KEY.as_bytes()).expect("a key");
    bed.operator(node).with_key(key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_names_the_ports_and_its_labels_the_containers() {
    policies()
        .run(async |bed| {
            let port = echo().await;
            for entry in ["n1", "n2"] {
                for (id, name, port, status) in [
                    ("all", "web.n2", port, 101),
                    ("team-a", "web.n2", port, 101),
                    ("team-b", "web.n2", port, 404),
                    ("word", "web.n2", port, 403),
                    ("stars", "web.n2", port, 403),
                    ("web", "web.n2", port, 403),
                    ("portainer", "web.n2", port, 403),
                    ("reader", "web.n2", port, 403),
                    // Granted, and nobody listens there.
                    ("web", "web.n2", 1, 502),
                    ("web", "web.n2", 3, 502),
                    ("web", "web.n2", 4, 403),
                    ("all", "skep-n2", port, 404),
                    ("all", &agent("n2")[..12], port, 404),
                ] {
                    let caller = holder(bed, entry, id);
                    let hijack = connect(&caller, name, port).await;
                    assert_eq!(hijack.status, status, "{entry} {id} {name} {port}");
                }
            }
            let denied = |line: &Value| line["who"] == "key:word" && line["verdict"] == "deny";
            let lines = || audited(bed, "n1");
            assert!(eventually(|| lines().iter().any(denied)).await);
            let lines = lines();
            let line = lines.iter().find(|line| denied(line)).unwrap();
            assert_eq!(
                (&line["rule"], &line["port"]),
                (&"may.forward".into(), &port.into())
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_connection_is_one_line_of_the_audit_log() {
    policies()
        .run(async |bed| {
            let port = after_the_end(b"0123456789".to_vec()).await;
            let mut hijack = connected(&holder(bed, "n1", "all"), "web.n2", port).await;
            hijack.stream.send(b"abc").await.unwrap();
            hijack.stream.close_write().await.unwrap();
            assert_eq!(hijack.stream.receive_to_end().await.unwrap().len(), 13);
            for node in ["n1", "n2"] {
                assert!(eventually(|| audited(bed, node).len() == 1).await, "{node}");
                let line = &audited(bed, node)[0];
                let who = line["who"].as_str().unwrap();
                assert!(who.ends_with("key:all"), "{node}: {who}");
                assert_eq!(line["verdict"], "allow", "{node}");
                assert_eq!(line["status"], 101, "{node}");
                assert_eq!(line["port"], port, "{node}");
                assert_eq!((&line["bytes"], &line["bytes_in"]), (&13.into(), &3.into()));
                assert!(line["ms"].is_number(), "{node}");
            }
            assert!(
                audited(bed, "n1")[0]["path"]
                    .as_str()
                    .unwrap()
                    .contains("/web.n2/")
            );
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_is_in_no_list_of_a_caller_with_limits_and_out_of_its_reach() {
    policies()
        .run(async |bed| {
            let port = echo().await;
            let operator = bed.operator("n1");
            let _open = connected(&operator, "web.n2", port).await;
            let list = "/containers/json?all=1";
            let shown = operator.get(list).await.unwrap();
            let rows = shown.json().unwrap();
            let rows = rows.as_array().unwrap();
            let is_helper = |row: &&Value| row["Names"][0].as_str().unwrap().contains("forward");
            let helper = rows.iter().find(is_helper).expect("an admin sees it");
            let id = helper["Id"].as_str().unwrap();
            let name = helper["Names"][0].as_str().unwrap().trim_start_matches('/');
            for entry in ["n1", "n2"] {
                let caller = holder(bed, entry, "all");
                for headers in [&[][..], &[("Skep-Target", "n2")]] {
                    let listed = caller.ask("GET", list, headers, b"").await.unwrap();
                    let text = listed.text();
                    assert_eq!(listed.status, 200, "{text}");
                    assert!(
                        text.contains("web.n2") && !text.contains(id),
                        "{entry}: {text}"
                    );
                }
                for request in [
                    format!("POST /containers/{id}/exec"),
                    format!("POST /containers/{name}/exec"),
                    format!("POST /containers/{id}/kill"),
                    format!("POST /containers/{name}/attach"),
                    format!("DELETE /containers/{name}"),
                    format!("GET /containers/{id}/archive?path=/"),
                ] {
                    let (method, target) = request.split_once(' ').unwrap();
                    let body = if target.ends_with("exec") { "{}" } else { "" };
                    let answer = caller.ask(method, target, &[], body.as_bytes()).await;
                    let status = answer.unwrap().status;
                    // The other agent learns of it in a moment, and the node's own refuses.
                    assert!(matches!(status, 404), "{entry} {request}: {status}");
                }
                let taken = format!("skep-forward-{}", "ab".repeat(16));
                let create = format!("/containers/create?name={taken}");
                let answer = caller.ask("POST", &create, &[], b"{\"Image\":\"x\"}").await;
                assert_eq!(answer.unwrap().status, 403, "{entry}");
                let rename = format!("/containers/web.n2/rename?name={taken}");
                let answer = caller.ask("POST", &rename, &[], b"").await.unwrap();
                assert_eq!(answer.status, 403, "{entry}");
            }
        })
        .await;
}
