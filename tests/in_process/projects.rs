//! Sequences of tools that create things in several steps: what belongs together
//! is created on one node, and a person can choose the node.

use crate::common::node::Plan;
use crate::common::{Caller, ClusterBuilder, TestCluster, generation, manager, secret_file};
use crate::common::{with_cluster, worker};
use serde_json::{Value, json};
use skep::config::{Grant, KeyFile, KeyMaterial};
use skep_bed::{EngineBuilder, Response, eventually, fixture};
use skep_filters::auth::SigningKey;

const PROJECT: &str = "com.docker.compose.project";

fn three_nodes() -> [Plan; 3] {
    let with_image = |e: EngineBuilder| e.images(vec![fixture::image("sha256:1", &["app:1"], 1)]);
    [
        manager("n1").engine(with_image),
        worker("n2").engine(with_image),
        worker("n3").engine(with_image),
    ]
}

async fn ask(bed: &TestCluster, entry: &str, method: &str, path: &str, body: &Value) -> Response {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let operator = bed.operator(entry);
    let answer = operator.ask(method, path, &[], body.as_bytes()).await;
    answer.expect("an answer")
}

/// Sends a create, and returns the hostname of the node that answered.
async fn created(bed: &TestCluster, entry: &str, path: &str, body: &Value) -> String {
    let answer = ask(bed, entry, "POST", path, body).await;
    assert_eq!(answer.status, 201, "{path} {body}: {}", answer.text());
    node_of(&answer)
}

fn node_of(answer: &Response) -> String {
    let node = answer.header("Skep-Node").unwrap_or_default();
    node.rsplit(' ').next().unwrap_or_default().to_owned()
}

