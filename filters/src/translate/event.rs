//! Translates events: clients before 1.52 also find the object and the action of
//! containers and images in fields of the first versions of the API.

use serde::Deserialize;

use super::Translation;
use crate::endpoint::ApiVersion;
use crate::json::{Edit, Members, json_string, spliced};

/// From this version on, events have no `status`, `id` and `from`.
const NO_OLD_FIELDS: ApiVersion = ApiVersion::new(1, 52);

/// Begins each record of a JSON text sequence (RFC 7464 §2.2).
const RECORD_SEPARATOR: char = '\u{1e}';

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
struct Attributes {
    #[serde(default)]
    image: String,
}

impl Translation {
    /// One event for the client; `None` if it stays as it is.
    pub fn event(self, line: &[u8]) -> Option<String> {
        if !self.is_after(NO_OLD_FIELDS) {
            return None;
        }
        let text = std::str::from_utf8(line).ok()?;
        let object = text.trim_start_matches(RECORD_SEPARATOR).trim_ascii();
        let event = Members::of(object.as_bytes())?;
        let actor: Actor = serde_json::from_str(event.value("Actor")?).ok()?;
        let action = event.text("Action")?;
        let kind = event.text("Type")?;
        let from = match &*kind {
            "container" => Some(actor.attributes.image),
            "image" => None,
            _ => return None,
        };
        let fields = [
            ("status", Some(action)),
            ("id", Some(actor.id)),
            ("from", from),
        ];
        let mut added = String::new();
        for (name, value) in fields {
            let lacks = !event.iter().any(|(found, _)| found == name);
            if let Some(value) = value.filter(|_| lacks) {
                added += &format!(",\"{name}\":{}", json_string(&value));
            }
        }
        Some(spliced(text, vec![Edit::add(text, object, &added)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_client_gets_the_old_fields_of_containers_and_images() {
        const CONTAINER: &str = r#"{"Type":"container","Action":"start","Actor":{"ID":"c1","Attributes":{"image":"busybox"}},"time":1}"#;
        for (asked, sent, line, expected) in [
            (
                51,
                52,
                CONTAINER,
                Some(
                    r#"{"Type":"container","Action":"start","Actor":{"ID":"c1","Attributes":{"image":"busybox"}},"time":1,"status":"start","id":"c1","from":"busybox"}"#,
                ),
            ),
            (
                41,
                56,
                "\u{1e}{\"Type\":\"image\",\"Action\":\"pull\",\"Actor\":{\"ID\":\"i\"}}\n",
                Some(
                    "\u{1e}{\"Type\":\"image\",\"Action\":\"pull\",\"Actor\":{\"ID\":\"i\"},\"status\":\"pull\",\"id\":\"i\"}\n",
                ),
            ),
            (
                41,
                52,
                r#"{"status":"die","id":"c","from":"f","Type":"container","Action":"die","Actor":{"ID":"c"}}"#,
                Some(
                    r#"{"status":"die","id":"c","from":"f","Type":"container","Action":"die","Actor":{"ID":"c"}}"#,
                ),
            ),
            (
                51,
                52,
                r#"{"Type":"volume","Action":"create","Actor":{"ID":"v"}}"#,
                None,
            ),
            (51, 52, "not JSON", None),
            (51, 44, CONTAINER, None),
            (52, 56, CONTAINER, None),
            (56, 41, CONTAINER, None),
        ] {
            let translation = Translation {
                asked: ApiVersion::new(1, asked),
                sent: ApiVersion::new(1, sent),
            };
            let found = translation.event(line.as_bytes());
            assert_eq!(found.as_deref(), expected, "{asked} {sent} {line}");
        }
    }
}
