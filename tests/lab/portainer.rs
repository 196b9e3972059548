//! A Portainer server's view, in its own lab: Portainer's own stack file deploys the agents, with another image. curl
//! and the docker CLI, which a server runs for stacks, stand in for the server.

use std::fs;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use md5::{Digest as _, Md5};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::Value;

use super::cluster::Lab;
use super::command::{Task, task};
use super::request::{Answer, answer};
use super::wait::eventually;

/// The name of the lab.
pub(crate) const NAME: &str = "portainer";

/// A worker.
pub(crate) const ENTRY: usize = 2;

pub(crate) const SECRET: &str = "kJ2vXw8pQ4nT7mR1sYc5bZ9fLh3gD6aE0uVi";

/// Portainer's `agent-stack.yml` with the two changes from docs/portainer.md. The port is in host mode, because not
/// every kernel has the routing mesh, and the path of the volumes is that of the lab's engines.
const STACK: &str = r#"version: "3.3"
services:
  agent:
    image: skep:latest
    environment:
      AGENT_CLUSTER_ADDR: tasks.agent
      AGENT_SECRET: SECRET
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock
      - VOLUMES:VOLUMES
    networks: [agent_network]
    ports:
      - { target: 9001, published: 9001, protocol: tcp, mode: host }
    deploy:
      mode: global
networks:
  agent_network:
    driver: overlay
    attachable: true
"#;

/// The beginning of every P-256 public key in DER.
const SPKI: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// The lab, which the first test that needs it brings up.
pub(crate) static DEPLOYED: LazyLock<Lab> = LazyLock::new(|| {
    let lab = Lab::up(NAME, "--nodes 3 --managers 1");
    let stack = lab.file("agent-stack.yml");
    let volumes = stack.ancestors().nth(2).expect("the lab's folder");
    let yaml = STACK
        .replace("SECRET\n", &format!("{SECRET}\n"))
        .replace("VOLUMES", &volumes.display().to_string());
    fs::write(&stack, yaml).expect("a file of the test");
    lab.engine(1)
        .cmd("stack deploy --resolve-image never -c")
        .arg(stack.display().to_string())
        .arg("portainer")
        .within(60)
        .ok();
    let found = || {
        let all = lab
            .numbers()
            .map(|node| Server::new(SECRET).agents(&lab, node));
        let counts: Vec<_> = all.map(|agents| agents.map_or(0, |a| a.len())).collect();
        let whole = counts.iter().all(|&count| count == 3);
        whole.then_some(()).ok_or(format!("{counts:?}"))
    };
    eventually(90, "every agent lists three agents", found);
    for node in lab.numbers() {
        let run = format!(
            "run --detach --name web{node} --volume files{node}:/files busybox sleep 86400"
        );
        lab.engine(node).ok(&run);
    }
    lab
});

pub(crate) struct Server {
    key: SigningKey,
    secret: &'static str,
}

impl Server {
    pub(crate) fn new(secret: &'static str) -> Self {
        let key = SigningKey::from_slice(&[7; 32]).expect("a key");
        Self { key, secret }
    }

    /// The two headers of every request from a server.
    pub(crate) fn signed(&self) -> [String; 2] {
        let digest = Md5::digest(self.secret);
        let signature: Signature = self.key.sign_prehash(&digest).expect("a signature");
        let point = self.key.verifying_key().to_sec1_point(false);
        let hex: String = point
            .as_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        [
            format!("X-PortainerAgent-PublicKey: {SPKI}{hex}"),
            format!(
                "X-PortainerAgent-Signature: {}",
                STANDARD_NO_PAD.encode(signature.to_bytes())
            ),
        ]
    }

    pub(crate) fn ask(&self, lab: &Lab, method: &str, path: &str, more: &[&str]) -> Answer {
        // As a server does with --tlsskipverify.
        self.send(lab, task("curl", "--insecure"), method, path, more)
    }

    /// A `POST` with this JSON, or with a body of no bytes, as Go sends one.
    pub(crate) fn post(&self, lab: &Lab, path: &str, body: &str, more: &[&str]) -> Answer {
        let curl = task("curl", "--insecure --data").arg(body);
        let mut headers = more.to_vec();
        headers.push("Content-Type: application/json");
        self.send(lab, curl, "POST", path, &headers)
    }

    pub(crate) fn send(
        &self,
        lab: &Lab,
        curl: Task,
        method: &str,
        path: &str,
        more: &[&str],
    ) -> Answer {
        let mut headers = self.signed().to_vec();
        headers.extend(more.iter().map(|&h| h.to_owned()));
        answer(curl, method, &format!("{}{path}", lab.url(ENTRY)), &headers)
    }

    fn agents(&self, lab: &Lab, node: usize) -> Option<Vec<Value>> {
        let mut curl = task("curl", "--insecure --silent --max-time 5");
        for header in self.signed() {
            curl = curl.arg("-H").arg(header);
        }
        let done = curl.arg(format!("{}/agents", lab.url(node))).run();
        serde_json::from_slice(&done.out).ok()
    }
}

fn hostname(row: &Value) -> &str {
    row["Portainer"]["Agent"]["NodeName"]
        .as_str()
        .unwrap_or_default()
}

