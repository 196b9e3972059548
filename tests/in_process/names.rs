//! Names of containers are unique in the cluster: a create and a rename to a name
//! that another node has are refused in the engine's own words.

use crate::common::node::Plan;
use crate::common::{TestCluster, manager, with_cluster, worker};
use serde_json::json;
use skep_bed::{EngineBuilder, Response, eventually, fixture};

const WEB: &str = "3eb0000000000000000000000000000000000000000000000000000000000003";
const DB: &str = "db00000000000000000000000000000000000000000000000000000000000002";

fn three_nodes() -> [Plan; 3] {
    let with_image = |e: EngineBuilder| e.images(vec![fixture::image("sha256:1", &["app:1"], 1)]);
    [
        manager("n1").engine(with_image),
        worker("n2").engine(|e| with_image(e).containers(vec![fixture::container(DB, "db", 1, 0)])),
        worker("n3")
            .engine(|e| with_image(e).containers(vec![fixture::container(WEB, "web", 1, 0)])),
    ]
}

async fn post(bed: &TestCluster, entry: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    let body = match target.contains("create") {
        true => json!({ "Image": "app:1" }).to_string(),
        false => String::new(),
    };
    let operator = bed.operator(entry);
    let answer = operator.ask("POST", target, headers, body.as_bytes());
    answer.await.expect("an answer")
}

fn conflict(name: &str, id: &str) -> String {
    format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You \
         have to remove (or rename) that container to be able to reuse that name."
    )
}

fn requests(bed: &TestCluster, path: &str) -> usize {
    let at = |node: &crate::common::Node| node.engine.requests_to(path).len();
    bed.nodes.iter().map(at).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_a_node_has_is_refused_through_every_agent_in_the_engines_words() {
    with_cluster(three_nodes(), async |bed| {
        for entry in ["n1", "n2", "n3"] {
            for target in [
                "/containers/create?name=web",
                "/v1.41/containers/create?name=/web",
                "/containers/create?platform=&name=%2Fweb",
                "/containers/db/rename?name=web",
                "/v1.41/containers/db00/rename?name=/web",
            ] {
                let answer = post(bed, entry, target, &[]).await;
                assert_eq!(answer.status, 409, "{entry} {target}: {}", answer.text());
                let message = answer.message().unwrap();
                let words = conflict("web", WEB);
                assert!(message.starts_with(&words), "{entry} {target}: {message}");
                if entry != "n3" || target.contains("rename") {
                    assert_eq!(message, format!("{words} It is on node n3."));
                }
            }
        }
        assert_eq!(requests(bed, "/containers/db/rename"), 0, "not sent");
        // The beginning of an id is no name.
        let answer = post(bed, "n1", "/containers/create?name=3eb0", &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        // A name that a rename has left is free.
        let answer = post(bed, "n1", "/containers/web/rename?name=web2", &[]).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        let answer = post(bed, "n2", "/containers/create?name=web", &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_for_one_name_through_one_agent_one_succeeds() {
    with_cluster(three_nodes(), async |bed| {
        // On different nodes, so that no engine sees both.
        let bodies = [
            json!({ "Image": "app:1", "Labels": { "skep.node": "n1" } }).to_string(),
            json!({ "Image": "app:1", "Labels": { "skep.node": "n2" } }).to_string(),
            json!({ "Image": "app:1", "Labels": { "skep.node": "n3" } }).to_string(),
        ];
        let asked = bodies.iter().cycle().take(9).map(|body| {
            let operator = bed.operator("n1");
            async move {
                let target = "/containers/create?name=one";
                let answer = operator.ask("POST", target, &[], body.as_bytes()).await;
                answer.expect("an answer").status
            }
        });
        let mut statuses = futures::future::join_all(asked).await;
        statuses.sort_unstable();
        assert_eq!(statuses[0], 201);
        assert!(
            statuses[1..].iter().all(|status| *status == 409),
            "{statuses:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_node_decides_about_its_own_names() {
    with_cluster(three_nodes(), async |bed| {
        let target = [("Skep-Target", "n1")];
        let create = "/containers/create?name=web";
        assert_eq!(post(bed, "n2", create, &target).await.status, 201);
        let target = [("Skep-Target", "n3")];
        let answer = post(bed, "n2", create, &target).await;
        assert_eq!(answer.status, 409);
        assert_eq!(answer.message().unwrap(), conflict("web", WEB));
        // Both are reachable by id, and with a target by name.
        let operator = bed.operator("n2");
        assert_eq!(
            operator.get("/containers/web/json").await.unwrap().status,
            409
        );
        let by_id = operator.get(&format!("/containers/{WEB}/json")).await;
        assert_eq!(by_id.unwrap().status, 200);
        let named = operator
            .ask("GET", "/containers/web/json", &target, b"")
            .await;
        assert_eq!(named.unwrap().json().unwrap()["Id"], WEB);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_away_keeps_no_name_occupied() {
    with_cluster(three_nodes(), async |bed| {
        bed.node_mut("n3").kill().await;
        assert!(eventually(|| bed.node("n1").sees() == 2).await);
        let answer = post(bed, "n1", "/containers/create?name=web", &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        // A container without a name needs no look-up.
        let answer = post(bed, "n1", "/containers/create", &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    })
    .await;
}
