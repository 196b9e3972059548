//! A crowd at one agent that has the memory of docker/compose.yml: idle connections, slow heads, half-sent bodies, and
//! refused requests. Meanwhile the same agent serves a list, an exec and a probe.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::{digest, hmac};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::cluster::{Agent, Lab, repository, skep};
use super::command::task;
use super::standalone::{NAME, STANDALONE};
use super::wait::eventually;

/// `mem_limit` of docker/compose.yml, in bytes.
const LIMIT: u64 = 256 << 20;

const IDLE: usize = 20_000;
const SLOW: usize = 5_000;
const BODIES: usize = 1_000;

/// The source addresses of the crowd: one of them alone has at most half of the places.
const SOURCES: usize = 40;

/// The crowd comes for as long.
const CROWD: Duration = Duration::from_secs(45);

/// The requests of the quiet agent are measured for as long.
const BEFORE: Duration = Duration::from_secs(4);

/// A client waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body at its bound; half of it arrives.
const BODY: usize = 4 << 20;

const CONFIG: &str = "
listen: [ { address: 0.0.0.0:9001 } ]
cluster: { mode: off, secret_file: /etc/skep/secret }
auth:
  keys:
    - { id: ci, secret_file: /etc/skep/key, policy: admin }
    - { id: greedy, secret_file: /etc/skep/key, policy: admin }
    - { id: reader, secret_file: /etc/skep/key, policy: read-only }
log: { format: json, level: info }
state_dir: /var/lib/skep
";

type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn a_crowd_does_not_stop_an_agent_at_its_memory_limit(_: &Lab) {
    let lab = &*STANDALONE;
    raise_the_limit_of_files();
    let stock = fs::read_to_string(repository().join("docker/compose.yml"));
    assert!(
        stock
            .expect("a file of the repository")
            .contains("mem_limit: 256m"),
        "the limit of the test is not the shipped one"
    );
    let etc = lab.file("load");
    fs::create_dir(&etc).expect("a folder of the test");
    fs::write(etc.join("skep.yaml"), CONFIG).expect("a file of the test");
    for name in ["secret", "key"] {
        let file = etc.join(name);
        fs::write(&file, lab.skep("secret").ok()).expect("a file of the test");
        task("chmod", "600").arg(file.display().to_string()).ok();
    }
    let docker = lab.engine(1);
    docker.ok("run --detach --name loaded busybox sleep 86400");
    // As docker/compose.yml runs it.
    let run = docker
        .cmd("run --detach --name crowded --read-only --memory 256m --memory-swap 256m --restart unless-stopped")
        .arg_each("--cap-drop ALL --security-opt no-new-privileges:true --publish 9001:9001")
        .arg_each("--log-driver json-file --log-opt max-size=10m --log-opt max-file=3")
        .arg_each("--volume /var/run/docker.sock:/var/run/docker.sock --volume crowded:/var/lib/skep --volume")
        .arg(format!("{}:/etc/skep:ro", etc.display()));
    let container = run
        .arg_each("skep:latest serve --config /etc/skep/skep.yaml")
        .ok();
    assert_eq!(
        group(&container, ["memory.limit_in_bytes", "memory.max"]),
        LIMIT.to_string()
    );

    let client = Arc::new(Client::of(lab, &etc));
    eventually(20, "the agent answers", || {
        client.probe().map_err(|e| e.to_string())
    });
    let pid = lab.process(1, &container).expect("the agent runs");
    let agent = Agent { container, pid };

    let connection = {
        let listen = format!("unix://{}", etc.join("ci.sock").display());
        let connect = task(skep(), "connect --key-id ci --key-file");
        let connect = connect.arg(etc.join("key").display().to_string());
        let connect = connect.arg("--ca").arg(client.ca.display().to_string());
        let connect = connect
            .arg("--to")
            .arg(lab.url(1))
            .arg("--listen")
            .arg(listen);
        connect.within(120).background()
    };
    connection.line_with("to use it", PATIENCE);

    let before = calls(lab, &client, Instant::now() + BEFORE);
    let crowd = Crowd::start(&client);
    let during = calls(lab, &client, crowd.end);
    let (counts, complete) = crowd.end();
    let peak = agent.memory("VmHWM") << 10;
    let peak_of_group = group(
        &agent.container,
        ["memory.max_usage_in_bytes", "memory.peak"],
    );
    crate::say(&format!(
        "the crowd: {counts}\npeak memory: {} KiB of the process, {peak_of_group} bytes of its control group",
        peak >> 10
    ));
    for (name, before, during) in [
        ("list", &before.list, &during.list),
        ("exec", &before.exec, &during.exec),
        ("probe", &before.probe, &during.probe),
        ("skep health", &before.health, &during.health),
    ] {
        crate::say(&format!(
            "{name}: p99 {:.1?} of {} before, {:.1?} of {} in the crowd",
            p99(before),
            before.len(),
            p99(during),
            during.len()
        ));
        assert!(!before.is_empty() && !during.is_empty(), "{name}");
    }

    let format = "{{.RestartCount}} {{.State.OOMKilled}} {{.State.Running}}";
    let inspect = docker
        .cmd("inspect --format")
        .arg(format)
        .arg("crowded")
        .ok();
    assert_eq!(inspect, "0 false true");
    assert_eq!(lab.process(1, &agent.container), Some(agent.pid.clone()));
    assert!(peak < LIMIT, "{peak}");
    let failures: Vec<_> = before.failures.iter().chain(&during.failures).collect();
    assert!(
        failures.is_empty(),
        "{} failures: {failures:#?}",
        failures.len()
    );
    // A crowd that did not come tests nothing.
    assert!(complete, "{counts}");
    drop(connection);
    docker.ok("rm -f crowded loaded");
}

