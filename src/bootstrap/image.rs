//! Where the image of the agents is, and how it gets to the nodes.

use serde_json::Value;

use super::api::{Api, ApiError};
use crate::upstream::request;

/// An image that agents can run.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// As the operator names it.
    pub(super) named: String,
    /// As the service names it: with the digest, if a registry has it.
    pub(super) pinned: String,
    /// How nodes get it, in words.
    pub(super) way: String,
}

/// Looks for an image in the registry, and on the manager.
///
/// # Errors
/// Neither has it, or the engine does not answer.
pub(super) async fn look(api: &Api, named: &str) -> Result<Result<Image, String>, ApiError> {
    let path = request::escape(named);
    let here = api.find(&format!("/images/{path}/json")).await?;
    let digest = match named.contains('@') {
        true => None,
        // The registry may be away, or ask for a password.
        false => match api.find(&format!("/distribution/{path}/json")).await {
            Ok(found) => found.as_ref().and_then(digest),
            Err(ApiError::Refused { .. } | ApiError::Unreachable { .. }) => None,
            Err(e) => return Err(e),
        },
    };
    Ok(judge(named, here.as_ref(), digest))
}

fn digest(found: &Value) -> Option<String> {
    let digest = found["Descriptor"]["digest"].as_str()?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

fn judge(named: &str, here: Option<&Value>, digest: Option<String>) -> Result<Image, String> {
    if let Some(digest) = digest {
        return Ok(Image {
            named: named.to_owned(),
            pinned: format!("{named}@{digest}"),
            way: format!("each node pulls it from its registry ({digest})"),
        });
    }
    let Some(here) = here else {
        return Err(format!(
            "no registry that the manager reaches has the image {named}, and the manager has no \
             copy: push it (`docker push`) and name it with --image, or load it on every node \
             (`docker save {named} | docker -H NODE load`)"
        ));
    };
    let id = here["Id"].as_str().unwrap_or_default();
    let platform = |name: &str| here[name].as_str().unwrap_or_default().to_owned();
    let way = match named.contains('@') {
        true => "nodes without it pull it from its registry".to_owned(),
        false => format!(
            "this manager has it ({}, {}/{}), and no registry that it reaches: every other node \
             must have a copy (`docker save {named} | docker -H NODE load`)",
            id.get(..19).unwrap_or(id),
            platform("Os"),
            platform("Architecture"),
        ),
    };
    Ok(Image {
        named: named.to_owned(),
        pinned: named.to_owned(),
        way,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_of_a_registry_is_pinned_and_one_of_the_manager_is_not() {
        let digest = Some("sha256:0a".to_owned());
        let here =
            json!({ "Id": "sha256:0123456789abcdef", "Os": "linux", "Architecture": "amd64" });
        let pulled = judge("r.io/skep:1", None, digest).unwrap();
        assert_eq!(pulled.pinned, "r.io/skep:1@sha256:0a");
        let loaded = judge("skep:latest", Some(&here), None).unwrap();
        assert_eq!(loaded.pinned, "skep:latest");
        assert!(
            loaded.way.contains("sha256:0123456789ab, linux/amd64"),
            "{}",
            loaded.way
        );
        assert!(loaded.way.contains("every other node must have a copy"));
        let nowhere = judge("skep:latest", None, None).unwrap_err();
        assert!(nowhere.contains("docker push"), "{nowhere}");
    }
}
