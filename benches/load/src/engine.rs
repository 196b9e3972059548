//! An engine that costs almost nothing, so that the benchmark measures the front.
//! It does not imitate moby: it has a few fixed answers and reads no headers
//! except the length.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// 2 bytes, like moby's answer.
pub(crate) const PING: &str = "/_ping";
/// About 2 KB.
pub(crate) const SMALL: &str = "/containers/small/json";
/// About 80 KB.
pub(crate) const LARGE: &str = "/containers/large/json";

/// The request has about 2 KB, the answer a hundred bytes.
pub(crate) const CREATE: &str = "/containers/create";

/// The prepared answers by path.
type Answers = Vec<(&'static str, Vec<u8>)>;

const CREATED: &str =
    r#"{"Id":"4f1e0c8a7b2d4f1e0c8a7b2d4f1e0c8a7b2d4f1e0c8a7b2d4f1e0c8a7b2d4f1e","Warnings":[]}"#;

/// Serves until the process ends.
pub(crate) async fn serve(socket: &Path) -> anyhow::Result<()> {
    let answers = Arc::new(answers());
    let listener = UnixListener::bind(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = answers.clone();
        // An error means that the front is gone.
        tokio::spawn(async move { connection(stream, &answers).await });
    }
}

async fn connection(mut stream: UnixStream, answers: &Answers) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(4096);
    loop {
        // Fronts send one request at a time.
        while !is_whole(&head) {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let found = answers.iter().find(|(path, _)| is_for(&head, path));
        let answer = found.map_or(
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
            |a| &a.1,
        );
        stream.write_all(answer).await?;
        head.clear();
    }
}

/// Whether the request is complete, including its body.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok());
    bytes.len() >= end + 4 + length.unwrap_or(0_usize)
}

fn is_for(head: &[u8], path: &str) -> bool {
    let get = head.strip_prefix(b"GET ");
    let rest = get.or(head.strip_prefix(b"POST ")).unwrap_or_default();
    rest.strip_prefix(path.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&b' '))
}

fn answers() -> Answers {
    vec![
        (PING, answer("text/plain; charset=utf-8", "OK")),
        (CREATE, answer("application/json", CREATED)),
        (SMALL, json(&inspect(2_000))),
        (LARGE, json(&inspect(80_000))),
        // An agent requests its engine's identity before it serves clients.
        (
            "/info",
            json(
                r#"{"Name":"bench","ServerVersion":"26.1.5","Swarm":{"LocalNodeState":"inactive"}}"#,
            ),
        ),
        (
            "/version",
            json(r#"{"Version":"26.1.5","ApiVersion":"1.45","MinAPIVersion":"1.24"}"#),
        ),
    ]
}

/// JSON of this size that looks like an inspect.
fn inspect(bytes: usize) -> String {
    let mut text = r#"{"Id":"4f3c","Name":"/bench","Config":{"Env":["#.to_owned();
    while text.len() + 32 < bytes {
        text.push_str(r#""VARIABLE=of some length","#);
    }
    text + r#""LAST=1"]}}"#
}

fn json(body: &str) -> Vec<u8> {
    answer("application/json", body)
}

/// An answer with the headers that moby adds to every answer.
fn answer(kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: {kind}\r\n\
         Docker-Experimental: false\r\nOstype: linux\r\nServer: Docker/26.1.5 (linux)\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