pub(crate) fn a_server_recognises_an_agent_and_adds_it(_: &Lab) {
    let lab = &*DEPLOYED;
    let curl = || task("curl", "--insecure");
    let ping = answer(curl(), "GET", &format!("{}/ping", lab.url(ENTRY)), &[]);
    assert_eq!(ping.status, 204, "{ping:?}");
    // A server recognises an agent by this before it signs anything.
    let unsigned = answer(curl(), "GET", &format!("{}/_ping", lab.url(ENTRY)), &[]);
    assert!([401, 403].contains(&unsigned.status), "{unsigned:?}");
    for answer in [&ping, &unsigned] {
        assert!(!answer.header("portainer-agent").is_empty(), "{answer:?}");
        assert_eq!(answer.header("portainer-agent-platform"), "1");
        assert_eq!(answer.header("portainer-agent-api-version"), "2");
    }
    let wrong = Server::new("another secret").ask(lab, "GET", "/info", &[]);
    assert_eq!(
        (wrong.status, wrong.message().as_str()),
        (403, "Invalid request signature")
    );
}

pub(crate) fn a_snapshot_has_the_whole_swarm(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    let get = |path: &str| {
        let answer = server.ask(lab, "GET", path, &[]);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer
    };
    assert_eq!(get("/v1.41/info").json()["Swarm"]["ControlAvailable"], true);
    assert_eq!(get("/v1.41/nodes").list().len(), 3);
    assert!(!get("/v1.41/services").list().is_empty());
    let containers = get("/v1.41/containers/json?all=1").list();
    for node in lab.numbers() {
        let name = format!("/web{node}");
        let row = containers.iter().find(|row| row["Names"][0] == *name);
        let row = row.unwrap_or_else(|| panic!("{name}: {containers:?}"));
        assert_eq!(hostname(row), format!("node{node}"));
        let id = row["Id"].as_str().expect("an id");
        let target = format!("X-PortainerAgent-Target: node{node}");
        let inspect = server.ask(lab, "GET", &format!("/containers/{id}/json"), &[&target]);
        assert_eq!(inspect.json()["Name"], name.as_str());
    }
    let volumes = get("/v1.41/volumes").json();
    let named = volumes["Volumes"].as_array().expect("a list");
    for node in lab.numbers() {
        let name = format!("files{node}");
        assert!(
            named
                .iter()
                .any(|v| v["Name"] == *name && hostname(v) == format!("node{node}"))
        );
    }
    get("/v1.41/images/json");
    get("/v1.41/networks");
    get("/version");
    // The order is the same every time.
    assert_eq!(get("/v2/agents").body, get("/v1.41/v2/agents").body);
}

pub(crate) fn every_container_of_a_snapshot_is_inspected_without_a_target(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    let containers = server.ask(lab, "GET", "/v1.41/containers/json?all=1", &[]);
    let containers = containers.list();
    assert!(containers.len() >= 2 * lab.numbers().count());
    for row in &containers {
        let id = row["Id"].as_str().expect("an id");
        let inspect = server.ask(lab, "GET", &format!("/v1.41/containers/{id}/json"), &[]);
        assert_eq!(inspect.status, 200, "{inspect:?}");
        assert_eq!(inspect.json()["Id"], id);
        let node = inspect.header("skep-node");
        assert!(node.ends_with(&format!(" {}", hostname(row))), "{node}");
    }
}

pub(crate) fn compressed_lists_are_complete(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    for path in [
        "/containers/json?all=1",
        "/images/json",
        "/networks",
        "/services",
        "/nodes",
        "/tasks",
        "/secrets",
        "/configs",
        "/v2/agents",
    ] {
        let plain = server.ask(lab, "GET", path, &[]).list().len();
        // curl decodes the codings that it knows, and fails for others.
        let curl = task("curl", "--insecure --compressed");
        let coded = server.send(
            lab,
            curl,
            "GET",
            path,
            &["Accept-Encoding: gzip, deflate, br"],
        );
        assert!(
            ["", "gzip"].contains(&coded.header("content-encoding")),
            "{path}"
        );
        assert_eq!(coded.list().len(), plain, "{path}");
    }
    let curl = task("curl", "--insecure --compressed");
    let coded = ["Accept-Encoding: gzip, deflate, br"];
    let volumes = server.send(lab, curl, "GET", "/volumes", &coded);
    assert!(volumes.json()["Volumes"].is_array(), "{volumes:?}");
}

pub(crate) fn files_of_a_volume_are_put_listed_read_and_deleted_on_their_node(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    let file = lab.file("upload.txt");
    fs::write(&file, "from the browser").expect("a file of the test");
    let target = "X-PortainerAgent-Target: node3";
    let mut put = task(
        "curl",
        "--insecure --silent --show-error --write-out %{http_code} -F Path=/ -F",
    );
    put = put.arg(format!("file=@{}", file.display()));
    for header in server.signed().iter().map(String::as_str).chain([target]) {
        put = put.arg("-H").arg(header);
    }
    let put = put
        .arg(format!("{}/v2/browse/put?volumeID=files3", lab.url(ENTRY)))
        .ok();
    assert_eq!(put, "204");
    let seen = lab.engine(3).ok("exec web3 cat /files/upload.txt");
    assert_eq!(seen, "from the browser");
    let ask = |method: &str, path: &str| server.ask(lab, method, path, &[target]);
    let list = ask("GET", "/v2/browse/ls?volumeID=files3&path=/").list();
    assert_eq!(list[0]["Name"], "upload.txt");
    let got = ask("GET", "/v2/browse/get?volumeID=files3&path=/upload.txt");
    assert_eq!(got.body, "from the browser");
    let out = ask(
        "GET",
        "/v2/browse/get?volumeID=files3&path=../../../etc/passwd",
    );
    assert_ne!(out.status, 200, "{out:?}");
    let gone = ask(
        "DELETE",
        "/v2/browse/delete?volumeID=files3&path=/upload.txt",
    );
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(lab.engine(3).ok("exec web3 ls /files"), "");
}
