//! Looks at the Swarm before anything is made: its nodes, what is in the way, and what
//! is there already.

use serde_json::{Value, json};

use super::BootstrapError;
use super::api::{Api, ApiError};
use super::image::{self, Image};
use super::objects::Objects;
use super::options::Options;
use super::place::Place;
use crate::config::Listen;

/// The oldest release of an engine that drops the capabilities of a service's
/// containers.
const OLDEST: (u32, u32) = (20, 10);

/// What was found.
pub(super) struct Survey {
    pub(super) swarm: Swarm,
    pub(super) objects: Objects,
    /// The image, or why there is none.
    pub(super) image: Result<Image, String>,
    /// The user of the agents' port, if it is not free.
    pub(super) port_taken: Option<String>,
}

/// The Swarm, as the manager sees it.
pub(super) struct Swarm {
    /// The node of the manager.
    pub(super) here: String,
    /// The address of the manager, as the other nodes know it.
    pub(super) address: String,
    pub(super) nodes: Vec<SwarmNode>,
}

/// A node of the Swarm.
#[derive(Clone, Debug)]
pub(super) struct SwarmNode {
    pub(super) id: String,
    pub(super) hostname: String,
    pub(super) is_manager: bool,
    pub(super) address: String,
    pub(super) engine: String,
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) is_ready: bool,
    /// `active`, `pause` or `drain`.
    pub(super) availability: String,
}

impl Survey {
    /// # Errors
    /// The engine is no manager, or does not answer.
    pub(super) async fn look(
        api: &Api,
        place: &Place,
        options: &Options,
    ) -> Result<Self, BootstrapError> {
        let swarm = Swarm::look(api, place).await?;
        let objects = Objects::look(api, &options.name).await?;
        let image = image::look(api, options.image()).await?;
        let port_taken = port_user(api, &objects, port(options)).await?;
        Ok(Self {
            swarm,
            objects,
            image,
            port_taken,
        })
    }
}

/// The port that agents get if they do not run yet.
pub(super) fn port(options: &Options) -> u16 {
    options.port.unwrap_or(Listen::default().address.port())
}

impl Swarm {
    async fn look(api: &Api, place: &Place) -> Result<Self, BootstrapError> {
        let info = api.get("/info").await?;
        let swarm = &info["Swarm"];
        let word = |name: &str| swarm[name].as_str().unwrap_or_default().to_owned();
        let at = place.shown();
        match word("LocalNodeState").as_str() {
            "active" => {}
            "locked" => {
                return Err(BootstrapError::Refused(format!(
                    "the Swarm of the engine at {at} is locked: run `docker swarm unlock` there"
                )));
            }
            "pending" | "error" => {
                return Err(BootstrapError::Refused(format!(
                    "the engine at {at} has not joined its Swarm: {}",
                    word("Error")
                )));
            }
            _ => {
                return Err(BootstrapError::Refused(format!(
                    "the engine at {at} is not part of a Swarm: run `docker swarm init` there, or \
                     guard this one host as the README describes"
                )));
            }
        }
        if swarm["ControlAvailable"] != json!(true) {
            let managers = swarm["RemoteManagers"].as_array().into_iter().flatten();
            let managers: Vec<_> = managers.filter_map(|one| one["Addr"].as_str()).collect();
            return Err(BootstrapError::Refused(format!(
                "the engine at {at} is a worker, and only a manager can change the Swarm: name one \
                 with --context or --host (managers: {})",
                managers.join(", ")
            )));
        }
        let rows = api.get("/nodes").await?;
        let rows = rows.as_array().into_iter().flatten();
        let mut nodes: Vec<_> = rows.filter_map(SwarmNode::of).collect();
        nodes.sort_by(|a, b| (&a.hostname, &a.id).cmp(&(&b.hostname, &b.id)));
        Ok(Self {
            here: word("NodeID"),
            address: word("NodeAddr"),
            nodes,
        })
    }

    /// The nodes on which an agent must run.
    pub(super) fn expected(&self) -> impl Iterator<Item = &SwarmNode> {
        self.nodes.iter().filter(|node| node.gets_an_agent())
    }

    /// The node of the manager.
    pub(super) fn own(&self) -> Option<&SwarmNode> {
        self.nodes.iter().find(|node| node.id == self.here)
    }

    /// Why agents cannot run on all nodes.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        for node in self.expected() {
            let name = &node.hostname;
            if node.os != "linux" {
                found.push(format!(
                    "{name} runs {}, and skep runs on Linux only",
                    node.os
                ));
            } else if release(&node.engine).is_some_and(|of| of < OLDEST) {
                let engine = &node.engine;
                found.push(format!(
                    "{name} runs Docker {engine}, and skep needs 20.10 or newer"
                ));
            }
        }
        if self.expected().next().is_none() {
            found.push("no node of the Swarm is ready and active".to_owned());
        }
        found
    }
}

