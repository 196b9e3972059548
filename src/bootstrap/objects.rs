//! The objects of the Swarm that belong to a cluster of agents, by their names and
//! labels.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::BootstrapError;
use super::api::{Api, ApiError, PAUSE};
use super::options::Name;

/// The label of a stack's objects, as `docker stack` knows them.
pub(super) const STACK: &str = "com.docker.stack.namespace";

/// The label of the objects that a run has made, with the number of the run.
pub(super) const RUN: &str = "skep.bootstrap";

/// The labels of the configs in which agents keep what they share.
const STATE: [&str; 2] = ["skep.people", "skep.joined"];

/// How long the Swarm may take to let go of an object: its tasks end first, for which
/// they have 35 seconds.
pub(super) const LET_GO: Duration = Duration::from_secs(90);

/// The kinds of objects, in the order in which they are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Secret,
    Config,
    Network,
    Service,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Secret, Self::Config, Self::Network, Self::Service];

    /// The path of its list.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Config => "configs",
            Self::Network => "networks",
            Self::Service => "services",
        }
    }

    /// For messages.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Network => "network",
            Self::Service => "service",
        }
    }
}

/// The names of the objects of a cluster.
pub(super) struct Names {
    pub(super) secret: String,
    pub(super) config: String,
    pub(super) operator: String,
    pub(super) network: String,
    pub(super) service: String,
}

impl Names {
    /// As `docker stack deploy` would make them from docker/stack.yml.
    pub(super) fn of(name: &Name) -> Self {
        Self {
            secret: format!("{name}_secret"),
            config: format!("{name}_config_1"),
            operator: format!("{name}_operator.pub"),
            network: format!("{name}_agents"),
            service: format!("{name}_agent"),
        }
    }

    /// All of them with their kinds, in the order in which they are made.
    pub(super) fn all(&self) -> [(Kind, &str); 5] {
        [
            (Kind::Secret, &self.secret),
            (Kind::Config, &self.config),
            (Kind::Config, &self.operator),
            (Kind::Network, &self.network),
            (Kind::Service, &self.service),
        ]
    }
}

/// An object that is there.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) name: String,
    /// The run that made it; `None` if no run did.
    pub(super) run: Option<String>,
    /// The stack that it belongs to.
    pub(super) stack: Option<String>,
    /// As the engine lists it.
    pub(super) row: Value,
}

impl Object {
    fn of(kind: Kind, row: &Value) -> Option<Self> {
        let (spec, id) = match kind {
            Kind::Network => (row, &row["Id"]),
            Kind::Secret | Kind::Config | Kind::Service => (&row["Spec"], &row["ID"]),
        };
        let label = |name: &str| spec["Labels"][name].as_str().map(str::to_owned);
        Some(Self {
            kind,
            id: id.as_str()?.to_owned(),
            name: spec["Name"].as_str()?.to_owned(),
            run: label(RUN),
            stack: label(STACK),
            row: row.clone(),
        })
    }

    /// For messages.
    pub(super) fn shown(&self) -> String {
        format!("the {} {}", self.kind.word(), self.name)
    }
}

/// The object of this kind with exactly this name.
///
/// # Errors
/// The engine does not answer.
pub(super) async fn find(api: &Api, kind: Kind, name: &str) -> Result<Option<Object>, ApiError> {
    // Engines also list names that begin with this one, or have it in them.
    let rows = api.list(kind.path(), &json!({ "name": [name] })).await?;
    let mut all = rows.iter().filter_map(|row| Object::of(kind, row));
    Ok(all.find(|object| object.name == name))
}

/// All objects that runs have made for this cluster, in the order in which they are
/// made.
///
/// # Errors
/// The engine does not answer.
pub(super) async fn made(api: &Api, name: &Name) -> Result<Vec<Object>, ApiError> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let rows = api.list(kind.path(), &json!({ "label": [RUN] })).await?;
        let all = rows.iter().filter_map(|row| Object::of(kind, row));
        found.extend(all.filter(|object| {
            object.run.is_some() && object.stack.as_deref() == Some(name.as_str())
        }));
    }
    Ok(found)
}

/// The configs in which the agents of the Swarm keep what they share.
///
/// # Errors
/// The engine does not answer.
pub(super) async fn state(api: &Api) -> Result<Vec<Object>, ApiError> {
    let kind = Kind::Config;
    let mut found = Vec::new();
    for label in STATE {
        let rows = api.list(kind.path(), &json!({ "label": [label] })).await?;
        // The filter is the engine's; the label decides.
        let rows = rows
            .iter()
            .filter(|row| !row["Spec"]["Labels"][label].is_null());
        found.extend(rows.filter_map(|row| Object::of(kind, row)));
    }
    Ok(found)
}

