//! Decides what is made, and says it before it happens.

use super::BootstrapError;
use super::address::HostName;
use super::files::Files;
use super::image::Image;
use super::look::{self, Survey, Swarm};
use super::options::Options;
use super::place::Place;
use super::settings;

/// What a run makes.
pub(super) struct Plan {
    /// The plan in words.
    pub(super) text: String,
    pub(super) image: Image,
    /// The configuration of the agents.
    pub(super) config: String,
    pub(super) port: u16,
    /// The address of the docker context, as in `DOCKER_HOST`.
    pub(super) docker_host: String,
}

impl Plan {
    /// # Errors
    /// Something is in the way; the error lists all of it.
    pub(super) fn make(
        survey: &Survey,
        place: &Place,
        options: &Options,
        files: &Files,
    ) -> Result<Self, BootstrapError> {
        let port = look::port(options);
        let mut problems = survey.swarm.problems();
        problems.extend(survey.objects.in_the_way());
        if let Some(user) = &survey.port_taken {
            problems.push(format!(
                "port {port} is taken by {user}: choose another one with --port"
            ));
        }
        if files.store.find(&files.context)?.is_some() {
            problems.push(format!(
                "this machine has a docker context {} already: remove it, or choose another --name",
                files.context
            ));
        }
        if let Err(e) = files.key() {
            problems.push(e.to_string());
        }
        let image = match &survey.image {
            Ok(image) => Some(image.clone()),
            Err(reason) => {
                problems.push(reason.clone());
                None
            }
        };
        let address = address(&survey.swarm, place, options);
        if address.is_none() {
            problems.push(
                "the manager has no address that this machine could reach its agent at: name one \
                 with --address"
                    .to_owned(),
            );
        }
        let (Some(image), Some(address), true) = (image, address, problems.is_empty()) else {
            let list = problems.join("\n  ");
            return Err(BootstrapError::Refused(format!(
                "nothing was made, because something is in the way:\n  {list}"
            )));
        };
        let certificate_name = (!certificates_have(&survey.swarm, &address)).then_some(&address);
        let config = settings::write(options, certificate_name)?;
        let docker_host = address.docker_host(port);
        let mut plan = Self {
            text: String::new(),
            image,
            config,
            port,
            docker_host,
        };
        plan.text = plan.describe(survey, place, options, files);
        Ok(plan)
    }

    fn describe(&self, survey: &Survey, place: &Place, options: &Options, files: &Files) -> String {
        let names = &survey.objects.names;
        let mut text = format!("The Swarm of {} has these nodes:\n", place.shown());
        for node in &survey.swarm.nodes {
            let role = if node.is_manager { "manager" } else { "worker" };
            let state = match (node.is_ready, node.availability.as_str()) {
                (true, "active") => "gets an agent".to_owned(),
                (true, availability) => format!("gets no agent while it is `{availability}`"),
                (false, _) => "is not ready: it gets an agent when it is back".to_owned(),
            };
            let (name, address) = (&node.hostname, &node.address);
            let (engine, os, architecture) = (&node.engine, &node.os, &node.architecture);
            text.push_str(&format!(
                "  {name}  {role}  {address}  Docker {engine}  {os}/{architecture}  {state}\n"
            ));
        }
        let key = match files.key.exists() {
            true => "is used as it is",
            false => "the operator's key; it stays on this machine",
        };
        let secret = match &options.secret_file {
            None => "random, and shown to nobody".to_owned(),
            Some(path) if path.exists() => format!("from {}", path.display()),
            Some(path) => format!("random, with a copy in {}", path.display()),
        };
        let rows = [
            ("file", files.key.display().to_string(), key.to_owned()),
            ("secret", names.secret.clone(), secret),
            (
                "config",
                names.config.clone(),
                "the agents' configuration".to_owned(),
            ),
            (
                "config",
                names.operator.clone(),
                "the public half of the key".to_owned(),
            ),
            (
                "network",
                names.network.clone(),
                "an overlay that only agents use".to_owned(),
            ),
            (
                "service",
                names.service.clone(),
                format!(
                    "an agent of {} on each node, on port {}",
                    self.image.named, self.port
                ),
            ),
            (
                "file",
                files.ca.display().to_string(),
                "the CA of the agents".to_owned(),
            ),
            (
                "context",
                files.context.to_string(),
                format!("for the docker CLI, at {}", self.docker_host),
            ),
        ];
        text.push_str("This makes:\n");
        for (kind, name, what) in rows {
            text.push_str(&format!("  {kind:8}{name}: {what}\n"));
        }
        text.push_str(&format!("The image: {}.\n", self.image.way));
        if place.is_open() {
            text.push_str(
                "Warning: the connection to this engine has no TLS. Everybody on the way can read \
                 the new secret, and has root on the manager already.\n",
            );
        }
        text
    }
}

/// Where this machine reaches the agent of the manager: as named, as it reaches the
/// engine, or as the other nodes do.
pub(super) fn address(swarm: &Swarm, place: &Place, options: &Options) -> Option<HostName> {
    let reached = || place.host().cloned();
    let own = || {
        let known = [
            Some(swarm.address.as_str()),
            swarm.own().map(|node| node.address.as_str()),
        ];
        let mut known = known.into_iter().flatten().filter(|text| !text.is_empty());
        known.find_map(|text| {
            text.parse()
                .ok()
                .filter(|host: &HostName| host.as_str() != "0.0.0.0")
        })
    };
    options.address.clone().or_else(reached).or_else(own)
}

