//! The audit log: one JSON line for every request that was answered or refused,
//! and one for those of a flood of strangers' that have none.
//!
//! It says who did what, where, and what was said to that. It is for people who
//! ask later, so nothing in it depends on the level of the other log; and what a
//! stranger sends can only be in a JSON string, never a line of its own. Queries
//! and bodies are not in it: they may hold secrets.

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
use crate::telemetry::{Gather, timestamp};

/// Longest text of the request's own in a line.
const LONGEST: usize = 2048;

/// Where the lines go.
pub(crate) struct Audit {
    path: PathBuf,
    /// Routine requests have lines too.
    routine: bool,
    file: Arc<Mutex<File>>,
    lines: Mutex<Gather>,
}

/// One line.
#[derive(Serialize)]
struct Line<'x> {
    time: &'x str,
    /// Empty if that was not proved.
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
    request_id: &'x str,
}

/// The line of those that have none.
#[derive(Serialize)]
struct Suppressed<'x> {
    time: &'x str,
    verdict: &'static str,
    count: u64,
    /// Where the last of them came from.
    from: &'x str,
    reason: &'static str,
}

impl Audit {
    /// Appends to the configured file, and creates it if there is none.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn open(config: &config::Audit) -> io::Result<Self> {
        let path = &config.file;
        let file = Arc::new(Mutex::new(platform::append_private(path)?));
        let lines = Gather::new(Out {
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

    /// Begins a new file after somebody has moved the old one away.
    ///
    /// # Errors
    /// If it cannot be written; the lines then go on where they went.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = platform::append_private(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Tells of an exchange that has ended. What is routine is nobody's doing.
    pub(crate) fn tell(&self, x: &Exchange) {
        if !self.routine && x.is_routine() {
            return;
        }
        let record = &x.record;
        let line = Line {
            time: &timestamp(clock::wall()),
            who: record.caller(),
            from: &x.from,
            method: bounded(x.method.as_str(), LONGEST),
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
            reason: record.would_deny.as_deref().or(record.why.as_deref()),
            status: record.status(),
            ms: record.milliseconds(),
            bytes: record.bytes,
            request_id: x.id.as_str(),
        };
        self.write(&line);
    }

    /// Tells of so many exchanges of strangers that have no line of their own, so
    /// that the file says where it is not whole.
    pub(crate) fn left_out(&self, count: u64, last_from: &str) {
        self.write(&Suppressed {
            time: &timestamp(clock::wall()),
            verdict: "left_out",
            count,
            from: last_from,
            reason: "more requests of strangers were refused than are told one by one",
        });
    }

    fn write(&self, line: &impl Serialize) {
        let Ok(mut bytes) = serde_json::to_vec(line) else {
            return tracing::error!("a line of the audit log could not be written");
        };
        bytes.push(b'\n');
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // It only gathers; what becomes of the file is told by `Out`.
        let _ = lines.write_all(&bytes);
    }

    /// Waits until everything is written.
    pub(crate) fn finish(&self) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.finish();
    }
}

/// The file, whichever it is at the moment.
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
    fn a_line_says_who_did_what_where_and_what_was_said_to_it() {
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
        audit.tell(&x);
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
    fn what_agents_do_among_themselves_is_not_told_and_what_is_tried_out_is() {
        let folder = tempfile::tempdir().unwrap();
        let audit = open(folder.path().join("audit"));
        let mut x = Exchange::new();
        x.record.caller = Some(Caller::agent());
        audit.tell(&x);
        x.record.caller = None;
        x.endpoint = Some(EndpointId::PortainerPing);
        audit.tell(&x);
        x.endpoint = None;
        x.record.would_deny = Some("no rule allows it".to_owned());
        audit.tell(&x);
        let [line] = &lines(&audit)[..] else {
            panic!("one line");
        };
        assert_eq!(line["verdict"], "would_deny");
        assert_eq!(line["reason"], "no rule allows it");
    }

    #[test]
    fn routine_requests_have_lines_where_the_configuration_wants_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit");
        let routine = true;
        let audit = Audit::open(&config::Audit { file, routine }).unwrap();
        let mut x = Exchange::new();
        x.record.caller = Some(Caller::agent());
        x.endpoint = Some(EndpointId::AgentIdentity);
        audit.tell(&x);
        let [line] = &lines(&audit)[..] else {
            panic!("one line");
        };
        assert_eq!(line["who"], "peer:n2");
        assert_eq!(line["verdict"], "allow");
    }

    #[test]
    fn a_gap_is_told_with_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let audit = open(folder.path().join("audit"));
        audit.left_out(7, "192.0.2.1:5");
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
    fn after_the_file_was_moved_away_a_new_one_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let audit = open(path.clone());
        audit.tell(&Exchange::new());
        audit.finish();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        audit.reopen().unwrap();
        audit.tell(&Exchange::new());
        assert_eq!(lines(&audit).len(), 1);
    }
}
