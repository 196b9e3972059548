//! Rules about methods and paths.

use skep_bed::fixture;

use super::{changes, configured, holder};
use crate::common::node::Plan;
use crate::common::{manager, worker};

const READERS: &str = "
auth: { keys: [ { id: grafana, secret_file: KEY_FILE, policy: readers } ] }
policies:
  readers: { deny: [secrets.read], allow: ['*.read', ping] }
";

const OPEN: &str = "auth: { keys: [ { id: ci, secret_file: KEY_FILE, policy: admin } ] }";

fn db_on_n2() -> [Plan; 2] {
    let db = || vec![fixture::container("b1", "db", 1, 0)];
    [manager("n1"), worker("n2").engine(|e| e.containers(db()))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_rights_says_whom_to_ask_and_one_for_a_stranger_does_not() {
    let yaml = READERS.replace("auth: {", "auth: { contact: 'ops@example.com',");
    configured(db_on_n2(), &yaml)
        .run(async |bed| {
            let reader = holder(bed, "n1", "grafana");
            for path in ["/containers/db/start", "/containers/none/start"] {
                let refused = reader.ask("POST", path, &[], b"").await.unwrap();
                assert_eq!(refused.status, 403);
                let why = refused.message().unwrap();
                assert!(why.ends_with("; ask ops@example.com"), "{why}");
                assert_eq!(why.matches("ops@").count(), 1, "{why}");
            }
            let missing = reader.get("/containers/none/json").await.unwrap();
            assert_eq!(missing.status, 404);
            let stranger = holder(bed, "n1", "nobody").get("/info").await.unwrap();
            assert_eq!(stranger.status, 401);
            for answer in [missing, stranger] {
                assert!(!answer.text().contains("ops@"), "{}", answer.text());
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_every_node_and_changes_none() {
    let plans = [
        manager("n1").engine(|e| e.containers(vec![fixture::container("a1", "web", 1, 0)])),
        worker("n2").engine(|e| e.containers(vec![fixture::container("b1", "db", 1, 0)])),
    ];
    configured(plans, READERS)
        .run(async |bed| {
            for node in ["n1", "n2"] {
                let reader = holder(bed, node, "grafana");
                let list = reader.get("/containers/json").await.unwrap();
                assert_eq!(list.status, 200, "{}", list.text());
                assert_eq!(list.json().unwrap().as_array().unwrap().len(), 2);
                let other = reader.get("/containers/db/json").await.unwrap();
                assert_eq!(other.status, 200, "{}", other.text());
                let refused = reader.ask("POST", "/containers/db/start", &[], b"");
                let refused = refused.await.unwrap();
                assert_eq!(refused.status, 403);
                assert_eq!(refused.header("Content-Type"), Some("application/json"));
                let why = refused.message().unwrap();
                assert!(
                    why.contains("\"readers\"") && why.contains("key:grafana"),
                    "{why}"
                );
                assert!(why.contains("default"), "{why}");
                let secrets = reader.get("/secrets").await.unwrap();
                assert_eq!(secrets.status, 403);
                let why = secrets.message().unwrap();
                assert!(why.contains("deny secrets.read"), "{why}");
            }
            assert!(changes(bed).is_empty(), "{:?}", changes(bed));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_endpoints_are_for_admins_only() {
    configured([manager("n1")], READERS)
        .run(async |bed| {
            let refused = holder(bed, "n1", "grafana").get("/v1.41/brand/new").await;
            assert_eq!(refused.unwrap().status, 403);
            let asked = bed.operator("n1").get("/v1.41/brand/new").await.unwrap();
            assert_eq!(asked.status, 404, "the engine's own answer");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_for_metrics_allows_nothing_else() {
    let yaml = "
auth: { keys: [ { id: prometheus, secret_file: KEY_FILE, policy: numbers } ] }
policies: { numbers: { allow: ['GET /metrics'] } }
";
    configured(db_on_n2(), yaml)
        .run(async |bed| {
            for node in ["n1", "n2"] {
                let prometheus = holder(bed, node, "prometheus");
                let answer = prometheus.get("/metrics").await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(answer.text().contains(&format!("hostname=\"{node}\"")));
                for target in [
                    "/skep/v1/metrics",
                    "/skep/v1/nodes",
                    "/skep/v1/health",
                    "/_ping",
                    "/info",
                    "/containers/json",
                    "/containers/db/json",
                    "/v2/host/info",
                ] {
                    let refused = prometheus.get(target).await.unwrap();
                    assert_eq!(refused.status, 403, "{target}: {}", refused.text());
                }
                let changed = prometheus.ask("POST", "/metrics", &[], b"").await;
                assert_eq!(changed.unwrap().status, 403);
            }
            assert!(changes(bed).is_empty(), "{:?}", changes(bed));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_action_needs_no_right_to_inspect() {
    let yaml = "
auth: { keys: [ { id: reaper, secret_file: KEY_FILE, policy: reaper } ] }
policies: { reaper: { allow: ['POST /containers/*/start'] } }
";
    configured(db_on_n2(), yaml)
        .run(async |bed| {
            let reaper = holder(bed, "n1", "reaper");
            let look = reaper.get("/containers/db/json").await.unwrap();
            assert_eq!(look.status, 403);
            let stop = reaper.ask("POST", "/containers/db/start", &[], b"").await;
            assert_eq!(stop.unwrap().status, 204);
            assert_eq!(changes(bed).len(), 1);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_only_policy_refuses_nothing() {
    let yaml = "
auth: { keys: [ { id: new, secret_file: KEY_FILE, policy: trial } ] }
policies: { trial: { allow: [ping], labels: { owner: me }, redact: [env], audit_only: true } }
";
    let web = || vec![fixture::container("a1", "web", 1, 0)];
    configured([manager("n1").engine(|e| e.containers(web()))], yaml)
        .run(async |bed| {
            let new = holder(bed, "n1", "new");
            let stop = new.ask("POST", "/containers/web/start", &[], b"").await;
            assert_eq!(stop.unwrap().status, 204);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_applies_its_own_policy_too() {
    crate::common::ClusterBuilder::of(db_on_n2())
        .configure(move |hostname, folder, config| {
            let yaml = match hostname {
                "n1" => OPEN.to_owned(),
                _ => READERS.replace("grafana", "ci"),
            };
            super::apply(&yaml, folder, config);
        })
        .run(async |bed| {
            let ci = holder(bed, "n1", "ci");
            let stop = ci
                .ask("POST", "/containers/db/start", &[], b"")
                .await
                .unwrap();
            assert_eq!(stop.status, 403, "{}", stop.text());
            assert!(stop.header("Skep-Node").unwrap().contains("n2"));
            assert!(changes(bed).is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_the_owner_does_not_know_is_refused_there() {
    crate::common::ClusterBuilder::of(db_on_n2())
        .configure(move |hostname, folder, config| {
            super::apply(if hostname == "n1" { OPEN } else { "" }, folder, config);
        })
        .run(async |bed| {
            let ci = holder(bed, "n1", "ci");
            let inspect = ci.get("/containers/db/json").await.unwrap();
            assert_eq!(inspect.status, 403, "{}", inspect.text());
            let why = inspect.message().unwrap();
            assert!(why.contains("configured alike"), "{why}");
        })
        .await;
}
