//! Makes the helper of one container: the agent's own image in the network of the
//! target, with no right that `skep relay` does not need.

use bytes::Bytes;
use h2::client::Connection;
use http::Method;
use pingora::protocols::Stream;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use skep_filters::policy::{Named, helper};

use super::engine::Engine;
use super::link::Link;
use super::multiplexed::Multiplexed;
use super::target::Target;
use crate::cluster::OwnContainer;

/// The label with the id of the target.
pub(super) const LABEL: &str = "skep.forward";

/// The label with the id of the agent's container.
pub(super) const AGENT: &str = "skep.forward.agent";

/// The memory of a helper with all of its connections, in bytes.
const MEMORY: u64 = 96 << 20;

/// The threads of a helper.
const THREADS: u32 = 16;

/// The user and group `nobody`.
const NOBODY: &str = "65534:65534";

/// The connection to a helper, which has to be polled.
pub(super) type Wire = Connection<Multiplexed<Stream>, Bytes>;

/// A helper that runs until the agent drops its connection.
pub(super) struct Helper {
    pub(super) link: Link,
    guarded: Guarded,
}

impl Helper {
    /// Makes one and starts it.
    ///
    /// # Errors
    /// A sentence. Nothing is left then.
    pub(super) async fn start(
        engine: &Engine,
        own: &OwnContainer,
        target: &Target,
    ) -> Result<(Self, Wire), String> {
        let name = helper::name(random()?);
        let create = format!("/containers/create?name={name}");
        let body = body(own, target, &program()?);
        let made = engine.ask(Method::POST, &create, Some(&body)).await;
        let id = match made.and_then(|answer| created(&answer.success()?)) {
            Ok(id) => id,
            Err(reason) => {
                // It may have been made all the same.
                engine.remove(&name).await;
                return Err(reason);
            }
        };
        let helper = Named {
            id: id.clone(),
            names: vec![name],
        };
        engine.cluster.guard_helper(helper);
        let guarded = Guarded {
            id,
            engine: engine.clone(),
        };
        match begin(engine, &guarded.id).await {
            Ok((link, wire)) => {
                tracing::info!(
                    "made the container {}, through which container {} is reached",
                    guarded.id,
                    target.name
                );
                Ok((Self { link, guarded }, wire))
            }
            Err(reason) => {
                engine.remove(&guarded.id).await;
                Err(reason)
            }
        }
    }

    /// Removes it.
    pub(super) async fn remove(&self) {
        self.guarded.engine.remove(&self.guarded.id).await;
    }
}

/// A container that callers with limits cannot use, as long as this lives.
struct Guarded {
    id: String,
    engine: Engine,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.engine.cluster.forget_helper(&self.id);
    }
}

async fn begin(engine: &Engine, id: &str) -> Result<(Link, Wire), String> {
    let stream = engine.attach(id).await?;
    let start = format!("/containers/{id}/start");
    let started = engine.ask(Method::POST, &start, None).await?;
    started.success()?;
    let begun = Link::begin(Multiplexed::new(stream)).await;
    begun.map_err(|e| format!("its stream failed: {e}"))
}

fn random() -> Result<[u8; 16], String> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| "the system's random number generator failed".to_owned())?;
    Ok(bytes)
}

/// This program's path, which is the same in every container of its image.
fn program() -> Result<String, String> {
    let path = std::env::current_exe().map_err(|e| format!("the agent's own path: {e}"))?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| "the agent's own path is not text".to_owned())
}

fn created(answer: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Created {
        #[serde(rename = "Id")]
        id: String,
    }
    let created: Created = serde_json::from_slice(answer).map_err(|e| e.to_string())?;
    let is_id = !created.id.is_empty() && created.id.bytes().all(|b| b.is_ascii_alphanumeric());
    match is_id {
        true => Ok(created.id),
        false => Err("the engine names no id".to_owned()),
    }
}

/// The body of the helper's creation: all that its container may.
fn body(own: &OwnContainer, target: &Target, program: &str) -> Value {
    json!({
        "Image": own.image,
        "Entrypoint": [program],
        "Cmd": ["relay"],
        "User": NOBODY,
        "WorkingDir": "/",
        "Healthcheck": { "Test": ["NONE"] },
        "Labels": { LABEL: target.id, AGENT: own.id },
        // Its input ends with the attach of the agent, and it ends with its input.
        "AttachStdin": true,
        "AttachStdout": true,
        "OpenStdin": true,
        "StdinOnce": true,
        "Tty": false,
        "HostConfig": {
            "NetworkMode": format!("container:{}", target.network),
            "AutoRemove": true,
            "ReadonlyRootfs": true,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": MEMORY,
            "MemorySwap": MEMORY,
            "PidsLimit": THREADS,
            // The output is the link.
            "LogConfig": { "Type": "none" },
            "RestartPolicy": { "Name": "no" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_has_the_network_of_its_target_and_nothing_else() {
        let own = OwnContainer {
            id: "a1".to_owned(),
            image: "sha256:ab".to_owned(),
            network_mode: "bridge".to_owned(),
        };
        let target = Target {
            id: "b2".to_owned(),
            name: "web".to_owned(),
            network: "c3".to_owned(),
            started: String::new(),
            addresses: Vec::new(),
        };
        let body = body(&own, &target, "/skep");
        let host = &body["HostConfig"];
        assert_eq!(body["Image"], "sha256:ab");
        assert_eq!(host["NetworkMode"], "container:c3");
        assert_eq!(host["CapDrop"], json!(["ALL"]));
        assert_eq!(host["ReadonlyRootfs"], true);
        assert_eq!(body["User"], NOBODY);
        for absent in [
            "Binds",
            "Mounts",
            "Privileged",
            "Devices",
            "VolumesFrom",
            "CapAdd",
        ] {
            assert!(host.get(absent).is_none(), "{absent}");
        }
    }
}
