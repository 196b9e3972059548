//! The stacks and projects of agents: labels by which tools take objects for parts of
//! one whole.
//!
//! `docker stack rm` removes what has the label of the stack, and `docker compose`
//! counts, replaces and removes what has that of the project, no matter who made it. So a
//! caller with limits must not give its own objects the labels of an agent's.

use serde::{Deserialize, Serialize};

use super::{Guarded, Guarding};
use crate::endpoint::query;
use crate::json::{Fields, Json, quoted, text_of};
use crate::policy::verdict::Judged;

/// The labels of `docker stack` and `docker compose`.
const LABELS: [&str; 2] = ["com.docker.stack.namespace", "com.docker.compose.project"];

/// The stack or the project of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stack {
    /// The label that names it.
    pub label: String,
    /// Its name.
    pub name: String,
}

impl Stack {
    /// The stacks and projects that a container with these labels belongs to.
    pub fn of<'l>(labels: impl IntoIterator<Item = (&'l String, &'l String)>) -> Vec<Self> {
        let own = labels
            .into_iter()
            .filter(|(label, name)| !name.is_empty() && LABELS.contains(&label.as_str()));
        let own = own.map(|(label, name)| Self {
            label: label.clone(),
            name: name.clone(),
        });
        own.collect()
    }

    /// Compose writes names in lower case.
    fn is(&self, label: &str, name: &str) -> bool {
        self.label == label && self.name.eq_ignore_ascii_case(name)
    }
}

/// Judges the `Labels` of an object.
pub(super) fn labels(guarded: &Guarded, fields: &Fields<'_>) -> Judged<Guarding> {
    if guarded.stacks.is_empty() {
        return Ok(Guarding::Clear);
    }
    for (label, name) in fields.map("Labels")? {
        let name = text_of(name).unwrap_or_default();
        if guarded.stacks.iter().any(|own| own.is(label, name)) {
            return Ok(denied(name));
        }
    }
    Ok(Guarding::Clear)
}

/// Judges the labels that a query gives to an image, whose containers inherit them:
/// `labels` of a build, and `changes` of a commit or an import.
pub(super) fn of_image(guarded: &Guarded, raw_query: &str) -> Guarding {
    if guarded.stacks.is_empty() {
        return Guarding::Clear;
    }
    for text in query::all(raw_query, "labels").filter(|text| !text.is_empty()) {
        let Ok(Json::Object(given)) = Json::parse(text.as_bytes()) else {
            return Guarding::Denied("labels is not an object".into());
        };
        for (label, name) in given.members() {
            let name = text_of(name).unwrap_or_default();
            if guarded.stacks.iter().any(|own| own.is(label, name)) {
                return denied(name);
            }
        }
    }
    for change in query::all(raw_query, "changes") {
        let stack = guarded
            .stacks
            .iter()
            .find(|own| change.contains(&own.label));
        if let Some(stack) = stack {
            return denied(&stack.name);
        }
    }
    Guarding::Clear
}

fn denied(name: &str) -> Guarding {
    Guarding::Denied(format!(
        "{} is the stack or the project of an agent: only an admin may add to it",
        quoted(name)
    ))
}
