//! Asks nodes for the image that they have by a name. Nodes may have different
//! images of one name, and ids alone do not tell them apart: Docker's own store calls
//! an image by the digest of its configuration, and containerd's store, which engines
//! use since 29.0, by that of its manifest.

use futures::future::join_all;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use skep_filters::auth::OnBehalfOf;

use crate::cluster::ask::{Ask, Node, Timeout, ask_node};
use crate::exchange::context::Context;
use crate::upstream::client::Budget;
use crate::upstream::request;

/// Bounds one inspect, in bytes.
const INSPECT: usize = 8 << 20;

/// The fields of an inspect that tell images apart.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Image {
    #[serde(rename = "Id")]
    pub(crate) id: String,
    /// In RFC 3339; engines leave it out if they do not know it.
    #[serde(rename = "Created", default)]
    pub(crate) created: String,
    /// In bytes.
    #[serde(rename = "Size", default)]
    pub(crate) size: u64,
    #[serde(flatten)]
    content: Content,
}

/// What an image consists of, in whatever store.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Content {
    #[serde(rename = "Os", default)]
    os: String,
    #[serde(rename = "Architecture", default)]
    architecture: String,
    #[serde(rename = "RootFS", default)]
    root: Option<Root>,
    #[serde(rename = "Config", default)]
    config: Option<Settings>,
}

/// The fields of a configuration that are an image's. Older engines also show those of
/// the container that it was made from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    cmd: Option<Value>,
    entrypoint: Option<Value>,
    env: Option<Value>,
    exposed_ports: Option<Value>,
    healthcheck: Option<Value>,
    labels: Option<Value>,
    on_build: Option<Value>,
    shell: Option<Value>,
    stop_signal: Option<Value>,
    user: Option<Value>,
    volumes: Option<Value>,
    working_dir: Option<Value>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Root {
    /// The digests of the uncompressed layers.
    #[serde(rename = "Layers", default)]
    layers: Vec<String>,
}

impl Image {
    /// Whether the images are the same, even if the engines that have them store
    /// images in different ways.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id || self.content.is_same(&other.content)
    }
}

impl Content {
    fn is_same(&self, other: &Self) -> bool {
        let layers = |content: &Self| match &content.root {
            Some(root) => root.layers.clone(),
            None => Vec::new(),
        };
        !layers(self).is_empty()
            && layers(self) == layers(other)
            && (&self.os, &self.architecture) == (&other.os, &other.architecture)
            && self.settings() == other.settings()
    }

    /// The configuration without the empty fields, which each version of the API shows
    /// or leaves out as it likes.
    fn settings(&self) -> [Option<&Value>; 12] {
        let Some(config) = &self.config else {
            return [None; 12];
        };
        let is_set = |value: &&Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Bool(true) | Value::Number(_) => true,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
        };
        [
            &config.cmd,
            &config.entrypoint,
            &config.env,
            &config.exposed_ports,
            &config.healthcheck,
            &config.labels,
            &config.on_build,
            &config.shell,
            &config.stop_signal,
            &config.user,
            &config.volumes,
            &config.working_dir,
        ]
        .map(|setting| setting.as_ref().filter(is_set))
    }
}

/// The nodes that have an image of this name or id, and the image; `ask` is the
/// client's question.
pub(crate) async fn of_name<'n>(
    context: &Context,
    nodes: &'n [Node],
    name: &str,
    ask: &Ask<'_>,
) -> Vec<(&'n Node, Image)> {
    let path = format!("/images/{name}/json");
    let Ok(head) = request::build(&Method::GET, "/") else {
        return Vec::new();
    };
    let ask = &Ask {
        head: &head,
        path: &path,
        query: "",
        patience: Timeout::Deadline,
        // The caller's policy may not allow this inspect.
        on_behalf_of: &OnBehalfOf::Agent,
        ..*ask
    };
    let asked = nodes.iter().map(|node| async move {
        let answer = ask_node(&context.cluster, node, ask, "", &Budget::one(INSPECT)).await;
        let answer = answer.ok().filter(|a| a.head.status == StatusCode::OK)?;
        Some((node, serde_json::from_slice(&answer.body).ok()?))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_is_the_same_in_another_store() {
        let image = |id: &str, layers: &[&str], config: Value| -> Image {
            let image = json!({
                "Id": id,
                "Os": "linux",
                "RootFS": { "Type": "layers", "Layers": layers },
                "Config": config,
            });
            serde_json::from_value(image).unwrap()
        };
        let docker = json!({ "Cmd": ["sh"], "Env": null, "User": "", "Image": "sha256:parent" });
        let own = image("sha256:a", &["l1", "l2"], docker);
        for (id, layers, config, same) in [
            (
                "sha256:b",
                &["l1", "l2"][..],
                json!({ "Cmd": ["sh"] }),
                true,
            ),
            ("sha256:a", &["l3"], json!({}), true),
            ("sha256:b", &["l2", "l1"], json!({ "Cmd": ["sh"] }), false),
            ("sha256:b", &["l1"], json!({ "Cmd": ["sh"] }), false),
            ("sha256:b", &["l1", "l2"], json!({ "Cmd": ["ash"] }), false),
            (
                "sha256:b",
                &["l1", "l2"],
                json!({ "Cmd": ["sh"], "User": "u" }),
                false,
            ),
        ] {
            let other = image(id, layers, config);
            assert_eq!(own.is_same(&other), same, "{other:?}");
        }
        let bare = |id: &str| -> Image { serde_json::from_value(json!({ "Id": id })).unwrap() };
        assert!(!bare("sha256:a").is_same(&bare("sha256:b")));
    }
}
