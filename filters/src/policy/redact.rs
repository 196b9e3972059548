//! Takes secrets out of an answer and leaves every other byte as the engine
//! wrote it.
//!
//! Values are found by their names, at any depth, so inspects, lists and
//! previous specifications need no rules of their own.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::json::{Edit, MAX_DEPTH, json_string, spliced};

/// The text that replaces a secret.
pub const REDACTED: &str = "[redacted]";

/// A kind of value to take out of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redact {
    /// The values of environment variables; their names stay. Also `ENV` in the
    /// history of images, and `ps` with arguments that could show them.
    Env,
    /// Join tokens and keys of the Swarm, the content of configs, and labels (of
    /// objects and of events) and options whose names suggest a secret, such as
    /// `db.password`.
    Secrets,
}

impl Redact {
    /// As written in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Secrets => "secrets",
        }
    }
}

/// The answer cannot be searched for secrets, so it must not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// Not one JSON document in UTF-8.
    #[error("the engine's answer is not JSON")]
    NotJson,
    /// Nested too deeply.
    #[error("the engine's answer is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The body without its secrets; `None` if nothing has to change.
///
/// # Errors
/// [`RedactError`] if the body cannot be searched.
pub fn redact(body: &[u8], what: &[Redact]) -> Result<Option<String>, RedactError> {
    let text = std::str::from_utf8(body).map_err(|_| RedactError::NotJson)?;
    if what.is_empty() {
        return Ok(None);
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| RedactError::NotJson)?;
    let edits = Scanner::new(text, what).run()?;
    Ok((!edits.is_empty()).then(|| spliced(text, edits)))
}

/// The kind of values in an object or a list.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Plain,
    /// `["NAME=value"]`
    Env,
    /// A map whose names suggest which values are secrets.
    Map,
    LogConfig,
    /// All texts are secrets.
    Tokens,
}

struct Scanner<'t> {
    text: &'t str,
    env: bool,
    secrets: bool,
    /// For each object or list that is open: whether it is an object, and what it holds.
    open: Vec<(bool, Context)>,
    /// The last name read.
    name: Cow<'t, str>,
    edits: Vec<Edit<'t>>,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str, what: &[Redact]) -> Self {
        Self {
            text,
            env: what.contains(&Redact::Env),
            secrets: what.contains(&Redact::Secrets),
            open: Vec::new(),
            name: Cow::Borrowed(""),
            edits: Vec::new(),
        }
    }

    /// Scans the text, which is known to be JSON.
    fn run(mut self) -> Result<Vec<Edit<'t>>, RedactError> {
        let bytes = self.text.as_bytes();
        let (mut at, mut names) = (0, false);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'{' | b'[' => {
                    let is_object = *byte == b'{';
                    if self.open.len() == MAX_DEPTH {
                        return Err(RedactError::TooDeep);
                    }
                    self.open.push((is_object, self.context(is_object)));
                    names = is_object;
                }
                b'}' | b']' => {
                    self.open.pop();
                }
                b',' => names = self.open.last().is_some_and(|(is_object, _)| *is_object),
                b'"' => {
                    let end = end_of_string(bytes, at);
                    let token = self.text.get(at..end).unwrap_or_default();
                    if names {
                        self.name = unquoted(token);
                        names = false;
                    } else {
                        self.value(token);
                    }
                    at = end;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        Ok(self.edits)
    }

    /// The kind of values in the object or list that opens here.
    fn context(&self, is_object: bool) -> Context {
        match self.open.last() {
            // Texts of a list are of the kind of the list; objects in it are plain.
            Some((false, Context::Tokens)) => return Context::Tokens,
            Some((false, _)) | None => return Context::Plain,
            Some((true, Context::Tokens)) => return Context::Tokens,
            Some((true, Context::Map)) => return Context::Plain,
            Some((true, Context::LogConfig)) if self.name == "Config" => return Context::Map,
            Some(_) => {}
        }
        match (self.name.as_ref(), is_object) {
            ("Env", false) => Context::Env,
            ("Labels" | "Attributes" | "DriverOpts" | "Options", true) => Context::Map,
            ("LogConfig" | "LogDriver", true) => Context::LogConfig,
            ("JoinTokens", true) => Context::Tokens,
            _ => Context::Plain,
        }
    }

    fn value(&mut self, token: &'t str) {
        let context = self
            .open
            .last()
            .map_or(Context::Plain, |(_, context)| *context);
        let is_object = self.open.last().is_some_and(|(is_object, _)| *is_object);
        let with = match context {
            Context::Env if self.env => match unquoted(token).split_once('=') {
                Some((name, _)) => json_string(&format!("{name}={REDACTED}")),
                None => return,
            },
            Context::Tokens if self.secrets => json_string(REDACTED),
            Context::Map if self.secrets && sounds_secret(&self.name) => json_string(REDACTED),
            // The command of a layer, in the history of an image.
            Context::Plain if self.env && self.name == "CreatedBy" && token.contains("ENV ") => {
                json_string(REDACTED)
            }
            Context::Plain if self.secrets && is_object && is_secret(&self.name) => {
                json_string(REDACTED)
            }
            _ => return,
        };
        self.edits.extend(Edit::replace(self.text, token, with));
    }
}

