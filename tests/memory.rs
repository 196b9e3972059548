//! The memory of the program itself, with its own allocator.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use skep::trust::{Generation, Secret};
use tempfile::TempDir;

/// The derivation of the keys from a secret takes 19 MiB (Argon2id). The agent must return this
/// much of it, in KiB; the rest is a margin for its later allocations.
const RETURNED: u64 = 10 << 10;

/// Connections that wait for their next request; fewer than one source may have.
const WAITING: u64 = 400;

/// The memory of one of them, in KiB: 16 of the release program. While Pingora waits for the next
/// request itself, it is 42.
const EACH: u64 = 24;

const SECRET: &str = "Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";

/// An agent that runs until the test ends.
struct Agent {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Agent {
    /// Starts the program, without an engine, with these further settings.
    fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("secret"), SECRET).expect("a secret");
        let config = format!(
            "listen: [{{ address: '127.0.0.1:0' }}]\nengine: unix://{}\n\
             cluster: {{ mode: off, secret_file: {} }}\nstate_dir: {}\n{settings}",
            path("docker.sock"),
            path("secret"),
            path("state"),
        );
        fs::write(path("skep.yaml"), config).expect("a configuration");
        let mut process = Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(["serve", "--config", &path("skep.yaml")])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let log = process.stderr.take().expect("its log");
        let mut seen = Vec::new();
        let lines = BufReader::new(log).lines().map_while(Result::ok);
        let address = lines
            .inspect(|line| seen.push(line.clone()))
            .find_map(|line| {
                let (_, address) = line.split_once("listening on https://")?;
                address.trim().parse().ok()
            });
        let address = address.unwrap_or_else(|| panic!("the agent ended: {seen:#?}"));
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    /// A field of its status, see proc(5).
    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("the agent runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.expect("a field").trim().trim_end_matches(" kB");
        digits.parse().expect("a number")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn the_memory_of_the_key_derivation_is_returned_and_the_rest_is_never_dumped() {
    let agent = Agent::start("");
    assert_eq!(agent.status("NoNewPrivs:"), 1, "it may gain rights");
    let (peak, now) = (agent.status("VmHWM:"), agent.status("VmRSS:"));
    let limits = format!("/proc/{}/limits", agent.process.id());
    let limits = fs::read_to_string(limits).expect("its limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "it may write core files");
    assert!(
        peak >= now + RETURNED,
        "{now} KiB are in use, the peak was {peak} KiB"
    );
}

#[test]
fn a_connection_between_two_requests_holds_no_buffers() {
    let agent = Agent::start("auth: { portainer: { policy: admin, first_use: true } }\n");
    let tls = client();
    // The first request allocates what all share.
    let mut connections = vec![ping(&tls, agent.address)];
    let before = agent.status("VmRSS:");
    for _ in 0..WAITING {
        connections.push(ping(&tls, agent.address));
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let each = agent.status("VmRSS:").saturating_sub(before) / WAITING;
        if each <= EACH {
            break;
        }
        assert!(Instant::now() < deadline, "{each} KiB each");
        sleep(Duration::from_millis(100));
    }
    for connection in &mut connections {
        exchange(connection);
    }
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts the agent's cluster.
fn client() -> Arc<ClientConfig> {
    let secret = Secret::from_bytes(SECRET.as_bytes()).expect("a secret");
    let generation = Generation::derive(&secret).expect("keys");
    let mut roots = RootCertStore::empty();
    roots.add(generation.ca_der().clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A new connection, after its first request.
fn ping(tls: &Arc<ClientConfig>, address: SocketAddr) -> Connection {
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(tls.clone(), name).expect("a session");
    let tcp = TcpStream::connect(address).expect("a connection");
    let mut connection = StreamOwned::new(session, tcp);
    exchange(&mut connection);
    connection
}

/// One request that needs no authentication, and its answer.
fn exchange(connection: &mut Connection) {
    let request = b"GET /ping HTTP/1.1\r\nHost: agent\r\n\r\n";
    connection.write_all(request).expect("a request is sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).expect("an answer comes");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 204 "), "{answer:?}");
}