/// Whether the certificate of the manager's agent has this name without a setting.
fn certificates_have(swarm: &Swarm, address: &HostName) -> bool {
    let node = swarm.own();
    let known = [
        Some(swarm.address.as_str()),
        node.map(|node| node.hostname.as_str()),
        Some("localhost"),
        Some("127.0.0.1"),
        Some("::1"),
    ];
    let mut known = known.into_iter().flatten();
    known.any(|name| name.eq_ignore_ascii_case(address.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::look::SwarmNode;
    use super::super::objects::{Kind, Names, Object, Objects};
    use super::super::place::Named;
    use super::*;
    use crate::connect::docker_context::ContextStore;

    fn swarm(address: &str) -> Swarm {
        let node = SwarmNode {
            id: "n1".to_owned(),
            hostname: "Node1".to_owned(),
            is_manager: true,
            address: "10.0.0.9".to_owned(),
            engine: "20.10.24".to_owned(),
            os: "linux".to_owned(),
            architecture: "x86_64".to_owned(),
            is_ready: true,
            availability: "active".to_owned(),
        };
        Swarm {
            here: "n1".to_owned(),
            address: address.to_owned(),
            nodes: vec![node],
        }
    }

    fn survey() -> Survey {
        Survey {
            swarm: swarm("10.0.0.1"),
            objects: Objects {
                names: Names::of(&"skep".parse().unwrap()),
                found: Vec::new(),
            },
            image: Ok(Image {
                named: "skep:latest".to_owned(),
                pinned: "skep:latest".to_owned(),
                way: "every node has it".to_owned(),
            }),
            port_taken: None,
        }
    }

    fn options(address: Option<&str>) -> Options {
        Options {
            name: "skep".parse().unwrap(),
            image: None,
            port: None,
            address: address.map(|text| text.parse().unwrap()),
            identity: "operator".to_owned(),
            contact: None,
            key_file: None,
            secret_file: None,
            with_registry_auth: false,
            patience: std::time::Duration::ZERO,
        }
    }

    fn place(host: &str) -> Place {
        let host = Some(host.to_owned());
        Place::find(&Named {
            host,
            context: None,
        })
        .unwrap()
    }

    fn files(folder: &std::path::Path) -> Files {
        let store = ContextStore::at(folder.join("docker"));
        Files::at(&folder.join("config"), store, &options(None)).unwrap()
    }

    #[test]
    fn the_context_has_the_address_at_which_this_machine_reaches_the_manager() {
        const SOCKET: &str = "unix:///var/run/docker.sock";
        for (named, host, own, expected) in [
            (
                Some("gate.example.com"),
                SOCKET,
                "10.0.0.1",
                Some("gate.example.com"),
            ),
            (None, "tcp://node1:2375", "10.0.0.1", Some("node1")),
            (None, SOCKET, "10.0.0.1", Some("10.0.0.1")),
            // A tunnel to the engine does not lead to the agent.
            (None, "tcp://127.0.0.1:2375", "10.0.0.1", Some("10.0.0.1")),
            (None, SOCKET, "0.0.0.0", Some("10.0.0.9")),
        ] {
            let found = address(&swarm(own), &place(host), &options(named));
            assert_eq!(
                found.as_ref().map(HostName::as_str),
                expected,
                "{host} {own}"
            );
        }
    }

    #[test]
    fn a_name_that_certificates_lack_is_added_to_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let socket = place("unix:///var/run/docker.sock");
        for (named, is_added) in [
            (None, false),
            (Some("node1"), false),
            (Some("gate.example.com"), true),
        ] {
            let plan = Plan::make(&survey(), &socket, &options(named), &files(folder.path()));
            let config = plan.unwrap().config;
            assert_eq!(config.contains("names:"), is_added, "{config}");
        }
    }

    #[test]
    fn everything_in_the_way_is_named_at_once_and_nothing_is_planned() {
        let folder = tempfile::tempdir().unwrap();
        let mut survey = survey();
        survey.swarm.nodes[0].engine = "19.03.1".to_owned();
        survey.port_taken = Some("the service web".to_owned());
        survey.image = Err("there is no image".to_owned());
        survey.objects.found.push(Object {
            kind: Kind::Network,
            id: "1".to_owned(),
            name: "skep_agents".to_owned(),
            run: None,
            stack: None,
            row: Value::Null,
        });
        let plan = Plan::make(
            &survey,
            &place("unix:///var/run/docker.sock"),
            &options(None),
            &files(folder.path()),
        );
        let said = plan.err().unwrap().to_string();
        for part in [
            "19.03.1",
            "the service web",
            "no image",
            "skep_agents",
            "nothing was made",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_connection_that_others_can_read_is_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        for (host, warns) in [("tcp://10.0.0.1:2375", true), ("unix:///a.sock", false)] {
            let made = Plan::make(
                &survey(),
                &place(host),
                &options(None),
                &files(folder.path()),
            );
            assert_eq!(made.unwrap().text.contains("no TLS"), warns, "{host}");
        }
    }
}
