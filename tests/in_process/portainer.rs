//! A Portainer server as the caller: the requests that it sends to its agents.

mod actions;
mod answers;
mod browser;
mod changes;
mod example;
mod first_use;
mod flood;
mod hanging_engine;
mod newer;
mod pairing;
mod refusals;
mod snapshots;

use std::path::Path;
use std::time::Duration;

use crate::common::{ClusterBuilder, TestCluster, manager, warnings_of, worker};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use md5::{Digest as _, Md5};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use skep::config::{Audit, Config, Grant, Hidden, Portainer, SecretSource};
use skep_bed::{Behaviour, EngineBuilder, Response, fixture};

const SECRET: &str = "a secret of server and agents";

/// The time that a server waits for an answer.
const MINUTE: Duration = Duration::from_secs(60);

const HEADERS: [(&str, &str); 3] = [
    ("Portainer-Agent", "2.45.0"),
    ("Portainer-Agent-API-Version", "2"),
    ("Portainer-Agent-Platform", "1"),
];

/// The beginning of every P-256 key in DER.
const SPKI: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// A Portainer server: its key, and the message that it signs.
struct Server {
    key: SigningKey,
    message: &'static str,
}

impl Server {
    fn new(seed: u8, message: &'static str) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).expect("a key");
        Self { key, message }
    }

    fn public_key(&self) -> String {
        let point = self.key.verifying_key().to_sec1_point(false);
        let digits = point.as_bytes().iter().map(|byte| format!("{byte:02x}"));
        SPKI.to_owned() + &digits.collect::<String>()
    }

    fn signature(&self) -> String {
        let digest = Md5::digest(self.message);
        let signature: Signature = self.key.sign_prehash(&digest).expect("a signature");
        STANDARD_NO_PAD.encode(signature.to_bytes())
    }

    /// Asks a node's agent, with header names as Go writes them.
    async fn ask(
        &self,
        bed: &TestCluster,
        node: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let (key, signature) = (self.public_key(), self.signature());
        let mut all = vec![
            ("X-Portaineragent-Publickey", key.as_str()),
            ("X-Portaineragent-Signature", signature.as_str()),
        ];
        all.extend(headers);
        send(bed, node, method, target, &all, body).await
    }

    async fn get(&self, bed: &TestCluster, node: &str, target: &str) -> Response {
        self.ask(bed, node, "GET", target, &[], b"").await
    }
}

async fn send(
    bed: &TestCluster,
    node: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let client = bed.operator(node).client().clone().limit(MINUTE);
    let sent = client.request(method, target, headers, body);
    let answer = sent
        .await
        .unwrap_or_else(|e| panic!("{method} {target}: {e}"));
    for (name, value) in HEADERS {
        let all: Vec<_> = answer.head.all(name).collect();
        assert_eq!(all, [value], "{method} {target}: {name}");
    }
    answer
}

fn server() -> Server {
    Server::new(1, SECRET)
}

fn portainer() -> Portainer {
    Portainer {
        secret: Some(SecretSource::Given(Hidden::new(SECRET.into()))),
        public_key_file: None,
        first_use: false,
        grant: Grant::admin(),
    }
}

fn with_secret(hostname: &str, folder: &Path, config: &mut Config) {
    config.state_dir = folder.join(hostname);
    config.auth.portainer = Some(portainer());
}

fn with_objects(id: &'static str) -> impl FnOnce(EngineBuilder) -> EngineBuilder {
    move |engine| {
        engine
            .containers(vec![fixture::container(id, &format!("name-{id}"), 1, 0)])
            .images(vec![fixture::image(&format!("sha256:{id}"), &["app:1"], 1)])
            .volumes(vec![fixture::volume("data")])
            .networks(vec![fixture::network("overlay1", "net", "swarm")])
            .swarm_objects("services", vec![])
    }
}

fn swarm() -> ClusterBuilder<'static> {
    let nodes = [
        manager("n1").engine(with_objects("c1")),
        worker("n2").engine(with_objects("c2")),
    ];
    ClusterBuilder::of(nodes).configure(with_secret)
}
