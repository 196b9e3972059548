//! Fuzzes the verdicts on bodies: every spelling must get the same one.
//!
//! The bytes are `METHOD path` on the first line and the body after it.

use super::reading;
use super::rules::{Rules, outcome};
use crate::endpoint::{BodyCheck, Match, RequestPath, classify};
use crate::policy::{BodyOf, EffectiveApi, RuleSet};

/// Judges a body as it is, and with its texts and spaces written differently.
///
/// # Panics
/// If the two are judged differently, or a plain policy allows a body that asks
/// for something of the host in Go's reading.
pub fn run(data: &[u8]) {
    let Some((found, body)) = parse(data) else {
        return;
    };
    let Some(rules) = Rules::get() else { return };
    let respelled = respelled(body);
    for rules in rules.all() {
        let expected = judged(rules, &found, body);
        assert_eq!(
            expected,
            judged(rules, &found, &respelled),
            "another verdict for {}",
            String::from_utf8_lossy(&respelled)
        );
    }
    let is_create = found.endpoint.body_check() == BodyCheck::ContainerCreate;
    if is_create && judged(&rules.plain, &found, body).1 {
        reading::harmless(body);
    }
}

fn parse(data: &[u8]) -> Option<(Match, &[u8])> {
    let (line, body) = super::head::part(data, b'\n')?;
    let (method, path) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let found = classify(method, &RequestPath::parse(path).ok()?)?;
    Some((found, body))
}

fn judged(rules: &RuleSet, found: &Match, bytes: &[u8]) -> (String, bool) {
    let body = BodyOf::json(bytes);
    outcome(&rules.judge_body(found, &body, EffectiveApi::NEWEST))
}

/// The same document with every character of its texts escaped and space around
/// every token.
fn respelled(body: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else {
        return body.to_owned();
    };
    let mut out = String::with_capacity(6 * text.len());
    let mut chars = text.chars();
    let mut in_text = false;
    while let Some(char) = chars.next() {
        match char {
            '"' => in_text = !in_text,
            '\\' if in_text => {
                let escaped = chars.next();
                out.push('\\');
                out.extend(escaped);
                if escaped == Some('u') {
                    out.extend(chars.by_ref().take(4));
                }
                continue;
            }
            // Forbidden in a text, but allowed as an escape.
            '\0'..=' ' => {}
            _ if in_text => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
                continue;
            }
            '{' | '}' | '[' | ']' | ',' | ':' => {
                out.push_str("\n\t ");
                out.push(char);
                out.push_str(" \r\n");
                continue;
            }
            _ => {}
        }
        out.push(char);
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_is_the_same_document() {
        let body = r#"{"a\n\u0031":["é𝄞", 1.50, true,"\\\""]}"#;
        let respelled = respelled(body.as_bytes());
        assert!(respelled.starts_with(b"\n\t { \r\n\"\\u0061\\n\\u0031\""));
        let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(read(&respelled), read(body.as_bytes()));
    }
}