/// The file of a container's group in version 1 or 2 of cgroups.
fn group(container: &str, [first, second]: [&str; 2]) -> String {
    let place = format!("skep-{NAME}/node1/{container}");
    let one = fs::read_to_string(format!("/sys/fs/cgroup/memory/{place}/{first}"));
    let found = one.or_else(|_| fs::read_to_string(format!("/sys/fs/cgroup/{place}/{second}")));
    found.expect("the group of the agent").trim().to_owned()
}

fn raise_the_limit_of_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a limit below the maximum");
}

fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let place = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// How long the calls took that were answered, and how the others failed.
#[derive(Default)]
struct Calls {
    list: Vec<Duration>,
    exec: Vec<Duration>,
    probe: Vec<Duration>,
    health: Vec<Duration>,
    failures: Vec<String>,
}

/// Calls the agent again and again, each time on a new connection, except for the exec.
fn calls(lab: &Lab, client: &Arc<Client>, end: Instant) -> Calls {
    let direct = {
        let client = client.clone();
        thread::spawn(move || {
            let mut calls = Calls::default();
            while Instant::now() < end {
                let started = Instant::now();
                match client.list() {
                    Ok(()) => calls.list.push(started.elapsed()),
                    Err(e) => calls
                        .failures
                        .push(format!("list after {:.1?}: {e}", started.elapsed())),
                }
                let started = Instant::now();
                match client.probe() {
                    Ok(()) => calls.probe.push(started.elapsed()),
                    Err(e) => calls
                        .failures
                        .push(format!("probe after {:.1?}: {e}", started.elapsed())),
                }
                thread::sleep(Duration::from_millis(20));
            }
            calls
        })
    };
    let ci = lab.docker_at(client.etc.join("ci.sock"));
    let engine = lab.engine(1);
    let (mut exec, mut health, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    while Instant::now() < end {
        for (docker, words, expected, times) in [
            (&ci, "exec loaded echo here", "here", &mut exec),
            (&engine, "exec crowded /skep health", "", &mut health),
        ] {
            let done = docker.cmd(words).within(30).run();
            if done.code == 0 && done.text().contains(expected) && done.took < PATIENCE {
                times.push(done.took);
            } else {
                failures.push(done.to_string());
            }
        }
    }
    let mut calls = direct.join().expect("the calls do not panic");
    calls.exec = exec;
    calls.health = health;
    calls.failures.extend(failures);
    calls
}

/// Everything that a connection to the agent needs.
struct Client {
    agent: SocketAddr,
    sources: Vec<IpAddr>,
    tls: Arc<ClientConfig>,
    key: hmac::Key,
    audience: String,
    etc: PathBuf,
    ca: PathBuf,
    nonces: AtomicUsize,
}

impl Client {
    fn of(lab: &Lab, etc: &std::path::Path) -> Self {
        let secret = etc.join("secret").display().to_string();
        let skep = |words: &str| lab.skep(words).env("SKEP_SECRET_FILE", secret.clone()).ok();
        let ca = etc.join("ca.pem");
        fs::write(&ca, skep("ca")).expect("a file of the test");
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(&ca).expect("a certificate");
        roots.add(root).expect("a certificate of a CA");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = fs::read_to_string(etc.join("key")).expect("a file of the test");
        let node: Ipv4Addr = lab.address(1).parse().expect("an address");
        let [a, b, c, _] = node.octets();
        let sources: Vec<_> = (100..)
            .take(SOURCES)
            .map(|d| Ipv4Addr::new(a, b, c, d))
            .collect();
        for source in &sources {
            // They go with the link of the lab.
            let add = task("ip", "address add").arg(format!("{source}/24"));
            add.arg("dev").arg(format!("skep-{NAME}")).ok();
        }
        Self {
            agent: SocketAddr::new(node.into(), 9001),
            sources: sources.into_iter().map(IpAddr::V4).collect(),
            tls: Arc::new(tls),
            key: hmac::Key::new(hmac::HMAC_SHA256, key.trim_end().as_bytes()),
            audience: skep("ca --audience"),
            etc: etc.to_owned(),
            ca,
            nonces: AtomicUsize::default(),
        }
    }

    /// A connection after its handshake, from this source or from any.
    fn open(&self, source: Option<usize>) -> std::io::Result<Tls> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        if let Some(source) = source {
            bind(&socket, &SocketAddr::new(self.sources[source % SOURCES], 0))?;
        }
        connect(&socket, &self.agent)?;
        let mut tcp = TcpStream::from(socket);
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(self.tls.clone(), name);
        let mut tls = tls.map_err(std::io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(StreamOwned::new(tls, tcp))
    }

    /// The header lines that sign a request (docs/signing.md), with the digest of a body.
    fn signed(&self, key: &str, method: &str, path: &str, digest: Option<&str>) -> String {
        let mut lines = format!(
            "\"@method\": {method}\n\"@path\": {path}\n\"@query\": ?\n\"skep-audience\": {}\n",
            self.audience
        );
        let mut covered = r#""@method" "@path" "@query" "skep-audience""#.to_owned();
        let mut head = format!("skep-audience: {}\r\n", self.audience);
        if let Some(digest) = digest {
            covered += r#" "content-digest" "content-type""#;
            lines += &format!("\"content-digest\": {digest}\n\"content-type\": application/json\n");
            head += &format!("content-digest: {digest}\r\ncontent-type: application/json\r\n");
        }
        #[expect(clippy::disallowed_methods, reason = "a client has a clock of its own")]
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time after 1970");
        let nonce = self.nonces.fetch_add(1, Ordering::Relaxed);
        let parameters = format!(
            "({covered});created={};nonce=\"{nonce:032x}\";keyid=\"{key}\";tag=\"skep/2\"",
            now.as_secs()
        );
        lines += &format!("\"@signature-params\": {parameters}");
        let signature = BASE64_STANDARD.encode(hmac::sign(&self.key, lines.as_bytes()));
        format!("{head}signature-input: sig1={parameters}\r\nsignature: sig1=:{signature}:\r\n")
    }

    fn list(&self) -> std::io::Result<()> {
        self.get("/containers/json")
    }

    fn probe(&self) -> std::io::Result<()> {
        self.get("/_ping")
    }

    /// A signed request on a new connection.
    fn get(&self, path: &str) -> std::io::Result<()> {
        let mut tls = self.open(None)?;
        let signed = self.signed("ci", "GET", path, None);
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: node1\r\nconnection: close\r\n{signed}\r\n");
        tls.write_all(request.as_bytes())?;
        let answer = status(&mut tls)?;
        match answer {
            200 => Ok(()),
            other => Err(std::io::Error::other(format!("status {other}"))),
        }
    }
}

/// The status of an answer, whose first part is read.
fn status(tls: &mut Tls) -> std::io::Result<u16> {
    let mut part = [0; 4096];
    let count = tls.read(&mut part)?;
    let text = String::from_utf8_lossy(&part[..count]);
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other(format!("no answer: {text:?}")))
}

