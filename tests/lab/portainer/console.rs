//! Consoles as a Portainer server opens them for a browser: websockets through a worker to containers on another node.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use skep::trust::{Generation, Secret};
use skep_bed::Client;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::cluster::Lab;
use super::portainer::{DEPLOYED, ENTRY, SECRET, Server};
use super::wait::eventually;

const TARGET: &str = "X-PortainerAgent-Target: node3";

const WEBSOCKET: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A browser's end of a console.
struct Browser {
    socket: WebSocketStream<Box<dyn Duplex>>,
    runtime: Runtime,
}

impl Browser {
    fn open(lab: &Lab, path: &str, more: &[&str]) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        // The agents of this lab trust each other by the server's secret.
        let secret = Secret::from_bytes(SECRET.as_bytes()).expect("a secret");
        let generation = Generation::derive(&secret).expect("a generation");
        let address = format!("{}:9001", lab.address(ENTRY));
        let address = address.parse().expect("an address");
        let roots = vec![generation.ca_der().clone()];
        let client = Client::tls(address, generation.peer_sni(), roots, None);
        let client = client.expect("a TLS client");
        let signed = Server::new(SECRET).signed();
        let headers = signed.iter().map(String::as_str);
        let headers = headers.chain(WEBSOCKET).chain(more.iter().copied());
        let headers: Vec<_> = headers.filter_map(|h| h.split_once(": ")).collect();
        let asked = runtime.block_on(client.hijack("GET", path, &headers, b""));
        let hijack = asked.expect("an answer");
        assert_eq!(hijack.status, 101, "{path}: {:?}", hijack.head);
        let (read, write) = hijack.stream.into_split();
        let stream: Box<dyn Duplex> = Box::new(tokio::io::join(read, write));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None);
        let socket = runtime.block_on(socket);
        Self { socket, runtime }
    }

    fn send(&mut self, message: Message) {
        let sent = self.runtime.block_on(self.socket.send(message));
        sent.expect("the console accepts it");
    }

    /// The output until `enough` holds.
    #[track_caller]
    fn shown(&mut self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut shown = Vec::new();
        while !enough(&shown) {
            let next = async { timeout(Duration::from_secs(20), self.socket.next()).await };
            match self.runtime.block_on(next) {
                Ok(Some(Ok(Message::Text(text)))) => shown.extend_from_slice(text.as_bytes()),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&shown)),
            }
        }
        shown
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        self.shown(|shown| String::from_utf8_lossy(shown).contains(text));
    }
}

/// The id of a new exec in a container of node3.
fn exec(server: &Server, lab: &Lab, command: &str, terminal: bool) -> String {
    let body = format!(
        r#"{{"Cmd":["{command}"],"Tty":{terminal},"AttachStdin":true,"AttachStdout":true,"AttachStderr":true}}"#
    );
    let made = server.post(lab, "/containers/web3/exec", &body, &[TARGET]);
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["Id"].as_str().expect("an id").to_owned()
}

pub(crate) fn an_exec_has_the_size_of_the_browsers_window(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    let web3 = server.ask(lab, "GET", "/containers/web3/json", &[TARGET]);
    let hostname = web3.json()["Config"]["Hostname"]
        .as_str()
        .map(str::to_owned);
    let hostname = hostname.expect("a hostname");
    // Servers also send the header without a node; then it is empty.
    for target in [TARGET, "X-PortainerAgent-Target: "] {
        let id = exec(&server, lab, "sh", true);
        let path = format!("/websocket/exec?endpointId=1&id={id}&nodeName=node3");
        let mut browser = Browser::open(lab, &path, &[target]);
        let path = format!("/exec/{id}/resize?h=33&w=111");
        let resized = server.post(lab, &path, "", &[target]);
        assert!(resized.status < 300, "{resized:?}");
        browser.send(Message::Text("echo $(stty size) $(hostname)\n".into()));
        browser.shows(&format!("33 111 {hostname}"));
        browser.send(Message::Text("exit\n".into()));
        browser.shows("exit\r\n");
    }
}

pub(crate) fn input_arrives_unchanged_output_is_text_and_closing_the_browser_ends_the_exec(
    _: &Lab,
) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    for politely in [true, false] {
        // Without a terminal, which would change bytes and end independently of its process.
        let id = exec(&server, lab, "cat", false);
        let path = format!("/websocket/exec?endpointId=1&id={id}");
        let mut browser = Browser::open(lab, &path, &[TARGET]);
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        browser.send(Message::Binary(bytes.clone().into()));
        // A server's page understands only text.
        let text = String::from_utf8_lossy(&bytes);
        let shown = browser.shown(|shown| shown.len() >= text.len());
        assert!(shown == text.as_bytes(), "{} bytes", shown.len());
        if politely {
            browser.send(Message::Close(None));
        }
        drop(browser);
        let ended = || {
            let exec = server.ask(lab, "GET", &format!("/exec/{id}/json"), &[TARGET]);
            let ended = exec.json()["Running"] == false;
            ended.then_some(()).ok_or(exec.body)
        };
        eventually(20, "the engine has ended the exec", ended);
    }
}

pub(crate) fn a_container_outlives_the_attached_browser(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    let id = lab
        .engine(3)
        .ok("run --detach --interactive --tty --name shell3 busybox sh");
    for target in [&[TARGET][..], &[]] {
        let path = format!("/websocket/attach?endpointId=1&id={id}");
        let mut browser = Browser::open(lab, &path, target);
        let path = format!("/containers/{id}/resize?h=20&w=77");
        let resized = server.post(lab, &path, "", target);
        assert_eq!(resized.status, 200, "{resized:?}");
        browser.send(Message::Text("echo $(stty size) é€🐝 | tr 7 8\n".into()));
        browser.shows("20 88 é€🐝");
    }
    let running = lab
        .engine(3)
        .ok("inspect --format {{.State.Running}} shell3");
    assert_eq!(running, "true");
    lab.engine(3).ok("rm --force shell3");
}