/// Fields of the API that are secrets if they are texts: of `GET
/// /swarm/unlockkey`, of a Swarm's specification, and the content of a config.
fn is_secret(name: &str) -> bool {
    ["UnlockKey", "SigningCAKey", "Data"].contains(&name)
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts = [
        "passw",
        "secret",
        "token",
        "credential",
        "apikey",
        "api_key",
        "api-key",
        "private",
    ];
    parts.iter().any(|part| name.contains(part))
}

/// The end of the string that starts at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn unquoted(token: &str) -> Cow<'_, str> {
    let inner = token.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    match inner {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => serde_json::from_str::<String>(token)
            .unwrap_or_default()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Redact; 2] = [Redact::Env, Redact::Secrets];

    fn redacted(body: &str) -> String {
        redact(body.as_bytes(), &BOTH)
            .unwrap()
            .unwrap_or(body.to_owned())
    }

    #[test]
    fn only_the_values_change_and_every_other_byte_stays() {
        for (body, expected) in [
            (
                r#"{"Config": {"Env":["A=1","B=","C"], "x":1.50},"N":12345678901234567890}"#,
                r#"{"Config": {"Env":["A=[redacted]","B=[redacted]","C"], "x":1.50},"N":12345678901234567890}"#,
            ),
            (
                r#"[{"Spec":{"TaskTemplate":{"ContainerSpec":{"Env":["K=v=w"]}}},"PreviousSpec":{"Env":["K=\"v"]}}]"#,
                r#"[{"Spec":{"TaskTemplate":{"ContainerSpec":{"Env":["K=[redacted]"]}}},"PreviousSpec":{"Env":["K=[redacted]"]}}]"#,
            ),
            (
                r#"{"JoinTokens":{"Worker":"SWMTKN-1","Manager":"SWMTKN-2"},"ID":"x"}"#,
                r#"{"JoinTokens":{"Worker":"[redacted]","Manager":"[redacted]"},"ID":"x"}"#,
            ),
            (r#"{"UnlockKey":"SWMKEY"}"#, r#"{"UnlockKey":"[redacted]"}"#),
            (
                r#"{"Spec":{"Name":"c","Data":"aGk="},"GraphDriver":{"Data":{"UpperDir":"/x"}}}"#,
                r#"{"Spec":{"Name":"c","Data":"[redacted]"},"GraphDriver":{"Data":{"UpperDir":"/x"}}}"#,
            ),
            (
                r#"{"Labels":{"db.password":"p","app":"web"},"LogConfig":{"Type":"x","Config":{"splunk-token":"t","tag":"a"}}}"#,
                r#"{"Labels":{"db.password":"[redacted]","app":"web"},"LogConfig":{"Type":"x","Config":{"splunk-token":"[redacted]","tag":"a"}}}"#,
            ),
            (
                r#"{"Type":"container","Actor":{"ID":"x","Attributes":{"image":"a","db.password":"p"}}}"#,
                r#"{"Type":"container","Actor":{"ID":"x","Attributes":{"image":"a","db.password":"[redacted]"}}}"#,
            ),
            (
                r#"{"Labels":{"Env":"A=1","Data":"d"},"Secrets":[{"SecretName":"s"}]}"#,
                r#"{"Labels":{"Env":"A=1","Data":"d"},"Secrets":[{"SecretName":"s"}]}"#,
            ),
            (
                r#"{"\u0045nv":["A\u003d1"]}"#,
                r#"{"\u0045nv":["A=[redacted]"]}"#,
            ),
        ] {
            assert_eq!(redacted(body), expected);
        }
    }

    #[test]
    fn an_answer_that_cannot_be_searched_is_refused() {
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        assert_eq!(redact(deep.as_bytes(), &BOTH), Err(RedactError::TooDeep));
        for body in [&b"{"[..], b"", b"\xff", b"{} x"] {
            assert_eq!(redact(body, &BOTH), Err(RedactError::NotJson));
        }
    }

    proptest! {
        #[test]
        fn no_value_of_the_environment_is_left(
            names in proptest::collection::vec("[A-Z]{1,4}", 1..5),
            value in "s3cr3t[\\PC\"\\\\]{0,8}",
        ) {
            let env: Vec<_> = names.iter().map(|name| format!("{name}={value}")).collect();
            let body = serde_json::json!({"Config": {"Env": env, "Labels": {"x": "y"}}}).to_string();
            let out = redacted(&body);
            prop_assert!(!out.contains("s3cr3t"));
            let read: serde_json::Value = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(&read["Config"]["Labels"]["x"], "y");
            prop_assert_eq!(redacted(&out), out);
        }
    }
}
