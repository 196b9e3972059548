//! The marks of callers: names and labels by which a listener without TLS knows the
//! container that calls. A caller with limits must not give one to a container of
//! its own, because the container would get the rights of another caller.

use serde::{Deserialize, Serialize};

use super::Guarding;
use crate::endpoint::query;
use crate::json::{Fields, quoted, text_of};
use crate::policy::verdict::Judged;

/// The label in which compose keeps the service of a container.
const COMPOSE: &str = "com.docker.compose.service";

/// The label in which the Swarm does.
const SWARM: &str = "com.docker.swarm.service.name";

/// The marks of all callers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// Names of containers.
    pub names: Vec<String>,
    /// Labels of containers.
    pub labels: Vec<LabelMark>,
}

/// A label, with one value or with any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelMark {
    /// Its name.
    pub name: String,
    /// Its value; `None` for any.
    pub value: Option<String>,
}

impl Marks {
    /// The labels of a container of this service, of compose or of the Swarm.
    pub fn of_service(name: &str) -> impl Iterator<Item = LabelMark> {
        [COMPOSE, SWARM].into_iter().map(move |label| LabelMark {
            name: label.to_owned(),
            value: Some(name.to_owned()),
        })
    }

    /// Adds the marks of another agent.
    pub fn add(&mut self, other: &Self) {
        super::unite(&mut self.names, &other.names);
        super::unite(&mut self.labels, &other.labels);
    }

    /// Judges the name that a request gives to a container.
    pub(super) fn container(&self, raw_query: &str) -> Guarding {
        let mut given = query::all(raw_query, "name").map(|name| self.name(&name));
        given
            .find(|judged| *judged != Guarding::Clear)
            .unwrap_or(Guarding::Clear)
    }

    /// Judges the name of a container.
    pub(super) fn name(&self, name: &str) -> Guarding {
        let plain = name.trim_start_matches('/');
        match self.names.iter().any(|own| own == plain) {
            true => denied("the name", name),
            false => Guarding::Clear,
        }
    }

    /// Judges the name of a service, which the Swarm makes a label of its containers.
    pub(super) fn service(&self, name: &str) -> Guarding {
        let is_mark = |mark: &LabelMark| mark.name == SWARM && mark.fits(name);
        match self.labels.iter().any(is_mark) {
            true => denied("the service name", name),
            false => Guarding::Clear,
        }
    }

    /// Judges the `Labels` of a container.
    pub(super) fn labels(&self, fields: &Fields<'_>) -> Judged<Guarding> {
        if self.labels.is_empty() {
            return Ok(Guarding::Clear);
        }
        let given = fields.map("Labels")?;
        for (name, value) in given {
            let value = text_of(value).unwrap_or_default();
            let is_mark = |mark: &LabelMark| mark.name == *name && mark.fits(value);
            if self.labels.iter().any(is_mark) {
                return Ok(denied("the label", name));
            }
        }
        Ok(Guarding::Clear)
    }
}

impl LabelMark {
    fn fits(&self, value: &str) -> bool {
        self.value.as_deref().is_none_or(|own| own == value)
    }
}

fn denied(what: &str, name: &str) -> Guarding {
    Guarding::Denied(format!(
        "{what} {} tells a listener without TLS which caller a container is: only an admin may give it",
        quoted(name)
    ))
}
