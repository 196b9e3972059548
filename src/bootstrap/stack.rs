//! The objects of the Swarm, as `docker stack deploy` makes them from docker/stack.yml.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::image::Image;
use super::look;
use super::objects::{Names, RUN, STACK};
use super::options::{Name, Options};
use super::settings::{CONFIG_FILE, OPERATOR_FILE, SECRET_FILE};

/// The stack file for people who prefer files.
const FILE: &str = include_str!("../../docker/stack.yml");

/// The label with the image as it was named.
pub(super) const IMAGE: &str = "com.docker.stack.image";

/// The port on which agents listen in their containers.
const LISTEN: u16 = 9001;

/// The engine's socket, on every node.
const SOCKET: &str = "/var/run/docker.sock";

const SECOND: u64 = 1_000_000_000;

/// The ids of the objects that a service uses.
pub(super) struct Ids {
    pub(super) secret: String,
    pub(super) config: String,
    pub(super) operator: String,
    pub(super) network: String,
}

/// The labels of an object that a run makes.
pub(super) fn labels(name: &Name, run: &str) -> Value {
    json!({ STACK: name.as_str(), RUN: run })
}

/// A Swarm secret or config. Its text may be a secret.
pub(super) fn file_object(name: &str, labels: &Value, data: &[u8]) -> Zeroizing<Vec<u8>> {
    // Not through a `Value`, which would leave a copy of the text.
    let (name, labels) = (json!(name), labels);
    let data = Zeroizing::new(STANDARD.encode(data));
    let text = format!(
        "{{\"Name\":{name},\"Labels\":{labels},\"Data\":\"{}\"}}",
        *data
    );
    Zeroizing::new(text.into_bytes())
}

/// The network of the agents.
pub(super) fn network(name: &str, labels: &Value) -> Value {
    json!({ "Name": name, "Driver": "overlay", "CheckDuplicate": true, "Labels": labels })
}

/// The service of the agents.
pub(super) fn service(
    stack: &Name,
    names: &Names,
    ids: &Ids,
    image: (&str, &str),
    port: u16,
    run: &str,
) -> Value {
    let (pinned, named) = image;
    let file = |name: &str| json!({ "Name": name, "UID": "0", "GID": "0", "Mode": 0o444 });
    let config = |id: &str, name: &str, path: &str| json!({ "File": file(path), "ConfigID": id, "ConfigName": name });
    json!({
        "Name": names.service,
        "Labels": { STACK: stack.as_str(), RUN: run, IMAGE: named },
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": pinned,
                "Labels": { STACK: stack.as_str() },
                "Args": ["serve"],
                "Env": [format!("SKEP_CONFIG={CONFIG_FILE}")],
                "StopGracePeriod": 35 * SECOND,
                "ReadOnly": true,
                "CapabilityDrop": ["ALL"],
                "Mounts": [{ "Type": "bind", "Source": SOCKET, "Target": SOCKET }],
                "Secrets": [{
                    "File": file(SECRET_FILE),
                    "SecretID": ids.secret,
                    "SecretName": names.secret,
                }],
                "Configs": [
                    config(&ids.config, &names.config, CONFIG_FILE),
                    config(&ids.operator, &names.operator, OPERATOR_FILE),
                ],
            },
            "Resources": { "Limits": { "MemoryBytes": 256 << 20 } },
            "RestartPolicy": { "Condition": "any", "Delay": 2 * SECOND },
            "LogDriver": { "Name": "json-file", "Options": { "max-size": "10m", "max-file": "3" } },
            "Networks": [{ "Target": ids.network, "Aliases": ["agent"] }],
        },
        "Mode": { "Global": {} },
        "UpdateConfig": { "Parallelism": 1, "FailureAction": "rollback", "Order": "stop-first" },
        "RollbackConfig": { "Parallelism": 1, "Order": "stop-first" },
        "EndpointSpec": {
            "Mode": "dnsrr",
            "Ports": [{
                "Protocol": "tcp",
                "TargetPort": LISTEN,
                "PublishedPort": port,
                "PublishMode": "host",
            }],
        },
    })
}

