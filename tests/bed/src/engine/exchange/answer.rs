//! Answering a request as moby does on Go's HTTP server.

use std::io;

use serde_json::{Value, json};

use super::{After, Exchange};
use crate::engine::config::Config;
use crate::wire::chunk;

/// Go's server sends a `Content-Length` for bodies up to this size.
const COUNTED: usize = 2048;

impl Exchange<'_> {
    /// An answer with this JSON.
    pub(crate) async fn json(&mut self, status: u16, body: &Value) -> io::Result<After> {
        self.reply(status, "application/json", format!("{body}\n").as_bytes())
            .await
    }

    /// An error in the format of moby's routes.
    pub(crate) async fn error(&mut self, status: u16, message: &str) -> io::Result<After> {
        self.json(status, &json!({ "message": message })).await
    }

    /// A whole answer, after the whole request; a long one is chunked.
    pub(crate) async fn reply(
        &mut self,
        status: u16,
        kind: &str,
        body: &[u8],
    ) -> io::Result<After> {
        self.drain().await?;
        let none = matches!(status, 204 | 304);
        let mut bytes = match body.len() {
            _ if none => self.answer_head(status, ""),
            len @ 0..=COUNTED => {
                let fields = format!("Content-Type: {kind}\r\nContent-Length: {len}\r\n");
                self.answer_head(status, &fields)
            }
            _ => self.chunked_head(status, kind),
        };
        if !none && self.method != "HEAD" {
            match body.len() {
                0..=COUNTED => bytes.extend_from_slice(body),
                _ => {
                    body.chunks(COUNTED)
                        .for_each(|piece| bytes.extend(chunk(piece)));
                    bytes.extend_from_slice(b"0\r\n\r\n");
                }
            }
        }
        self.link.send(&bytes).await?;
        Ok(self.after())
    }

    /// Begins a chunked answer.
    pub(crate) async fn start(&mut self, kind: &str) -> io::Result<()> {
        let head = self.chunked_head(200, kind);
        self.link.send(&head).await
    }

    /// One chunk of a begun answer.
    pub(crate) async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.link.send(&chunk(bytes)).await;
        self.ticket.note(|seen| match sent {
            Ok(()) => seen.sent += bytes.len() as u64,
            Err(_) => seen.client_closed = true,
        });
        sent
    }

    /// The end of a begun answer.
    pub(crate) async fn finish(&mut self) -> io::Result<After> {
        self.link.send(b"0\r\n\r\n").await?;
        Ok(self.after())
    }

    /// The header fields that moby's version middleware adds to every answer.
    pub(crate) fn common_fields(&self) -> String {
        let Config {
            api_version,
            version,
            ..
        } = &*self.config;
        format!(
            "Api-Version: {api_version}\r\nDocker-Experimental: false\r\nOstype: linux\r\n\
             Server: Docker/{version} (linux)\r\n"
        )
    }

    fn chunked_head(&self, status: u16, kind: &str) -> Vec<u8> {
        let kind = format!("Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n");
        self.answer_head(status, &kind)
    }

    pub(crate) fn answer_head(&self, status: u16, fields: &str) -> Vec<u8> {
        let close = match self.after() {
            After::Close => "Connection: close\r\n",
            After::KeepAlive => "",
        };
        let common = self.common_fields();
        let reason = reason(status);
        format!("HTTP/1.1 {status} {reason}\r\n{common}{fields}{close}\r\n").into_bytes()
    }

    pub(crate) fn after(&self) -> After {
        let close = self.head.lists("Connection", "close") || self.head.start.ends_with("1.0");
        if close {
            After::Close
        } else {
            After::KeepAlive
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Something Else",
    }
}