/// The load, in threads of its own until it is complete or its time is over.
struct Crowd {
    end: Instant,
    idle: Vec<thread::JoinHandle<Held>>,
    slow: Vec<thread::JoinHandle<Held>>,
    bodies: Vec<thread::JoinHandle<Bodies>>,
    refused: Vec<thread::JoinHandle<usize>>,
}

/// Opened connections, and those that the agent left open.
#[derive(Default)]
struct Held {
    opened: usize,
    failed: usize,
    kept: usize,
}

#[derive(Default)]
struct Bodies {
    /// Without an answer so far.
    held: usize,
    /// 403, before the body is read.
    denied: usize,
    /// 429 or 503, at a bound of memory or places.
    bounded: usize,
    closed: usize,
}

/// The threads of each kind.
const THREADS: usize = 8;

impl Crowd {
    fn start(client: &Arc<Client>) -> Self {
        let end = Instant::now() + CROWD;
        let threads = |start: &dyn Fn(usize, Arc<Client>) -> thread::JoinHandle<Held>| {
            (0..THREADS).map(|n| start(n, client.clone())).collect()
        };
        Self {
            end,
            idle: threads(&|n, client| thread::spawn(move || hold(&client, n, IDLE, b"", end))),
            slow: threads(&|n, client| {
                let head = b"GET /_ping HTTP/1.1\r\nhost: node1\r\nx-slow: ";
                thread::spawn(move || hold(&client, n, SLOW, head, end))
            }),
            bodies: (0..THREADS)
                .map(|_| client.clone())
                .map(|client| thread::spawn(move || half_bodies(&client, end)))
                .collect(),
            refused: (0..1)
                .map(|n| (n, client.clone()))
                .map(|(n, client)| thread::spawn(move || refused(&client, n, end)))
                .collect(),
        }
    }