/// The same as a file for `docker stack deploy`, beside skep.yaml and operator.pub.
pub(super) fn file(options: &Options, image: &Image) -> String {
    let name = &options.name;
    let head = format!(
        "# skep secret | docker secret create {name}_secret -\n\
         # docker stack deploy --with-registry-auth -c stack.yml {name}\n"
    );
    let body = FILE.split_once("\nversion:").map_or(FILE, |(_, body)| body);
    let body = body
        .replace("${SKEP_IMAGE:-skep:latest}", &image.pinned)
        .replace(
            "published: 9001",
            &format!("published: {}", look::port(options)),
        )
        .replace(
            "skep_config_${SKEP_CONFIG_VERSION:-1}",
            &format!("{name}_config_1"),
        )
        .replace("file: ../conf/swarm.yaml", "file: skep.yaml")
        .replace("# - source: operator.pub", "- source: operator.pub")
        .replace(
            "#   target: /etc/skep/operator.pub",
            "  target: /etc/skep/operator.pub",
        )
        .replace("# operator.pub:", "operator.pub:")
        .replace("#   file: operator.pub", "  file: operator.pub")
        .replace(
            "external: true",
            &format!("external: true\n    name: {name}_secret"),
        );
    format!("{head}version:{body}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn options(name: &str, port: Option<u16>) -> Options {
        Options {
            name: name.parse().unwrap(),
            image: None,
            port,
            address: None,
            identity: "operator".to_owned(),
            contact: None,
            key_file: None,
            secret_file: None,
            with_registry_auth: false,
            patience: Duration::ZERO,
        }
    }

    fn image() -> Image {
        Image {
            named: "r.io/skep:1".to_owned(),
            pinned: "r.io/skep:1@sha256:0a".to_owned(),
            way: String::new(),
        }
    }

    fn read(options: &Options) -> Value {
        serde_saphyr::from_str(&file(options, &image())).unwrap()
    }

    fn made(options: &Options) -> Value {
        let id = |text: &str| text.to_owned();
        let ids = Ids {
            secret: id("s"),
            config: id("c"),
            operator: id("o"),
            network: id("n"),
        };
        let names = Names::of(&options.name);
        let image = image();
        let images = (image.pinned.as_str(), image.named.as_str());
        service(
            &options.name,
            &names,
            &ids,
            images,
            look::port(options),
            "1",
        )
    }

    /// Each setting of the file, and the same in the service.
    #[test]
    fn the_service_has_every_setting_of_the_stack_file() {
        let options = options("other", Some(9443));
        let (file, service) = (read(&options), made(&options));
        let agent = &file["services"]["agent"];
        let (task, deploy) = (&service["TaskTemplate"], &agent["deploy"]);
        let container = &task["ContainerSpec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for (of_file, of_service) in [
            (&agent["image"], &container["Image"]),
            (&agent["command"], &container["Args"]),
            (&agent["read_only"], &container["ReadOnly"]),
            (&agent["cap_drop"], &container["CapabilityDrop"]),
            (
                &agent["volumes"][0]["type"],
                &container["Mounts"][0]["Type"],
            ),
            (
                &agent["volumes"][0]["source"],
                &container["Mounts"][0]["Source"],
            ),
            (
                &agent["volumes"][0]["target"],
                &container["Mounts"][0]["Target"],
            ),
            (&agent["logging"]["driver"], &task["LogDriver"]["Name"]),
            (&agent["logging"]["options"], &task["LogDriver"]["Options"]),
            (
                &agent["configs"][0]["target"],
                &container["Configs"][0]["File"]["Name"],
            ),
            (
                &agent["configs"][1]["target"],
                &container["Configs"][1]["File"]["Name"],
            ),
            (
                &agent["ports"][0]["target"],
                &service["EndpointSpec"]["Ports"][0]["TargetPort"],
            ),
            (
                &agent["ports"][0]["published"],
                &service["EndpointSpec"]["Ports"][0]["PublishedPort"],
            ),
            (
                &agent["ports"][0]["mode"],
                &service["EndpointSpec"]["Ports"][0]["PublishMode"],
            ),
            (&deploy["endpoint_mode"], &service["EndpointSpec"]["Mode"]),
            (
                &deploy["restart_policy"]["condition"],
                &task["RestartPolicy"]["Condition"],
            ),
            (
                &deploy["update_config"]["order"],
                &service["UpdateConfig"]["Order"],
            ),
            (
                &deploy["update_config"]["parallelism"],
                &service["UpdateConfig"]["Parallelism"],
            ),
            (
                &deploy["update_config"]["failure_action"],
                &service["UpdateConfig"]["FailureAction"],
            ),
            (
                &deploy["rollback_config"]["order"],
                &service["RollbackConfig"]["Order"],
            ),
            (
                &deploy["rollback_config"]["parallelism"],
                &service["RollbackConfig"]["Parallelism"],
            ),
            (
                &file["configs"]["config"]["name"],
                &container["Configs"][0]["ConfigName"],
            ),
            (
                &file["secrets"]["skep_secret"]["name"],
                &container["Secrets"][0]["SecretName"],
            ),
            (
                &agent["secrets"][0],
                &container["Secrets"][0]["File"]["Name"],
            ),
        ] {
            assert!(!of_file.is_null(), "{of_service}");
            assert_eq!(of_file, of_service);
        }
        assert_eq!(deploy["mode"], "global");
        assert!(service["Mode"]["Global"].is_object());
        assert_eq!(deploy["resources"]["limits"]["memory"], "256M");
        assert_eq!(task["Resources"]["Limits"]["MemoryBytes"], 256 << 20);
        assert_eq!(text(&agent["stop_grace_period"]), "35s");
        assert_eq!(container["StopGracePeriod"], 35 * SECOND);
        assert_eq!(text(&deploy["restart_policy"]["delay"]), "2s");
        assert_eq!(task["RestartPolicy"]["Delay"], 2 * SECOND);
        let environment = text(&agent["environment"]["SKEP_CONFIG"]);
        assert_eq!(
            container["Env"],
            json!([format!("SKEP_CONFIG={environment}")])
        );
        assert_eq!(file["networks"]["agents"]["driver"], "overlay");
        // A setting that is new in the file belongs into the service too.
        let known = [
            "image",
            "command",
            "environment",
            "stop_grace_period",
            "read_only",
            "cap_drop",
            // Swarm ignores it.
            "security_opt",
            "networks",
            "ports",
            "volumes",
            "secrets",
            "logging",
            "configs",
            "deploy",
        ];
        for (key, known) in [
            (agent, &known[..]),
            (
                deploy,
                &[
                    "mode",
                    "endpoint_mode",
                    "resources",
                    "restart_policy",
                    "update_config",
                    "rollback_config",
                ],
            ),
        ]
        .map(|(map, known)| (map.as_object().unwrap(), known))
        .into_iter()
        .flat_map(|(map, known)| map.keys().map(move |key| (key, known)))
        {
            assert!(known.contains(&key.as_str()), "{key}");
        }
    }

    #[test]
    fn the_stack_file_is_whole_and_has_no_variable_left() {
        let text = file(&options("skep", None), &image());
        assert!(!text.contains("${"), "{text}");
        let read = read(&options("skep", None));
        assert_eq!(read["services"]["agent"]["ports"][0]["published"], 9001);
        assert_eq!(read["configs"]["operator.pub"]["file"], "operator.pub");
        assert_eq!(read["configs"]["config"]["file"], "skep.yaml");
    }

    #[test]
    fn a_file_object_is_json_and_its_text_is_in_base64() {
        let labels = json!({ "a": "b\"c" });
        let body = file_object("x", &labels, b"a secret");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["Data"], STANDARD.encode("a secret"));
        assert_eq!((&body["Name"], &body["Labels"]), (&json!("x"), &labels));
    }
}
