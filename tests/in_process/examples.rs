//! The files in `conf/` do as their comments say. The tests run each file as it is:
//! only paths and addresses are the tests' own. `policies/examples.rs` runs
//! `gateway.yaml`, and `portainer/example.rs` runs `portainer.yaml`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use skep::config::{ClusterMode, Config, Discover, Operator, Partial};
use skep::trust::ClientCredential;
use skep_bed::{Client, EngineBuilder, fixture};
use skep_filters::auth::SigningKey;

use crate::common::{ClusterBuilder, TestCluster, generation, manager, secret_file, worker};

/// The port of every file.
const PORT: u16 = 9001;

/// The secret of the keys.
const KEY: &str = "the secret of a key in a test, 40 bytes.";

/// Runs this text in place of the bed's configuration. Of that one the engine, the
/// address, the files with secrets and the times stay, and the addresses of the others
/// where the text names none.
pub(crate) fn run_as(text: &str, folder: &Path, config: &mut Config) {
    let read = Config::parse("example.yaml", text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let bed = std::mem::replace(config, read);
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.listen[0].address.port(), PORT);
    config.listen[0].address = bed.listen[0].address;
    assert_eq!(config.engine, Config::default().engine);
    config.engine = bed.engine;
    config.drain = bed.drain;
    config.state_dir = folder.join("state");
    config.cluster.secret_files = bed.cluster.secret_files;
    config.cluster.interval = bed.cluster.interval;
    if config.cluster.discover.is_empty() {
        config.cluster.discover = bed.cluster.discover;
    }
}

/// The text with one line of a comment made a setting.
pub(crate) fn uncommented(text: &str, line: &str) -> String {
    let comment = format!("# {line}");
    assert!(text.contains(&comment), "{line}");
    text.replacen(&comment, line, 1)
}

fn with_container(id: &'static str) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    move |engine| engine.containers(vec![fixture::container(id, id, 1, 0)])
}

