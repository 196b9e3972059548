//! Takes secrets out of an answer and leaves every other byte as the engine
//! wrote it.
//!
//! Values are found by their names, at any depth, so inspects, lists and
//! previous specifications need no rules of their own. A value that was found in one
//! place is then searched for in every other text of the same answer, for instance in
//! a command, because a container is often started with a secret in both.
//!
//! Two scans: the first collects the values, the second edits. Both take linear time.

mod texts;
mod values;

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::json::{Edit, MAX_DEPTH, json_string, spliced};
use values::{Search, Values};

pub use values::MIN_VALUE;

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
    /// The secret of the cluster in the environment of its agents. No policy names it:
    /// an agent that has its secret there hides it from every policy with limits.
    #[serde(skip)]
    Agents,
}

impl Redact {
    /// As written in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Secrets => "secrets",
            Self::Agents => "agents",
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
    /// It has so many secrets that the search for them would need too much memory.
    #[error("the engine's answer has too many secrets to search for; ask for fewer objects")]
    TooMany,
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
    let mut values = Values::default();
    Scanner::new(text, what, Task::Collect(&mut values)).run()?;
    let search = values.search()?;
    let mut edits = Vec::new();
    let task = Task::Edit(search.as_ref(), &mut edits);
    Scanner::new(text, what, task).run()?;
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

/// The purpose of a scan.
enum Task<'a, 't> {
    /// To collect the secrets.
    Collect(&'a mut Values),
    /// To replace them, also where they are found again.
    Edit(Option<&'a Search>, &'a mut Vec<Edit<'t>>),
}

/// The part of a text that is a secret because of its place.
enum Secret {
    /// The value after `NAME=`, which is this long.
    Value(usize),
    /// All of it.
    Whole,
    /// All of it, but only a part of it is the secret.
    Around,
    /// None, unless the text has a secret of another place.
    None,
}

struct Scanner<'a, 't> {
    text: &'t str,
    env: bool,
    secrets: bool,
    agents: bool,
    /// For each object or list that is open: whether it is an object, and what it holds.
    open: Vec<(bool, Context)>,
    /// The last name read.
    name: Cow<'t, str>,
    task: Task<'a, 't>,
    /// The places of secrets in one text.
    places: Vec<Range<usize>>,
}

impl<'a, 't> Scanner<'a, 't> {
    fn new(text: &'t str, what: &[Redact], task: Task<'a, 't>) -> Self {
        Self {
            text,
            env: what.contains(&Redact::Env),
            secrets: what.contains(&Redact::Secrets),
            agents: what.contains(&Redact::Agents),
            open: Vec::new(),
            name: Cow::Borrowed(""),
            task,
            places: Vec::new(),
        }
    }

    /// Scans the text, which is known to be JSON.
    fn run(mut self) -> Result<(), RedactError> {
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
        Ok(())
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
        let text = unquoted(token);
        let secret = self.secret(&text);
        self.places.clear();
        if matches!(secret, Secret::None) {
            self.find(&text);
        }
        match &mut self.task {
            Task::Collect(values) => match secret {
                Secret::Value(name) => {
                    let value = text.get(name + 1..).unwrap_or_default();
                    values.add(value);
                    // A short value is searched for together with its name.
                    if value.len() < MIN_VALUE && !value.is_empty() {
                        values.add(&text);
                    }
                    let mut inner = Vec::new();
                    texts::url_passwords(value, &mut inner);
                    for place in inner {
                        values.add(value.get(place).unwrap_or_default());
                    }
                }
                Secret::Whole => values.add(&text),
                Secret::Around => {}
                Secret::None => {
                    for place in self.places.drain(..) {
                        values.add(text.get(place).unwrap_or_default());
                    }
                }
            },
            Task::Edit(search, edits) => {
                let with = match secret {
                    Secret::Value(name) => {
                        format!("{}={REDACTED}", text.get(..name).unwrap_or_default())
                    }
                    Secret::Whole | Secret::Around => REDACTED.to_owned(),
                    Secret::None => {
                        let is_searched = !(is_plain_object(&self.open) && is_identity(&self.name));
                        if let Some(search) = search.filter(|_| is_searched) {
                            search.places(&text, &mut self.places);
                        }
                        if self.places.is_empty() {
                            return;
                        }
                        texts::replaced(&text, std::mem::take(&mut self.places))
                    }
                };
                edits.extend(Edit::replace(self.text, token, json_string(&with)));
            }
        }
    }

    /// The part of a text that is a secret because of its place.
    fn secret(&self, text: &str) -> Secret {
        let (is_object, context) = match self.open.last() {
            Some((is_object, context)) => (*is_object, *context),
            None => (false, Context::Plain),
        };
        let is_named = match context {
            Context::Env if self.env || self.agents && is_agents(text) => {
                return text.find('=').map_or(Secret::None, Secret::Value);
            }
            Context::Tokens => true,
            Context::Map => sounds_secret(&self.name),
            Context::Plain => is_object && is_secret(&self.name),
            Context::Env | Context::LogConfig => false,
        };
        if self.secrets && is_named {
            return Secret::Whole;
        }
        if self.env && context == Context::Plain && sets_environment(&self.name, text) {
            return Secret::Around;
        }
        Secret::None
    }

    /// Finds the secrets that a text shows by itself.
    fn find(&mut self, text: &str) {
        texts::url_passwords(text, &mut self.places);
        let context = self.open.last().map(|(_, context)| *context);
        let has_options = match context {
            Some(Context::Map) => true,
            Some(Context::Plain) => is_command(&self.name),
            _ => false,
        };
        if self.secrets && has_options {
            texts::assignments(text, &mut self.places);
        }
    }
}

/// Whether the text is a member of an object of the API, not of a map of labels.
fn is_plain_object(open: &[(bool, Context)]) -> bool {
    let innermost = open.last().map(|(_, context)| *context);
    innermost == Some(Context::Plain)
}

/// Fields that say which object this is, and what state it is in. Lists show them with
/// no secret beside them, and clients need them: they stay even if a secret is the
/// same text, such as `POSTGRES_USER=postgres` and the image `postgres:16`.
fn is_identity(name: &str) -> bool {
    [
        "Id",
        "ID",
        "id",
        "ContainerID",
        "ExecIDs",
        "NetworkID",
        "EndpointID",
        "NodeID",
        "ServiceID",
        "TaskID",
        "Name",
        "Names",
        "NodeName",
        "ServiceName",
        "SecretName",
        "ConfigName",
        "Image",
        "ImageID",
        "RepoTags",
        "RepoDigests",
        "Status",
        "State",
        "DesiredState",
        "Type",
        "Driver",
        "Scope",
        "Mode",
        "Os",
        "OS",
        "Architecture",
        "Platform",
        "Role",
        "Availability",
    ]
    .contains(&name)
}

/// Fields with a command, or with the words of one.
fn is_command(name: &str) -> bool {
    [
        "Cmd",
        "Args",
        "Path",
        "Command",
        "Entrypoint",
        "entrypoint",
        "arguments",
        "Test",
        "CreatedBy",
        "Description",
        "Action",
        "status",
    ]
    .contains(&name)
}

/// Whether a step of an image's history sets environment variables or shows the
/// arguments of a build: `ENV A=b`, `ARG A=b`, `|1 A=b /bin/sh -c …`.
fn sets_environment(name: &str, text: &str) -> bool {
    let is_step = match name {
        "CreatedBy" | "Description" => true,
        "Cmd" => text.contains("#(nop)"),
        _ => false,
    };
    let has_arguments = |text: &str| {
        let count = text.trim_start_matches("RUN ").strip_prefix('|');
        count.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() && c != '0'))
    };
    is_step && (text.contains("ENV ") || text.contains("ARG ") || has_arguments(text))
}

/// Whether a variable has the secret of agents, or of a Portainer server.
fn is_agents(variable: &str) -> bool {
    variable
        .split_once('=')
        .is_some_and(|(name, _)| name == "AGENT_SECRET")
}

/// Fields of the API that are secrets if they are texts: of `GET
/// /swarm/unlockkey`, of a Swarm's specification, and the content of a config.
fn is_secret(name: &str) -> bool {
    ["UnlockKey", "SigningCAKey", "Data"].contains(&name)
}

pub(super) fn sounds_secret(name: &str) -> bool {
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
        "passphrase",
        "basicauth",
        "accesskey",
        "access_key",
        "access-key",
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
mod tests;