impl SwarmNode {
    fn of(row: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let described = &row["Description"];
        let os = text(&described["Platform"]["OS"]);
        // The address of a manager that has been the only one is that of the others'
        // view.
        let manager = row["ManagerStatus"]["Addr"].as_str();
        let manager = manager
            .and_then(|address| address.rsplit_once(':'))
            .map(|(ip, _)| ip);
        let own = text(&row["Status"]["Addr"]);
        let is_unknown = own.is_empty() || own == "0.0.0.0";
        Some(Self {
            id: row["ID"].as_str()?.to_owned(),
            hostname: text(&described["Hostname"]),
            is_manager: row["Spec"]["Role"] == "manager",
            address: manager.filter(|_| is_unknown).map_or(own, str::to_owned),
            engine: text(&described["Engine"]["EngineVersion"]),
            os: if os.is_empty() {
                "linux".to_owned()
            } else {
                os
            },
            architecture: text(&described["Platform"]["Architecture"]),
            is_ready: row["Status"]["State"] == "ready",
            availability: text(&row["Spec"]["Availability"]),
        })
    }

    /// Whether a global service has a task there.
    pub(super) fn gets_an_agent(&self) -> bool {
        self.is_ready && self.availability == "active"
    }
}

/// The first two numbers of an engine's release.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The service, or the container on the manager, that has the port.
async fn port_user(api: &Api, objects: &Objects, port: u16) -> Result<Option<String>, ApiError> {
    let own = objects.service().map(|service| service.id.clone());
    let services = api.list("services", &json!({})).await?;
    let has = |row: &&Value| {
        let ports = row["Endpoint"]["Ports"].as_array();
        let ports = ports.or_else(|| row["Spec"]["EndpointSpec"]["Ports"].as_array());
        let mut ports = ports.into_iter().flatten();
        ports.any(|one| one["PublishedPort"] == port && is_tcp(&one["Protocol"]))
    };
    let mut others = services
        .iter()
        .filter(|row| row["ID"].as_str() != own.as_deref());
    if let Some(service) = others.find(has) {
        let name = service["Spec"]["Name"].as_str().unwrap_or_default();
        return Ok(Some(format!("the service {name}")));
    }
    let containers = api.list("containers/json", &json!({})).await?;
    let has = |row: &&Value| {
        let of = row["Labels"]["com.docker.swarm.service.id"].as_str();
        let mut ports = row["Ports"].as_array().into_iter().flatten();
        let is_own = of.is_some() && of == own.as_deref();
        !is_own && ports.any(|one| one["PublicPort"] == port && is_tcp(&one["Type"]))
    };
    let found = containers.iter().find(has);
    Ok(found.map(|row| {
        let name = row["Names"][0].as_str().unwrap_or_default();
        format!(
            "the container {} on this manager",
            name.trim_start_matches('/')
        )
    }))
}

fn is_tcp(protocol: &Value) -> bool {
    protocol.as_str().is_none_or(|name| name == "tcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, os: &str, engine: &str, state: &str, availability: &str) -> SwarmNode {
        SwarmNode::of(&json!({
            "ID": name,
            "Spec": { "Role": "worker", "Availability": availability },
            "Description": {
                "Hostname": name,
                "Platform": { "OS": os, "Architecture": "x86_64" },
                "Engine": { "EngineVersion": engine },
            },
            "Status": { "State": state, "Addr": "10.0.0.2" },
        }))
        .unwrap()
    }

    fn problems(nodes: Vec<SwarmNode>) -> Vec<String> {
        let swarm = Swarm {
            here: "n1".to_owned(),
            address: "10.0.0.1".to_owned(),
            nodes,
        };
        swarm.problems()
    }

    #[test]
    fn engines_that_cannot_run_an_agent_are_named() {
        for (node, part) in [
            (
                node("a", "linux", "20.10.24+dfsg1", "ready", "active"),
                None,
            ),
            (node("a", "linux", "29.8.1", "ready", "active"), None),
            (node("a", "linux", "dev", "ready", "active"), None),
            (
                node("a", "linux", "19.03.9", "ready", "active"),
                Some("20.10"),
            ),
            (
                node("a", "windows", "28.0.0", "ready", "active"),
                Some("Linux"),
            ),
            (
                node("a", "linux", "28.0.0", "down", "active"),
                Some("no node"),
            ),
            (
                node("a", "linux", "28.0.0", "ready", "drain"),
                Some("no node"),
            ),
        ] {
            let said = problems(vec![node]).join("\n");
            assert_eq!(said.is_empty(), part.is_none(), "{said}");
            assert!(said.contains(part.unwrap_or_default()), "{said}");
        }
        // One that is down or drained gets no agent, whatever it runs.
        let ok = node("a", "linux", "28.0.0", "ready", "active");
        let away = node("b", "windows", "18.09", "down", "active");
        assert!(problems(vec![ok, away]).is_empty());
    }

    #[test]
    fn a_manager_that_has_no_address_of_its_own_has_the_one_of_its_raft() {
        let row = json!({
            "ID": "a",
            "Status": { "Addr": "0.0.0.0" },
            "ManagerStatus": { "Addr": "10.0.0.9:2377" },
        });
        assert_eq!(SwarmNode::of(&row).unwrap().address, "10.0.0.9");
    }
}