/// The addresses of three nodes with one port, in a loopback network of this test.
fn addresses() -> [SocketAddr; 3] {
    let pid = std::process::id().to_be_bytes();
    let host = |last| Ipv4Addr::new(127, 160 + (pid[2] & 31), pid[3], last);
    let port = TcpListener::bind((host(1), 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    [1, 2, 3].map(|last| SocketAddr::from((host(last), port.port())))
}

/// Every agent answers the operator for all nodes, and nobody else.
async fn answers_for_all(bed: &TestCluster, nodes: &[&str]) {
    for node in nodes {
        let list = bed
            .operator(node)
            .get("/containers/json")
            .await
            .expect("an answer");
        assert_eq!(list.status, 200, "{}", list.text());
        assert_eq!(list.header("Skep-Missing"), None, "{node}");
        let rows = list.json().expect("JSON");
        assert_eq!(rows.as_array().map(Vec::len), Some(nodes.len()), "{node}");
        let anonymous = bed.operator(node).client().clone();
        let refused = anonymous
            .get("/containers/json", &[])
            .await
            .expect("an answer");
        assert_eq!(refused.status, 401, "{}", refused.text());
        let key = SigningKey::hmac("ci", KEY.as_bytes()).expect("a key");
        let unknown = bed
            .operator(node)
            .with_key(key)
            .get("/info")
            .await
            .expect("an answer");
        assert_eq!(unknown.status, 401, "{}", unknown.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_host_yaml_find_each_other_by_the_list_of_nodes() {
    let addresses = addresses();
    let at = move |name: &str| addresses[usize::from(name.as_bytes()[1] - b'1')];
    let id = |name: &str| format!("{name:0<25}");
    let swarm = format!("{}:2377", at("n1").ip());
    let row = |name: &str| {
        let role = if name == "n1" { "manager" } else { "worker" };
        let mut row = fixture::node(&id(name), name, role);
        row["Status"]["Addr"] = json!(at(name).ip());
        if name == "n1" {
            row["ManagerStatus"] = json!({ "Leader": true, "Addr": swarm });
        }
        row
    };
    let rows = json!([row("n1"), row("n2"), row("n3")]);
    let engine = |name: &'static str| {
        let (rows, swarm, n1) = (rows.clone(), swarm.clone(), id("n1"));
        move |engine: EngineBuilder| {
            with_container(name)(engine)
                .remote_managers(&[(&n1, &swarm)])
                .answer("GET", "/nodes", 200, rows)
        }
    };
    let nodes = [
        manager("n1").engine(engine("n1")),
        worker("n2").engine(engine("n2")),
        worker("n3").engine(engine("n3")),
    ];
    let configure = move |name: &str, folder: &Path, config: &mut Config| {
        config.listen[0].address = at(name);
        run_as(include_str!("../../conf/host.yaml"), folder, config);
        assert_eq!(config.cluster.discover, [Discover::Swarm { port: None }]);
    };
    let over = async |bed: &mut TestCluster| {
        for node in &mut bed.nodes {
            node.address = node.config.listen[0].address;
        }
        answers_for_all(bed, &["n1", "n2", "n3"]).await;
    };
    ClusterBuilder::of(nodes)
        .configure(configure)
        .run(over)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_agent_of_swarm_yaml_answers_for_the_whole_cluster() {
    let nodes = [
        manager("n1").engine(with_container("n1")),
        worker("n2").engine(with_container("n2")),
    ];
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        run_as(include_str!("../../conf/swarm.yaml"), folder, config);
        assert_eq!(config.aggregate.partial, Partial::Allow);
    };
    let over = async |bed: &mut TestCluster| {
        answers_for_all(bed, &["n1", "n2"]).await;
        // "answer without it and name it"
        bed.node_mut("n2").stop().await;
        let list = bed.operator("n1").get("/containers/json").await.unwrap();
        assert_eq!(list.status, 200, "{}", list.text());
        let missing = list.header("Skep-Missing").expect("the missing node");
        assert!(missing.contains("n2"), "{missing}");
    };
    ClusterBuilder::of(nodes)
        .configure(configure)
        .run(over)
        .await;
}

/// The settings that are comments, as somebody would turn them on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_of_swarm_yaml_may_have_a_key_of_its_own() {
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        let text = include_str!("../../conf/swarm.yaml");
        let text = uncommented(text, "operator_key_file: /etc/skep/operator.pub");
        run_as(&text, folder, config);
        assert_ne!(config.cluster.operator, Operator::Derived);
        config.cluster.operator = Operator::Key(secret_file(folder, "operator.pub", PUBLIC));
    };
    let over = async |bed: &mut TestCluster| {
        let derived = bed.operator("n1").get("/info").await.unwrap();
        assert_eq!(derived.json().unwrap()["reason"], "former-operator");
    };
    let node = manager("n1");
    ClusterBuilder::of([node])
        .configure(configure)
        .run(over)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_of_standalone_yaml_have_one_host() {
    let node = manager("n1").engine(|engine| {
        with_container("web")(engine).answer("POST", "/containers/web/start", 204, json!({}))
    });
    let configure = |_: &str, folder: &Path, config: &mut Config| {
        let key = secret_file(folder, "ci_key", KEY).display().to_string();
        let text = include_str!("../../conf/standalone.yaml").replace("/etc/skep/ci_key", &key);
        let text = uncommented(&text, "certificates:");
        let text = uncommented(&text, "  identities: [ { name: alice, policy: admin } ]");
        run_as(&text, folder, config);
        assert_eq!(config.cluster.mode, ClusterMode::Off);
    };
    let over = async |bed: &mut TestCluster| {
        let operator = bed.operator("n1");
        let key = SigningKey::hmac("ci", KEY.as_bytes()).unwrap();
        let ci = operator.with_key(key);
        let day = Duration::from_secs(24 * 60 * 60);
        let certified = |name: &str| {
            let now = skep::platform::clock::wall();
            let issued = ClientCredential::issue(&generation(), name, day, now).expect("one");
            let cert = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("PEM");
            let roots = vec![generation().ca_der().clone()];
            let address = bed.node("n1").address;
            Client::tls(address, "localhost", roots, Some((vec![cert], key))).expect("a client")
        };
        for caller in [&operator, &ci] {
            let list = caller.get("/containers/json").await.unwrap();
            assert_eq!(list.status, 200, "{}", list.text());
            let start = caller.ask("POST", "/containers/web/start", &[], b"").await;
            assert_eq!(start.unwrap().status, 204);
        }
        // "docker build and docker load cannot sign what they stream"
        let tar = [("Content-Type", "application/x-tar")];
        let build = ci
            .upload("/build?t=app", &tar, b"3\r\ntar\r\n0\r\n\r\n")
            .await;
        assert_eq!(build.unwrap().status, 200);
        let list = certified("alice")
            .get("/containers/json", &[])
            .await
            .unwrap();
        assert_eq!(list.status, 200, "{}", list.text());
        let list = certified("bob").get("/containers/json", &[]).await.unwrap();
        assert_eq!(list.status, 403, "{}", list.text());
        let anonymous = operator.client().clone();
        let refused = anonymous.get("/containers/json", &[]).await.unwrap();
        assert_eq!(refused.status, 401, "{}", refused.text());
    };
    ClusterBuilder::of([node])
        .configure(configure)
        .run(over)
        .await;
}
