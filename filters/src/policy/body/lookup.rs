//! Judges look-ups in registries: the engine connects to a host that the caller names.

use super::{Check, image as reference};
use crate::json::{Fields, Json, quoted};
use crate::policy::verdict::Judged;

/// The registry that engines ask if a name has none.
const HUB: &str = "docker.io";

/// Names of Docker Hub, in addresses of registries and in searches.
const HUB_HOSTS: [&str; 4] = [
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
];

const KNOWN: [&str; 7] = [
    "username",
    "password",
    "auth",
    "email",
    "serveraddress",
    "identitytoken",
    "registrytoken",
];

/// A look-up of an image, by the demands on images; without demands, at Docker
/// Hub only.
pub(super) fn image(check: &Check<'_>, name: &str) -> Judged {
    if name.is_empty() {
        return Ok(());
    }
    if !check.must.images.is_empty() {
        return reference::named(check, "the image", name);
    }
    asks(check, reference::domain(name))
}

/// A search for `term`, which may begin with the name of a registry.
pub(super) fn search(check: &Check<'_>, term: &str) -> Judged {
    asks(check, reference::domain(term))
}

/// `POST /auth`.
pub(super) fn auth(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let credentials = Fields::of(body, "body")?;
    check.knows(&credentials, &KNOWN)?;
    let address = credentials.text("serveraddress")?;
    if address.is_empty() {
        return asks(check, HUB);
    }
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = host.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    asks(check, host)
}

/// Denies a registry that is neither Docker Hub nor that of an allowed image.
/// With demands on images, Docker Hub has to be that of one too.
fn asks(check: &Check<'_>, registry: &str) -> Judged {
    let is_hub = HUB_HOSTS.contains(&registry);
    let mut patterns = check.must.images.iter();
    let allowed = if check.must.images.is_empty() {
        is_hub
    } else {
        patterns.any(|pattern| {
            let own = reference::domain(pattern);
            pattern.starts_with("**") || own == registry || is_hub && own == HUB
        })
    };
    check.grant(allowed || check.may.remote, "may.remote", || {
        format!("the engine would ask the registry {}", quoted(registry))
    })
}
