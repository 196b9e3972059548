//! One request: its method, path and parameters, and its body as it arrives.

mod answer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::config::Config;
use super::seen::{Connected, Seen, Shared, Ticket};
use crate::payload::Tally;
use crate::wire::{Body, Head, Link};

/// Whether the connection serves another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
}

pub(super) struct Exchange<'a> {
    pub(super) link: &'a mut Link,
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) ticket: Ticket,
    pub(super) head: Head,
    pub(super) method: String,
    pub(super) path: String,
    query: String,
    body: Body,
    expects: bool,
}

impl<'a> Exchange<'a> {
    /// `None` if the head is not a request.
    pub(super) fn begin(connected: &Connected, link: &'a mut Link, head: Head) -> Option<Self> {
        let parts: Vec<&str> = head.start.split(' ').collect();
        let [method, target, "HTTP/1.1" | "HTTP/1.0"] = parts[..] else {
            return None;
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = without_version(path);
        let ticket = connected.remember(Seen {
            connection: connected.number,
            method: method.to_owned(),
            target: target.to_owned(),
            path: path.to_owned(),
            head: head.clone(),
            body: Tally::default(),
            raw: Tally::default(),
            sent: 0,
            client_closed: false,
        });
        Some(Self {
            link,
            config: connected.shared.config(),
            shared: Arc::clone(&connected.shared),
            ticket,
            body: Body::of_request(&head).ok()?,
            expects: head.lists("Expect", "100-continue"),
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            head,
        })
    }

    /// A query parameter, still encoded.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The API version in the path.
    pub(super) fn version(&self) -> Option<&str> {
        let target = self.head.start.split(' ').nth(1)?;
        let path = target.split('?').next().unwrap_or_default();
        let versioned = path != self.path;
        versioned.then(|| path.split('/').nth(1)?.strip_prefix('v'))?
    }

    /// moby's reading of a boolean parameter (`httputils.BoolValue`).
    pub(super) fn flag(&self, name: &str) -> bool {
        let value = self.param(name).unwrap_or_default().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// The next piece of the request's body.
    pub(super) async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        if std::mem::take(&mut self.expects) {
            self.link.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let piece = self.body.next(&mut self.link.reader).await?;
        if let Some(bytes) = &piece {
            self.ticket.note(|seen| seen.body.add(bytes));
        }
        Ok(piece)
    }

    /// Reads the request's body to its end. Only the log keeps it.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        while self.next_piece().await?.is_some() {}
        Ok(())
    }

    /// Waits; true if the client left meanwhile.
    pub(super) async fn pause(&mut self, time: Duration) -> bool {
        if time.is_zero() {
            return false;
        }
        tokio::select! {
            () = sleep(time) => false,
            () = self.link.ended() => {
                self.ticket.note(|seen| seen.client_closed = true);
                true
            }
        }
    }
}

/// The path behind `/v1.45`, as moby's router sees it.
fn without_version(path: &str) -> &str {
    let Some((version, rest)) = path.strip_prefix("/v").and_then(|p| p.split_once('/')) else {
        return path;
    };
    let numbers = version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match numbers && !version.is_empty() {
        true => &path[path.len() - rest.len() - 1..],
        false => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_api_version_is_removed_from_a_path() {
        for (path, left) in [
            ("/v1.45/containers/json", "/containers/json"),
            ("/v1.45/volumes", "/volumes"),
            ("/volumes", "/volumes"),
            ("/volumes/x", "/volumes/x"),
            ("/v/x", "/v/x"),
            ("/version", "/version"),
        ] {
            assert_eq!(without_version(path), left);
        }
    }
}
