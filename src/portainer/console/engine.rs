//! Opens a console at the engine, with the requests of Portainer's agent, and
//! takes the connection over as a stream.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use serde::Deserialize;
use skep_filters::endpoint::Console;
use tokio::time::timeout;

use super::Problem;
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::exchange::reject::Reject;
use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::headers;
use crate::upstream::request;

/// An engine answers at once, or after a starting container has started.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bounds an inspect.
const INSPECT: usize = 8 << 20;

/// Bounds a refusal.
const REFUSAL: usize = 64 << 10;

/// A console that the engine opened.
pub(super) struct Opened {
    /// The engine's connection.
    pub(super) stream: Stream,
    /// Output that came together with the answer.
    pub(super) first: Bytes,
    /// Headers separate output and errors, which no browser understands.
    pub(super) multiplexed: bool,
}

/// Opens a console.
///
/// # Errors
/// With the engine's message if it refuses.
pub(super) async fn open(context: &Context, kind: Console, id: &str) -> Result<Opened, Reject> {
    let slow = |_| Error::explain(ErrorType::ReadTimedout, "it did not answer in time");
    let opened = timeout(PATIENCE, opened(&context.client, &context.engine, kind, id)).await;
    let opened = opened.map_err(slow).and_then(|opened| opened);
    let opened = opened.map_err(|e| context.failed(&Hop::Engine, &e.into_up()))?;
    Ok(opened?)
}

async fn opened(
    client: &Client,
    engine: &Engine,
    kind: Console,
    id: &str,
) -> pingora::Result<Result<Opened, Problem>> {
    let (mut upstream, head) = ask(client, engine, kind, id).await?;
    // An engine without upgrades, or a proxy that hides them, answers 200.
    let agreed = head.status == StatusCode::SWITCHING_PROTOCOLS || headers::is_raw_stream(&head);
    if !agreed {
        return Ok(Err(refusal(upstream, &head).await));
    }
    // Only bytes that came together with the head: a pending read is cancelled.
    let first = upstream.read_body_bytes().now_or_never();
    let first = first.transpose()?.flatten();
    let declared = head.headers.get(CONTENT_TYPE);
    let declared = declared.is_some_and(|k| k == "application/vnd.docker.multiplexed-stream");
    // Engines before API 1.42 use one type for both. Portainer's execs have a
    // terminal.
    let multiplexed =
        declared || kind == Console::Attach && has_no_terminal(client, engine, id).await;
    Ok(Ok(Opened {
        stream: upstream.into_inner(),
        first: first.unwrap_or_default(),
        multiplexed,
    }))
}

/// Whether the container has no terminal; false if the engine does not say.
async fn has_no_terminal(client: &Client, engine: &Engine, id: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Container {
        config: Config,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        tty: bool,
    }
    let inspected = async {
        let peer = engine.peer().await?;
        let head = request::get(&format!("/containers/{id}/json"))?;
        client.fetch(&peer, head, &Budget::one(INSPECT)).await
    };
    let found = inspected.await.ok();
    let found = found.and_then(|a| serde_json::from_slice::<Container>(&a.body).ok());
    found.is_some_and(|container| !container.config.tty)
}

async fn ask(
    client: &Client,
    engine: &Engine,
    kind: Console,
    id: &str,
) -> pingora::Result<(HttpSession, ResponseHeader)> {
    let (target, body) = match kind {
        Console::Attach => (
            format!("/containers/{id}/attach?stdin=1&stdout=1&stderr=1&stream=1"),
            "",
        ),
        Console::Exec => (
            format!("/exec/{id}/start"),
            r#"{"Tty":true,"Detach":false}"#,
        ),
    };
    let mut head = request::build(&Method::POST, &target)?;
    head.insert_header(CONNECTION, "Upgrade")?;
    head.insert_header(UPGRADE, "tcp")?;
    head.insert_header(CONTENT_TYPE, "application/json")?;
    head.insert_header(CONTENT_LENGTH, body.len())?;
    let peer = engine.peer().await?;
    let mut upstream = client.dedicated(&peer).await?;
    upstream.write_request_header(Box::new(head)).await?;
    if !body.is_empty() {
        upstream.write_body(body.as_bytes()).await?;
    }
    upstream.finish_body().await?;
    let head = headers::answer_head(&mut upstream).await?;
    Ok((upstream, head))
}

/// Reads the engine's refusal. That of an attach is plain text, without a
/// length, and ends with the connection.
async fn refusal(mut upstream: HttpSession, head: &ResponseHeader) -> Problem {
    #[derive(Deserialize)]
    struct EngineMessage {
        message: String,
    }
    let mut body = BytesMut::new();
    let whole = async {
        while let Ok(Some(bytes)) = upstream.read_body_bytes().await {
            if body.len() + bytes.len() > REFUSAL {
                break;
            }
            body.extend_from_slice(&bytes);
        }
    };
    // An incomplete message is better than none.
    let _ = timeout(Duration::from_secs(5), whole).await;
    let message = match serde_json::from_slice::<EngineMessage>(&body) {
        Ok(said) => said.message,
        Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
    };
    // A 200 without a stream is a failure too.
    let status = match head.status {
        status if status.is_client_error() || status.is_server_error() => status,
        _ => StatusCode::BAD_GATEWAY,
    };
    Problem::Engine { status, message }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;
    use crate::config;

    /// Starts an exec at an engine with this answer: the result, the engine's
    /// request, and the engine's end of the connection.
    async fn of(answer: &'static str) -> (Result<Opened, Problem>, String, UnixStream) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let engine = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request_text = Vec::new();
                // The first connection sends nothing.
                while stream.read_buf(&mut request_text).await.unwrap() > 0 {
                    if request_text.ends_with(b"}") {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        return (String::from_utf8(request_text).unwrap(), stream);
                    }
                }
            }
        });
        let (client, config) = (Client::new(), config::Engine::Socket(path));
        let local_engine = Engine::new(&config).unwrap();
        let opening =
            tokio::spawn(async move { opened(&client, &local_engine, Console::Exec, "ab").await });
        let (request_text, stream) = engine.await.unwrap();
        (opening.await.unwrap().unwrap(), request_text, stream)
    }

    #[tokio::test]
    async fn an_engine_opens_a_console_by_an_upgrade_or_in_the_older_form() {
        for answer in [
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n$ ",
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n$ ",
        ] {
            let (opened, request_text, mut stream) = of(answer).await;
            assert!(request_text.starts_with("POST /exec/ab/start HTTP/1.1\r\n"));
            assert!(request_text.ends_with("\r\n\r\n{\"Tty\":true,\"Detach\":false}"));
            let Ok(mut opened) = opened else {
                panic!("refused: {answer}");
            };
            assert!(!opened.multiplexed);
            assert_eq!(opened.first, "$ ");
            stream.write_all(b"more").await.unwrap();
            let mut more = [0; 4];
            opened.stream.read_exact(&mut more).await.unwrap();
            assert_eq!(&more, b"more");
        }
    }

    #[tokio::test]
    async fn a_refusal_has_the_engines_message() {
        for (answer, status, words) in [
            (
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n\
                 Content-Length: 26\r\n\r\n{\"message\":\"No such exec\"}",
                404,
                "No such exec",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno",
                502,
                "no",
            ),
        ] {
            let (refused, _, _stream) = of(answer).await;
            let refused = refused.err().unwrap();
            assert_eq!(refused.status(), status);
            assert_eq!(refused.to_string(), words);
        }
    }
}
