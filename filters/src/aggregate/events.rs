//! Plans the queries of `GET /events` for the nodes, and reads events.
//!
//! An engine reports the events of its own objects (`scope=local`) once. Every
//! manager reports those of the cluster's objects (`scope=swarm`), so one
//! manager is asked for them; see [`EventsPlan`]. When another manager takes
//! over, an [`EventKey`] finds the events that were reported already.
//!
//! The agent decides in which order the events of several nodes go out.

mod attributes;
mod key;
mod plan;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::NodeTag;
use super::decorate::Decoration;
use super::error::MergeError;
use crate::json::{Edit, is_too_deep, present, splice};

pub use key::EventKey;
pub use plan::EventsPlan;

/// Begins each record of a JSON text sequence (RFC 7464 §2.2).
const RECORD_SEPARATOR: u8 = 0x1e;

/// The fields of an event that a merge has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    kind: String,
    action: String,
    actor_id: String,
    time_nano: i64,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Actor", default)]
    actor: Option<Actor>,
    // Named so that a line with one of them twice is refused, as
    // `decorate_event` refuses it.
    #[serde(rename = "scope", default)]
    _scope: IgnoredAny,
    #[serde(rename = "Portainer", default)]
    _portainer: IgnoredAny,
    time: Option<i64>,
    #[serde(rename = "timeNano")]
    time_nano: Option<i64>,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
}

impl Event {
    /// Reads one line of the stream; around its JSON may be white space and,
    /// before it, the separator of a JSON text sequence.
    ///
    /// # Errors
    /// [`MergeError`] if that is not one JSON object with the time of an event.
    pub fn parse(line: &[u8]) -> Result<Self, MergeError> {
        let (_, text) = object_in(line)?;
        let message: Message =
            serde_json::from_str(text).map_err(|e| MergeError::of_element(0, e))?;
        let seconds = || Some(message.time?.saturating_mul(1_000_000_000));
        let time_nano = message.time_nano.or_else(seconds);
        Ok(Self {
            time_nano: time_nano.ok_or_else(|| MergeError::of_element(0, "no timeNano"))?,
            kind: message.kind,
            action: message.action,
            actor_id: message.actor.map(|actor| actor.id).unwrap_or_default(),
        })
    }

    /// `Type`: `container`, `image`, `node`, ….
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// `Action`, in full: `start`, `exec_create: sh -c true`, ….
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Its time by the clock of its node, in nanoseconds since 1970.
    #[must_use]
    pub fn time_nano(&self) -> i64 {
        self.time_nano
    }

    /// The id of the container that it is about, if it is about one.
    #[must_use]
    pub fn container_id(&self) -> Option<&str> {
        (self.kind == "container").then_some(self.actor_id.as_str())
    }
}

/// The members of an event that a decoration changes.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    scope: Option<&'a RawValue>,
    #[serde(rename = "Actor", borrow, default, deserialize_with = "present")]
    actor: Option<&'a RawValue>,
    #[serde(rename = "Portainer", borrow, default, deserialize_with = "present")]
    portainer: Option<&'a RawValue>,
}

/// One line of the stream with the node that it came from.
///
/// A `Portainer` member names the node, as in a list. An event of the node's own
/// objects also gets the attributes `node.name` and `node.id`, which
/// `docker events` prints. Existing attributes of these names stay: the labels
/// of an object are among the attributes. The line ends in a line feed.
///
/// # Errors
/// [`MergeError`] if the line is not one JSON object.
pub fn decorate_event(line: &[u8], node: &NodeTag) -> Result<Vec<u8>, MergeError> {
    let (is_sequence, text) = object_in(line)?;
    let row: Row<'_> = serde_json::from_str(text).map_err(|e| MergeError::of_element(0, e))?;

    let decoration = Decoration::of(node);
    let mut edits = vec![decoration.edit(text, row.portainer)];
    let is_swarm = row.scope.is_some_and(|scope| scope.get() == "\"swarm\"");
    if let Some(actor) = row.actor.map(RawValue::get).filter(|_| !is_swarm)
        && let Some(with_node) = attributes::with_node(actor, node)
    {
        edits.extend(Edit::replace(text, actor, with_node));
    }

    let mut out = Vec::with_capacity(line.len() + 192);
    out.extend(is_sequence.then_some(RECORD_SEPARATOR));
    splice(&mut out, text, edits);
    out.push(b'\n');
    Ok(out)
}

