//! Merges the progress of one operation on several nodes into one stream: pulling
//! an image everywhere, loading it everywhere.
//!
//! Each message names its node in the fields that clients show: `id` (the CLI
//! draws a line per id) or the text of `stream`. An error ends the stream for a
//! client, so the error of a node is kept until all nodes are done.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Edit, is_too_deep, json_string, prefixed, present, spliced};

/// The end of each message, as the engine writes it.
const END: &str = "\r\n";

/// What to do with one progress message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressLine {
    /// Send this line to the client; it includes the line end.
    Pass(Vec<u8>),
    /// The node failed, for this reason.
    Failed(String),
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    status: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    aux: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<String>,
    #[serde(rename = "errorDetail", default)]
    detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    message: String,
}

/// One progress message of a node for the stream of all nodes.
///
/// The host name is put before an `id`, and before the text of `stream`. A
/// `status` without an id gets the host name as its id. Messages with `aux` are
/// for programs, which find them by their id, and stay as they are. A line that
/// is not a message counts as a failure of the node.
#[must_use]
pub fn progress_line(line: &[u8], host: &str) -> ProgressLine {
    let read = std::str::from_utf8(line.trim_ascii())
        .ok()
        .filter(|text| text.starts_with('{') && !is_too_deep(text))
        .and_then(|text| Some((text, serde_json::from_str::<Message<'_>>(text).ok()?)));
    let Some((text, message)) = read else {
        return ProgressLine::Failed(
            "the engine sent a line that is not a progress message".to_owned(),
        );
    };
    if let Some(reason) = message.failure() {
        return ProgressLine::Failed(reason);
    }
    let mut out = message.on(host, text);
    out.push_str(END);
    ProgressLine::Pass(out.into_bytes())
}

impl Message<'_> {
    fn failure(&self) -> Option<String> {
        let detail = self.detail.as_ref().map(|detail| detail.message.as_str());
        let error = self.error.as_deref();
        let mut messages = detail.into_iter().chain(error).peekable();
        messages.peek()?;
        match messages.find(|message| !message.is_empty()) {
            Some(message) => Some(message.to_owned()),
            // Go omits an empty text.
            None if self.detail.is_none() => None,
            None => Some("failed without saying why".to_owned()),
        }
    }

    /// The text of the message with the host in it.
    fn on(&self, host: &str, text: &str) -> String {
        let text_of = |field: Option<&RawValue>| {
            let raw = field?.get();
            (raw.starts_with('"') && raw != "\"\"").then_some(raw.to_owned())
        };
        if self.aux.is_some() {
            return text.to_owned();
        }
        let mut edits = Vec::new();
        let added = format!(",\"id\":{}", json_string(host));
        match self.id {
            Some(id) => edits.extend(match text_of(Some(id)) {
                Some(own) => prefixed(&own, &format!("{host} "))
                    .and_then(|with| Edit::replace(text, id.get(), with)),
                None => Edit::replace(text, id.get(), json_string(host)),
            }),
            None if self.status.is_some() => edits.push(Edit::append(text, &added)),
            None => {}
        }
        if let Some(stream) = self.stream {
            let with = prefixed(stream.get(), &format!("{host}: "));
            edits.extend(with.and_then(|with| Edit::replace(text, stream.get(), with)));
        }
        spliced(text, edits)
    }
}

/// The outcome of the operation on one node: a message on the line of that node.
#[must_use]
pub fn outcome_line(host: &str, outcome: Result<&str, &str>) -> Vec<u8> {
    let status = match outcome {
        Ok(status) => status.to_owned(),
        Err(reason) => format!("failed: {reason}"),
    };
    let (status, id) = (json_string(&status), json_string(host));
    format!("{{\"status\":{status},\"id\":{id}}}{END}").into_bytes()
}

/// The message that tells the client that the operation failed: the hosts that
/// failed, each with its reason.
#[must_use]
pub fn final_error<H: AsRef<str>, M: AsRef<str>>(failed: &[(H, M)]) -> Vec<u8> {
    let reasons = failed
        .iter()
        .map(|(host, reason)| format!("{}: {}", host.as_ref(), reason.as_ref()));
    let message = json_string(&reasons.collect::<Vec<_>>().join("; "));
    format!("{{\"errorDetail\":{{\"message\":{message}}},\"error\":{message}}}{END}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(line: &str) -> String {
        match progress_line(line.as_bytes(), "web\"") {
            ProgressLine::Pass(line) => String::from_utf8(line).unwrap(),
            ProgressLine::Failed(reason) => panic!("failed: {reason}"),
        }
    }

    #[test]
    fn a_message_names_its_host() {
        for (line, expected) in [
            (
                r#"{"status":"Downloading","progressDetail":{"current":1.0},"id":"ab\u003c"}"#,
                r#"{"status":"Downloading","progressDetail":{"current":1.0},"id":"web\" ab\u003c"}"#,
            ),
            (
                r#"{"status":"Status: Image is up to date"}"#,
                r#"{"status":"Status: Image is up to date","id":"web\""}"#,
            ),
            (
                r#"{"status":"Digest: x", "id":""}"#,
                r#"{"status":"Digest: x", "id":"web\""}"#,
            ),
            (
                r#"{"stream":"Loaded image: a\n"}"#,
                r#"{"stream":"web\": Loaded image: a\n"}"#,
            ),
            (
                r#"{"id":"moby.image.id","aux":{"ID":"x"}}"#,
                r#"{"id":"moby.image.id","aux":{"ID":"x"}}"#,
            ),
            (r#"{"later":1}"#, r#"{"later":1}"#),
            (
                r#"{"status":"a","error":""}"#,
                r#"{"status":"a","error":"","id":"web\""}"#,
            ),
        ] {
            assert_eq!(passed(&format!("{line}\r\n")), format!("{expected}\r\n"));
        }
    }

    #[test]
    fn an_error_is_returned_with_its_reason() {
        let no_message = "the engine sent a line that is not a progress message";
        for (line, reason) in [
            (
                r#"{"errorDetail":{"code":1,"message":"no such image"},"error":"old"}"#,
                "no such image",
            ),
            (r#"{"error":"no space"}"#, "no space"),
            (r#"{"errorDetail":{},"error":"no space"}"#, "no space"),
            (r#"{"errorDetail":{}}"#, "failed without saying why"),
            ("", no_message),
            ("[]", no_message),
            ("{\"id\":", no_message),
            (r#"{"error":5}"#, no_message),
        ] {
            let failed = ProgressLine::Failed(reason.to_owned());
            assert_eq!(progress_line(line.as_bytes(), "web"), failed, "{line}");
        }
    }

    #[test]
    fn the_end_has_the_outcome_of_each_host_and_one_error() {
        let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
        assert_eq!(
            text(outcome_line("a", Ok("done"))),
            "{\"status\":\"done\",\"id\":\"a\"}\r\n"
        );
        assert_eq!(
            text(outcome_line("a", Err("no \"x\""))),
            "{\"status\":\"failed: no \\\"x\\\"\",\"id\":\"a\"}\r\n"
        );
        assert_eq!(
            text(final_error(&[("a", "no"), ("b", "full")])),
            "{\"errorDetail\":{\"message\":\"a: no; b: full\"},\"error\":\"a: no; b: full\"}\r\n"
        );
    }

    proptest! {
        #[test]
        fn a_passed_message_is_json_on_one_line(
            text in "[{}\\[\\]\",:idstaream\\\\ 1]{0,32}",
            id in any::<String>(),
            host in any::<String>(),
        ) {
            let message = serde_json::json!({ "status": id, "id": id }).to_string();
            for line in [text, message] {
                if let ProgressLine::Pass(line) = progress_line(line.as_bytes(), &host) {
                    prop_assert!(line.ends_with(END.as_bytes()));
                    prop_assert!(serde_json::from_slice::<&RawValue>(&line).is_ok());
                }
            }
        }
    }
}
