//! Writes the audit log: one JSON line for every request that was answered or
//! refused, and one with the count of suppressed refusals of unauthenticated
//! clients.
//!
//! A line has the caller, the call, the node and the outcome. The log level does
//! not change it. Text of a client is always inside a JSON string, bounded and with
//! escapes for all that a terminal would hide or act on, so it cannot forge a line. Queries and bodies are not in it: they may hold secrets.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use skep_filters::endpoint::EndpointId;

use crate::config;
use crate::exchange::{Exchange, bounded};
use crate::platform;
use crate::platform::clock;
use crate::telemetry::line::escape_json;
use crate::telemetry::{BatchWriter, timestamp};

/// The longest text from the request in a line, in characters.
const LONGEST: usize = 2048;

/// The audit log's file and the lines that wait for it.
pub(crate) struct Audit {
    path: PathBuf,
    /// Whether routine requests have lines too.
    routine: bool,
    file: Arc<Mutex<File>>,
    lines: Mutex<BatchWriter>,
}

/// The line of a request.
#[derive(Serialize)]
struct Line<'x> {
    time: &'x str,
    /// Empty for an unauthenticated client.
    who: &'x str,
    from: &'x str,
    method: &'x str,
    path: &'x str,
    /// The endpoint by its name in the API's description; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
    #[serde(rename = "where")]
    to: &'x str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    policy: &'x str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule: &'x str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'x str>,
    status: u16,
    ms: f64,
    bytes: u64,
    /// Of a connection to a port of a container: the port, and the bytes to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<u64>,
    /// Of a change of the list of people: what it changes; of a new certificate: whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'x str>,
    request_id: &'x str,
}

/// The line that counts suppressed refusals.
#[derive(Serialize)]
struct Suppressed<'x> {
    time: &'x str,
    verdict: &'static str,
    count: u64,
    /// The address of the last client.
    from: &'x str,
    reason: &'static str,
}

impl Audit {
    /// Appends to the configured file, and creates it if it does not exist.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn open(config: &config::Audit) -> io::Result<Self> {
        let path = &config.file;
        let file = Arc::new(Mutex::new(platform::append_private(path)?));
        let lines = BatchWriter::new(Out {
            file: file.clone(),
            path: path.clone(),
        })?;
        Ok(Self {
            path: path.clone(),
            routine: config.routine,
            file,
            lines: Mutex::new(lines),
        })
    }

    /// Opens a new file after the old one was moved away.
    ///
    /// # Errors
    /// If it cannot be opened; lines are still written to the old one.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = platform::append_private(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Writes the line of an exchange that has ended, unless it is routine and the
    /// configuration does not ask for routine requests.
    pub(crate) fn log(&self, x: &Exchange) {
        if !self.routine && x.is_routine() {
            return;
        }
        let record = &x.record;
        let reason = record.would_deny.as_deref().or(record.why.as_deref());
        let line = Line {
            time: &timestamp(clock::wall()),
            who: record.caller(),
            from: &x.from,
            method: bounded(x.logged_method(), LONGEST),
            path: bounded(x.logged_path(), LONGEST),
            what: x.endpoint.map(EndpointId::name),
            to: &record.to,
            verdict: match (record.refused, &record.would_deny) {
                (Some(reason), _) if reason.is_denial() => "deny",
                (Some(_), _) => "refuse",
                (None, Some(_)) => "would_deny",
                (None, None) => "allow",
            },
            policy: record.policy(),
            rule: &record.rule,
            reason: reason.map(|text| bounded(text, LONGEST)),
            status: record.status(),
            ms: record.milliseconds(),
            bytes: record.bytes,
            port: record.port,
            bytes_in: record.port.map(|_| record.bytes_in),
            change: record.change.as_deref().map(|text| bounded(text, LONGEST)),
            request_id: x.id.as_str(),
        };
        self.write(&line);
    }

    /// Writes the count of refused exchanges that have no line of their own, so
    /// that a reader sees where lines are missing.
    pub(crate) fn log_suppressed(&self, count: u64, last_from: &str) {
        self.write(&Suppressed {
            time: &timestamp(clock::wall()),
            verdict: "left_out",
            count,
            from: last_from,
            reason: "more requests of unauthenticated clients were refused than are logged one by one",
        });
    }

    fn write(&self, line: &impl Serialize) {
        let Ok(mut bytes) = serde_json::to_vec(line) else {
            return tracing::error!("a line of the audit log could not be written");
        };
        bytes = escape_json(bytes);
        bytes.push(b'\n');
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // This only collects the line; `Out` logs errors of the file.
        let _ = lines.write_all(&bytes);
    }

    /// Waits until everything is written.
    pub(crate) fn finish(&self) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.finish();
    }
}