    /// Its counts, and whether enough of it came.
    fn end(self) -> (String, bool) {
        let held = |threads: Vec<thread::JoinHandle<Held>>| {
            let mut sum = Held::default();
            for thread in threads {
                let held = thread.join().expect("the crowd does not panic");
                sum.opened += held.opened;
                sum.failed += held.failed;
                sum.kept += held.kept;
            }
            sum
        };
        let (idle, slow) = (held(self.idle), held(self.slow));
        let mut bodies = Bodies::default();
        for thread in self.bodies {
            let part = thread.join().expect("the crowd does not panic");
            bodies.held += part.held;
            bodies.denied += part.denied;
            bodies.bounded += part.bounded;
            bodies.closed += part.closed;
        }
        let refused: usize = self
            .refused
            .into_iter()
            .map(|thread| thread.join().expect("the crowd does not panic"))
            .sum();
        let text = format!(
            "{} idle connections ({} failed, {} kept), {} slow heads ({} failed, {} kept), half bodies: {} held, {} denied, {} over a \
             bound, {} closed, {refused} refused requests",
            idle.opened,
            idle.failed,
            idle.kept,
            slow.opened,
            slow.failed,
            slow.kept,
            bodies.held,
            bodies.denied,
            bodies.bounded,
            bodies.closed
        );
        // All of it comes on two processors that are not busy. A slower machine sends less.
        let half = |count: usize, of: usize| count >= of / 2;
        let complete = half(idle.opened, IDLE)
            && half(slow.opened, SLOW)
            && half(
                bodies.held + bodies.denied + bodies.bounded + bodies.closed,
                BODIES,
            )
            && bodies.denied > 0
            && bodies.held > 0
            && bodies.bounded > 0
            && refused > 0;
        (text, complete)
    }
}