/// The JSON object in a line, and whether a record separator is before it.
fn object_in(line: &[u8]) -> Result<(bool, &str), MergeError> {
    let line = line.trim_ascii();
    let (is_sequence, json) = match line.split_first() {
        Some((&RECORD_SEPARATOR, json)) => (true, json),
        _ => (false, line),
    };
    let text = std::str::from_utf8(json.trim_ascii()).map_err(|e| MergeError::of_element(0, e))?;
    if !text.starts_with('{') {
        return Err(MergeError::of_element(0, "not an object"));
    }
    if is_too_deep(text) {
        return Err(MergeError::TooDeep { index: 0 });
    }
    Ok((is_sequence, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const P: &str = r#""Portainer":{"Agent":{"NodeName":"web","NodeID":"id1"}}"#;
    const START: &str = r#"{"status":"start","id":"c1","from":"alpine","Type":"container","Action":"start","Actor":{"ID":"c1","Attributes":{"image":"alpine","name":"x"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}"#;

    fn node() -> NodeTag {
        NodeTag {
            id: "id1".to_owned(),
            hostname: "web".to_owned(),
            is_manager: true,
        }
    }

    fn decorated(line: &str) -> String {
        String::from_utf8(decorate_event(line.as_bytes(), &node()).unwrap()).unwrap()
    }

    #[test]
    fn the_fields_of_an_event_are_read() {
        for line in [START.to_owned(), format!("\u{1e}{START}\r\n")] {
            let event = Event::parse(line.as_bytes()).unwrap();
            assert_eq!((event.kind(), event.action()), ("container", "start"));
            assert_eq!(event.container_id(), Some("c1"));
            assert_eq!(event.time_nano(), 1_700_000_000_123_456_789);
        }
        let update =
            r#"{"Type":"node","Action":"update","Actor":{"ID":"n"},"scope":"swarm","timeNano":5}"#;
        let event = Event::parse(update.as_bytes()).unwrap();
        assert_eq!((event.kind(), event.container_id()), ("node", None));
    }

    #[test]
    fn an_event_of_an_old_engine_is_local_and_of_its_second() {
        let event = Event::parse(br#"{"status":"pull","time":3}"#).unwrap();
        assert_eq!(event.time_nano(), 3_000_000_000);
    }

    #[test]
    fn a_line_that_is_not_an_event_is_refused() {
        for line in [
            "",
            "\u{1e}",
            "5",
            "[]",
            "{",
            "{}",
            r#"{"timeNano":"1"}"#,
            r#"{"timeNano":1}{"timeNano":2}"#,
            r#"{"timeNano":1,"Actor":5}"#,
            r#"{"timeNano":1,"scope":"local","scope":"swarm"}"#,
        ] {
            assert!(Event::parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Event::parse(b"{\"timeNano\":1,\"Type\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_local_event_names_its_node_in_the_attributes_too() {
        let table = [
            (
                r#"{"Actor":{"ID":"c","Attributes":{"name":"x"}},"scope":"local"}"#,
                r#"{"Actor":{"ID":"c","Attributes":{"name":"x","node.name":"web","node.id":"id1"}},"scope":"local",@}"#,
            ),
            (
                r#"{"Actor":{"ID":"c","Attributes":null}}"#,
                r#"{"Actor":{"ID":"c","Attributes":{"node.name":"web","node.id":"id1"}},@}"#,
            ),
            (
                r#"{"Actor":{ }, "a":1.0}"#,
                r#"{"Actor":{ "Attributes":{"node.name":"web","node.id":"id1"}}, "a":1.0,@}"#,
            ),
            // A label of that name stays.
            (
                r#"{"Actor":{"Attributes":{"node.name":"mine"}}}"#,
                r#"{"Actor":{"Attributes":{"node.name":"mine","node.id":"id1"}},@}"#,
            ),
            (r#"{"Actor":null}"#, r#"{"Actor":null,@}"#),
            (
                r#"{"Actor":{"Attributes":[1]}}"#,
                r#"{"Actor":{"Attributes":[1]},@}"#,
            ),
            (
                r#"{"Actor":{"Attributes":{}},"scope":"swarm"}"#,
                r#"{"Actor":{"Attributes":{}},"scope":"swarm",@}"#,
            ),
            ("\u{1e}{}", "\u{1e}{@}"),
            (" {}\r\n", "{@}"),
        ];
        for (line, expected) in table {
            assert_eq!(decorated(line), expected.replace('@', P) + "\n", "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_becomes_json_or_an_error(text in "\u{1e}?[{}\\[\\]\",:Actorbues\\\\ 1]{0,32}", bytes: Vec<u8>) {
            let _ = Event::parse(&bytes);
            let _ = decorate_event(&bytes, &node());
            let _ = Event::parse(text.as_bytes());
            if let Ok(line) = decorate_event(text.as_bytes(), &node()) {
                let json = line.strip_prefix(&[RECORD_SEPARATOR]).unwrap_or(&line);
                prop_assert!(serde_json::from_slice::<&RawValue>(json).is_ok());
            }
        }

        #[test]
        fn an_event_without_its_node_has_the_engines_bytes(
            attributes in prop::collection::btree_map("[a-z.]{1,9}", "[ -~é\\n]{0,8}", 0..4),
            is_pretty: bool,
        ) {
            let own = serde_json::json!({
                "Type": "container", "Actor": { "ID": "c", "Attributes": attributes },
                "scope": "local", "timeNano": 1,
            });
            let line = if is_pretty { format!("{own:#}") } else { own.to_string() };
            let decorated = decorated(&line);
            prop_assert_eq!(Event::parse(decorated.as_bytes()), Event::parse(line.as_bytes()));
            let mut value: serde_json::Value = serde_json::from_str(&decorated).unwrap();
            value.as_object_mut().unwrap().remove("Portainer");
            let kept = value["Actor"]["Attributes"].as_object_mut().unwrap();
            for name in ["node.name", "node.id"] {
                prop_assert!(kept.remove(name).is_some());
            }
            prop_assert_eq!(value, own);
        }
    }
}