/// Writes to the current file.
struct Out {
    file: Arc<Mutex<File>>,
    path: PathBuf,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(bytes).inspect_err(|e| {
            tracing::error!("{}: the audit log is not written: {e}", self.path.display());
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::caller::Caller;
    use crate::exchange::reject::Reason;
    use serde_json::Value;

    fn open(file: PathBuf) -> Audit {
        let routine = false;
        Audit::open(&config::Audit { file, routine }).unwrap()
    }

    fn lines(audit: &Audit) -> Vec<Value> {
        audit.finish();
        let text = std::fs::read_to_string(&audit.path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[test]
    fn a_line_has_the_caller_the_call_the_node_and_the_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let audit = open(folder.path().join("audit"));
        let mut x = Exchange::new();
        x.record.caller = Some(Caller::client("key:ci"));
        x.target = "/containers/a%22%0A%7B/json?secret=1".parse().unwrap();
        x.endpoint = Some(EndpointId::ContainerInspect);
        x.record.to = "node:n2".into();
        x.record.rule = "deny containers.read".into();
        x.record.refused = Some(Reason::Denied);
        x.record.why = Some("a\n{\"who\":\"root\"}".to_owned());
        x.record.status = Some(http::StatusCode::FORBIDDEN);
        audit.log(&x);
        let [line] = &lines(&audit)[..] else {
            panic!("one line");
        };
        assert_eq!(line["who"], "key:ci");
        assert_eq!(line["path"], "/containers/a%22%0A%7B/json");
        assert_eq!(line["what"], "ContainerInspect");
        assert_eq!(line["where"], "node:n2");
        assert_eq!(line["verdict"], "deny");
        assert_eq!(line["rule"], "deny containers.read");
        assert_eq!(line["reason"], "a\n{\"who\":\"root\"}");
        assert_eq!(line["status"], 403);
        assert_eq!(line["request_id"], x.id.as_str());
    }

    #[test]
    fn the_text_of_a_client_is_bounded_and_cannot_hide_characters() {
        let folder = tempfile::tempdir().unwrap();
        let audit = open(folder.path().join("audit"));
        let mut x = Exchange::new();
        x.method = http::Method::from_bytes("M".repeat(9000).as_bytes()).unwrap();
        x.record.refused = Some(Reason::Denied);
        let hidden = "\u{7f}\u{9b}\u{2028}\u{202e}\u{feff}\u{e0041}";
        x.record.why = Some(format!("{hidden}{}", "x".repeat(9000)));
        audit.log(&x);
        audit.finish();
        let text = std::fs::read_to_string(&audit.path).unwrap();
        assert!(text.trim_end().is_ascii(), "{text:?}");
        assert!(!text.contains('\u{7f}') && text.len() < 3000, "{text:?}");
        let [line] = &lines(&audit)[..] else {
            panic!("one line");
        };
        assert!(line["reason"].as_str().unwrap().starts_with(hidden));
        assert_eq!(line["method"].as_str().unwrap().len(), 32);
    }

    #[test]
    fn requests_between_agents_have_no_line_and_would_be_denials_have_one() {
        let folder = tempfile::tempdir().unwrap();
        let audit = open(folder.path().join("audit"));
        let mut x = Exchange::new();
        x.record.caller = Some(Caller::agent());
        audit.log(&x);
        x.record.caller = None;
        x.endpoint = Some(EndpointId::PortainerPing);
        audit.log(&x);
        x.endpoint = None;
        x.record.would_deny = Some("no rule allows it".to_owned());
        audit.log(&x);
        let [line] = &lines(&audit)[..] else {
            panic!("one line");
        };
        assert_eq!(line["verdict"], "would_deny");
        assert_eq!(line["reason"], "no rule allows it");
    }

    #[test]
    fn routine_requests_have_lines_if_the_configuration_asks_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit");
        let routine = true;
        let audit = Audit::open(&config::Audit { file, routine }).unwrap();
        let mut x = Exchange::new();
        x.record.caller = Some(Caller::agent());
        x.endpoint = Some(EndpointId::AgentIdentity);
        audit.log(&x);
        let [line] = &lines(&audit)[..] else {
            panic!("one line");
        };
        assert_eq!(line["who"], "peer:n2");
        assert_eq!(line["verdict"], "allow");
    }

    #[test]
    fn suppressed_refusals_have_a_line_with_their_count() {
        let folder = tempfile::tempdir().unwrap();
        let audit = open(folder.path().join("audit"));
        audit.log_suppressed(7, "192.0.2.1:5");
        let [line] = &lines(&audit)[..] else {
            panic!("one line");
        };
        assert_eq!(line["verdict"], "left_out");
        assert_eq!(
            (&line["count"], &line["from"]),
            (&7.into(), &"192.0.2.1:5".into())
        );
    }

    #[test]
    fn reopening_creates_a_new_file_after_the_old_one_was_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let audit = open(path.clone());
        audit.log(&Exchange::new());
        audit.finish();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        audit.reopen().unwrap();
        audit.log(&Exchange::new());
        assert_eq!(lines(&audit).len(), 1);
    }
}