/// Opens this thread's share of `all` connections and sends the beginning of a head on each, then a byte at a time.
fn hold(client: &Client, thread: usize, all: usize, head: &[u8], end: Instant) -> Held {
    let mut held = Held::default();
    let mut open: Vec<Tls> = Vec::new();
    for n in 0..all / THREADS {
        if Instant::now() >= end {
            break;
        }
        let opened = client.open(Some(n * THREADS + thread)).and_then(|mut tls| {
            tls.write_all(head)?;
            tls.sock.set_nonblocking(true)?;
            Ok(tls)
        });
        match opened {
            Ok(tls) => {
                held.opened += 1;
                open.push(tls);
            }
            Err(_) => held.failed += 1,
        }
        if n % 500 == 499 {
            open.retain_mut(|tls| is_open(tls) && (head.is_empty() || tls.write_all(b"x").is_ok()));
        }
    }
    // They stay until the crowd ends.
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(500));
        open.retain_mut(|tls| is_open(tls) && (head.is_empty() || tls.write_all(b"x").is_ok()));
    }
    open.retain_mut(is_open);
    held.kept = open.len();
    held
}

/// Whether the agent has not closed the connection. What it sent, such as tickets, is read.
fn is_open(tls: &mut Tls) -> bool {
    match tls.read(&mut [0; 512]) {
        Ok(0) => false,
        Ok(_) => true,
        Err(e) => e.kind() == ErrorKind::WouldBlock,
    }
}

/// Sends the first halves of this thread's share of the bodies: in turn for a caller that may only read, which is denied
/// before its body is read, and for one whose bodies are held.
fn half_bodies(client: &Client, end: Instant) -> Bodies {
    let digest = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, &vec![b' '; BODY]));
    let digest = format!("sha-256=:{digest}:");
    let path = "/v1.41/containers/create";
    let half = vec![b' '; BODY / 2];
    let mut bodies = Bodies::default();
    let mut open = Vec::new();
    for n in 0..BODIES / THREADS {
        if Instant::now() >= end {
            break;
        }
        let signed = client.signed(["reader", "greedy"][n % 2], "POST", path, Some(&digest));
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: node1\r\ncontent-length: {BODY}\r\n{signed}\r\n"
        );
        let sent = client.open(Some(n)).and_then(|mut tls| {
            tls.sock
                .set_write_timeout(Some(Duration::from_millis(300)))?;
            tls.write_all(head.as_bytes())?;
            // A refusal ends the connection, and so the writes.
            drop(tls.write_all(&half));
            tls.sock
                .set_read_timeout(Some(Duration::from_millis(100)))?;
            let answer = match status(&mut tls) {
                Ok(answer) => Some(answer),
                Err(e) if e.kind() == ErrorKind::WouldBlock => None,
                Err(e) => return Err(e),
            };
            Ok((tls, answer))
        });
        match sent {
            Ok((tls, answer)) => {
                match answer {
                    None => bodies.held += 1,
                    Some(403) => bodies.denied += 1,
                    Some(429 | 503) => bodies.bounded += 1,
                    Some(other) => panic!("status {other} for half of a body"),
                }
                open.push(tls);
            }
            Err(_) => bodies.closed += 1,
        }
    }
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(200));
    }
    bodies
}

/// Sends requests without a signature until the end; returns how many were refused.
fn refused(client: &Client, source: usize, end: Instant) -> usize {
    let mut count = 0;
    while Instant::now() < end {
        let Ok(mut tls) = client.open(Some(source)) else {
            continue;
        };
        while Instant::now() < end {
            let sent = tls.write_all(b"GET /containers/json HTTP/1.1\r\nhost: node1\r\n\r\n");
            match sent.and_then(|()| status(&mut tls)) {
                Ok(401) => count += 1,
                _ => break,
            }
        }
    }
    count
}