/// Removes an object, and waits until the Swarm has let go of it: the tasks of a service
/// end first, and use its network until then.
///
/// # Errors
/// It is not gone in time.
pub(super) async fn remove(api: &Api, object: &Object) -> Result<(), BootstrapError> {
    let end = Instant::now() + LET_GO;
    loop {
        let failed = match remove_once(api, object).await {
            Ok(Gone::Yes) => return Ok(()),
            Ok(Gone::NotYet) => BootstrapError::Refused(format!(
                "the Swarm has not let go of it within {} s",
                LET_GO.as_secs()
            )),
            Err(e) => e.into(),
        };
        if Instant::now() >= end {
            return Err(failed);
        }
        sleep(PAUSE).await;
    }
}

/// Whether an object that was removed has an effect still.
enum Gone {
    Yes,
    NotYet,
}

async fn remove_once(api: &Api, object: &Object) -> Result<Gone, ApiError> {
    let kind = object.kind;
    api.delete(&format!("/{}/{}", kind.path(), object.id))
        .await?;
    let is_left = match kind {
        Kind::Secret | Kind::Config => false,
        Kind::Network => {
            let found = find(api, kind, &object.name).await?;
            found.is_some_and(|found| found.id == object.id)
        }
        // A filter by a service that is gone is an error.
        Kind::Service => {
            let tasks = api.list("tasks", &json!({})).await?;
            tasks.iter().any(|task| task["ServiceID"] == object.id)
        }
    };
    Ok(match is_left {
        true => Gone::NotYet,
        false => Gone::Yes,
    })
}

/// The objects that have the names of the cluster's, or their places.
pub(super) struct Objects {
    pub(super) names: Names,
    pub(super) found: Vec<Object>,
}

impl Objects {
    /// # Errors
    /// The engine does not answer.
    pub(super) async fn look(api: &Api, name: &Name) -> Result<Self, ApiError> {
        let names = Names::of(name);
        let mut found = Vec::new();
        for (kind, name) in names.all() {
            found.extend(find(api, kind, name).await?);
        }
        Ok(Self { names, found })
    }

    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Object> {
        let mut all = self.found.iter();
        all.find(|object| object.kind == kind && object.name == name)
    }

    pub(super) fn service(&self) -> Option<&Object> {
        self.get(Kind::Service, &self.names.service)
    }

    /// Whether a run has made all of them.
    pub(super) fn is_complete(&self) -> bool {
        let all = self.names.all();
        self.found.len() == all.len() && self.found.iter().all(|object| object.run.is_some())
    }

    /// Those in the way of a new run.
    pub(super) fn in_the_way(&self) -> Option<String> {
        if self.found.is_empty() {
            return None;
        }
        let list: Vec<_> = self.found.iter().map(Object::shown).collect();
        let list = list.join(", ");
        let foreign = self.found.iter().any(|object| object.run.is_none());
        Some(match foreign {
            true => format!(
                "the Swarm has {list} already, which `skep bootstrap` has not made: remove it \
                 (`docker stack rm`, `docker secret rm`), or choose another --name"
            ),
            false => format!(
                "an earlier run has left {list}: `skep bootstrap --remove` takes it away, then \
                 run this again"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_object_are_read_where_its_kind_has_them() {
        let labels = json!({ STACK: "skep", RUN: "1" });
        let network = json!({ "Id": "n1", "Name": "skep_agents", "Labels": labels });
        let secret = json!({ "ID": "s1", "Spec": { "Name": "skep_secret", "Labels": labels } });
        let other = json!({ "ID": "s2", "Spec": { "Name": "x" } });
        for (kind, row, id, run) in [
            (Kind::Network, &network, "n1", Some("1")),
            (Kind::Secret, &secret, "s1", Some("1")),
            (Kind::Secret, &other, "s2", None),
        ] {
            let object = Object::of(kind, row).unwrap();
            assert_eq!((object.id.as_str(), object.run.as_deref()), (id, run));
        }
        assert!(Object::of(Kind::Network, &secret).is_none());
    }

    #[test]
    fn what_is_there_is_in_the_way_with_the_way_to_remove_it() {
        let name: Name = "skep".parse().unwrap();
        let object = |run: Option<&str>| Object {
            kind: Kind::Secret,
            id: "1".to_owned(),
            name: "skep_secret".to_owned(),
            run: run.map(str::to_owned),
            stack: None,
            row: Value::Null,
        };
        for (found, part) in [
            (vec![], None),
            (vec![object(Some("1"))], Some("skep bootstrap --remove")),
            (vec![object(None)], Some("docker secret rm")),
        ] {
            let names = Names::of(&name);
            let objects = Objects { names, found };
            assert!(!objects.is_complete());
            let said = objects.in_the_way();
            assert_eq!(said.is_some(), part.is_some());
            let has_part = said.unwrap_or_default().contains(part.unwrap_or_default());
            assert!(has_part, "{part:?}");
        }
    }
}