fn labels(project: &str) -> Value {
    json!({ PROJECT: project })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_taken_down_at_one_agent_comes_up_at_another_where_its_volumes_are() {
    with_cluster(three_nodes(), async |bed| {
        let network = json!({ "Name": "shop_default", "Labels": labels("shop") });
        let volume = json!({ "Name": "shop_data", "Labels": labels("shop") });
        let web = json!({
            "Image": "app:1",
            "Labels": labels("shop"),
            "HostConfig": { "NetworkMode": "shop_default", "Binds": ["shop_data:/data"] },
        });
        // A service of the project that names nothing.
        let cron = json!({ "Image": "app:1", "Labels": labels("shop") });
        let mut at = "n2";
        for entry in ["n2", "n1", "n3", "n2"] {
            assert_eq!(created(bed, entry, "/networks/create", &network).await, at);
            assert_eq!(created(bed, entry, "/volumes/create", &volume).await, at);
            for (name, body) in [("shop-web-1", &web), ("shop-cron-1", &cron)] {
                let path = format!("/containers/create?name={name}");
                assert_eq!(created(bed, entry, &path, body).await, at, "{entry} {name}");
            }
            for path in ["/containers/shop-web-1", "/containers/shop-cron-1"] {
                let answer = ask(bed, entry, "DELETE", path, &Value::Null).await;
                assert_eq!(answer.status, 204, "{}", answer.text());
            }
            let path = "/networks/shop_default";
            let answer = ask(bed, entry, "DELETE", path, &Value::Null).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
            at = "n2";
        }
        // Another project begins where it is asked for.
        let network = json!({ "Name": "blog_default", "Labels": labels("blog") });
        assert_eq!(created(bed, "n3", "/networks/create", &network).await, "n3");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_volumes_of_a_project_decide_before_its_containers() {
    let container = |id: &str, name: &str| {
        let mut row = fixture::container(id, name, 1, 0);
        row["Labels"] = labels("shop");
        row
    };
    let [n1, n2, n3] = three_nodes();
    let n2 = n2.engine(|e| e.containers(vec![container("a1", "one"), container("a2", "two")]));
    let n3 = n3.engine(|e| {
        let mut volume = fixture::volume("shop_data");
        volume["Labels"] = labels("shop");
        e.volumes(vec![volume])
    });
    with_cluster([n1, n2, n3], async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let body = json!({ "Image": "app:1", "Labels": labels("shop") });
            assert_eq!(created(bed, entry, "/containers/create", &body).await, "n3");
            // A network of the Swarm is for managers, whatever its labels are.
            let body = json!({ "Name": "mesh", "Driver": "overlay", "Labels": labels("shop") });
            assert_eq!(created(bed, entry, "/networks/create", &body).await, "n1");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_a_node_has_is_not_created_a_second_time() {
    let [n1, n2, n3] = three_nodes();
    let n3 = n3.engine(|e| e.volumes(vec![fixture::volume("data")]));
    with_cluster([n1, n2, n3], async |bed| {
        for entry in ["n1", "n2", "n3"] {
            let volume = json!({ "Name": "data" });
            assert_eq!(created(bed, entry, "/volumes/create", &volume).await, "n3");
            let other = json!({ "Name": format!("new-{entry}") });
            assert_eq!(created(bed, entry, "/volumes/create", &other).await, entry);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_label_chooses_the_node_by_id_or_hostname() {
    with_cluster(three_nodes(), async |bed| {
        let id = bed.node("n3").id.clone();
        for (node, expected) in [("n2", "n2"), (id.as_str(), "n3"), ("n1", "n1")] {
            let choice = json!({ "skep.node": node, PROJECT: "shop" });
            let container = json!({ "Image": "app:1", "Labels": choice });
            assert_eq!(
                created(bed, "n1", "/containers/create", &container).await,
                expected
            );
            let network = json!({ "Name": format!("net-{node}"), "Labels": choice });
            assert_eq!(
                created(bed, "n1", "/networks/create", &network).await,
                expected
            );
            let volume = json!({ "Name": "same", "Labels": choice });
            assert_eq!(
                created(bed, "n1", "/volumes/create", &volume).await,
                expected
            );
            // With an object of one name on several nodes, the label says which.
            let container = json!({
                "Image": "app:1", "Labels": choice, "HostConfig": { "Binds": ["same:/d"] },
            });
            assert_eq!(
                created(bed, "n1", "/containers/create", &container).await,
                expected
            );
        }
        let private = json!({ "Name": "private", "Labels": { "skep.node": "n2" } });
        assert_eq!(created(bed, "n1", "/networks/create", &private).await, "n2");
        for (labels, host, status, words) in [
            (json!({ "skep.node": "n9" }), json!({}), 400, "no such node"),
            (
                json!({ "skep.node": "n3" }),
                json!({ "NetworkMode": "private" }),
                409,
                "private is on n2, but its label skep.node asks for n3",
            ),
        ] {
            let body = json!({ "Image": "app:1", "Labels": labels, "HostConfig": host });
            let answer = ask(bed, "n1", "POST", "/containers/create", &body).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(
                answer.message().unwrap().contains(words),
                "{}",
                answer.text()
            );
        }
        bed.node_mut("n3").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let body = json!({ "Image": "app:1", "Labels": { "skep.node": "n3" } });
        let answer = ask(bed, "n1", "POST", "/containers/create", &body).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_of_an_identity_is_where_its_objects_are_created() {
    const SECRET: &str = "the-secret-of-a-key-for-ci-0123456789";
    let cluster = ClusterBuilder::of(three_nodes()).configure(|_, folder, config| {
        let file = secret_file(folder, "ci", SECRET);
        let mut grant = Grant::admin();
        grant.node = Some("n3".into());
        config.auth.keys = vec![KeyFile {
            id: "ci".to_owned(),
            material: KeyMaterial::Secret(file),
            grant,
            unsigned_streams: false,
        }];
    });
    cluster
        .run(async |bed| {
            let key = SigningKey::hmac("ci", SECRET.as_bytes()).expect("a key");
            let ci = Caller::new(bed.node("n1").address, &generation(), None, key);
            for (path, body, node) in [
                ("/containers/create", json!({ "Image": "app:1" }), "n3"),
                ("/volumes/create", json!({ "Name": "data" }), "n3"),
                ("/networks/create", json!({ "Name": "net" }), "n3"),
                // The label wins, and so does what the body names.
                (
                    "/containers/create",
                    json!({ "Image": "app:1", "Labels": { "skep.node": "n2" } }),
                    "n2",
                ),
            ] {
                let body = body.to_string();
                let answer = ci.ask("POST", path, &[], body.as_bytes()).await.unwrap();
                assert_eq!(answer.status, 201, "{path} {body}: {}", answer.text());
                assert_eq!(node_of(&answer), node, "{path} {body}");
            }
            let pull = "/images/create?fromImage=lib&tag=1";
            assert_eq!(ci.ask("POST", pull, &[], b"").await.unwrap().status, 200);
            let pulled = bed.node("n3").engine.requests_to("/images/create").len();
            assert_eq!(pulled, 1);
            // Others are not affected.
            let body = json!({ "Image": "app:1" });
            assert_eq!(created(bed, "n1", "/containers/create", &body).await, "n1");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_created_again_is_created_where_it_was_and_so_is_its_image() {
    let [n1, n2, n3] = three_nodes();
    let images = ["app:1", "app:2"].map(|tag| fixture::image(tag, &[tag], 1));
    let n1 = n1.engine(|e| e.images(images.to_vec()));
    with_cluster([n1, n2, n3], async |bed| {
        for (first, again) in [
            // docker rm, docker run
            ("DELETE /containers/web", "web"),
            // docker-compose 1 and Watchtower: the old one gets another name.
            ("POST /containers/web/rename?name=old_web", "web"),
        ] {
            let body = json!({ "Image": "app:1", "Labels": { "skep.node": "n2" } });
            let path = "/containers/create?name=web";
            assert_eq!(created(bed, "n1", path, &body).await, "n2");
            let (method, target) = first.split_once(' ').unwrap();
            let answer = ask(bed, "n1", method, target, &Value::Null).await;
            assert_eq!(answer.status, 204, "{}", answer.text());

            // Another node's image does not count: the new one is pulled where it
            // is needed.
            let look_up = "/images/app:2/json";
            let found = ask(bed, "n1", "GET", look_up, &Value::Null).await;
            let pulled_before = first.starts_with("POST");
            assert_eq!(found.status, if pulled_before { 200 } else { 404 });
            let pull = "/images/create?fromImage=app&tag=2";
            let answer = ask(bed, "n1", "POST", pull, &Value::Null).await;
            assert_eq!(answer.status, 200);
            let body = json!({ "Image": "app:2" });
            let path = format!("/containers/create?name={again}");
            assert_eq!(created(bed, "n1", &path, &body).await, "n2");
            // It is known again where it is: its image is pulled there.
            let pulls = bed.node("n2").engine.requests_to("/images/create").len();
            ask(bed, "n1", "POST", pull, &Value::Null).await;
            let now = bed.node("n2").engine.requests_to("/images/create").len();
            assert_eq!(now, pulls + 1);
            let answer = ask(bed, "n1", "DELETE", "/containers/web", &Value::Null).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
            let body = json!({ "Image": "app:1" });
            let path = "/containers/create?name=other";
            assert_eq!(created(bed, "n1", path, &body).await, "n1", "another name");
            let answer = ask(bed, "n1", "DELETE", "/containers/other", &Value::Null).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_whose_node_is_gone_moves_only_without_files_and_ports() {
    let ports = json!({ "PortBindings": { "80/tcp": [{ "HostPort": "80" }] } });
    with_cluster(three_nodes(), async |bed| {
        for (name, host) in [
            ("free", json!({})),
            ("bound", json!({ "Binds": ["/srv:/srv"] })),
            ("published", ports),
        ] {
            let labels = json!({ "skep.node": "n3" });
            let body = json!({ "Image": "app:1", "Labels": labels, "HostConfig": host });
            let path = format!("/containers/create?name={name}");
            assert_eq!(created(bed, "n1", &path, &body).await, "n3");
            let path = format!("/containers/{name}?force=1");
            let answer = ask(bed, "n1", "DELETE", &path, &Value::Null).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
        bed.node_mut("n3").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let body = json!({ "Image": "app:1" });
        let path = "/containers/create?name=free";
        assert_eq!(created(bed, "n1", path, &body).await, "n1");
        for name in ["bound", "published"] {
            let path = format!("/containers/create?name={name}");
            let answer = ask(bed, "n1", "POST", &path, &body).await;
            assert_eq!(answer.status, 503, "{name}: {}", answer.text());
            let message = answer.message().unwrap();
            for word in ["node n3", "published ports", "skep.node"] {
                assert!(message.contains(word), "{word} is not in {message:?}");
            }
            // A person decides otherwise.
            let body = json!({ "Image": "app:1", "Labels": { "skep.node": "n2" } });
            assert_eq!(created(bed, "n1", &path, &body).await, "n2");
        }
    })
    .await;
}
