//! Defines the dialect of a caller: the points in which the answers that it expects
//! differ from Docker's. The gateway chooses it once, after authentication; the
//! steps ask it and know no client by name.

use http::Uri;
use skep_filters::endpoint::RequestPath;

use crate::cluster::identity::EngineFacts;
use crate::exchange::reject::{Reject, Words};

/// The answers that a kind of client expects. The defaults are Docker's.
pub(crate) trait Dialect: Sync {
    /// The answer for a refusal. `inspected` is the container of a request that only
    /// inspects one.
    fn words(&self, reject: &Reject, _inspected: Option<&str>) -> Words {
        Words::of(reject)
    }

    /// The target that replaces this one, if the engine does not serve its API
    /// version; `None` keeps it.
    fn served(&self, _target: &Uri, _engine: Option<&EngineFacts>) -> Option<Uri> {
        None
    }

    /// Whether the image list has a row for each node that has an image.
    fn lists_images_by_node(&self) -> bool {
        false
    }

    /// Whether a console may send binary frames.
    fn takes_binary_frames(&self) -> bool {
        true
    }

    /// Whether a request to the local engine is refused while the engine hangs,
    /// instead of waiting.
    fn needs_an_answer(&self) -> bool {
        false
    }
}

/// Docker's own clients.
pub(crate) struct Docker;

impl Dialect for Docker {}

/// The target in the nearest API version that the engine serves; `None` if the
/// engine serves the target's version, or the target names none.
pub(crate) fn in_version(target: &Uri, engine: &EngineFacts) -> Option<Uri> {
    let version = RequestPath::parse(target.path()).ok()?.version()?;
    let nearest = engine.nearest(version)?;
    if nearest == version {
        return None;
    }
    let text = target.path_and_query()?.as_str();
    let rest = text.strip_prefix(&format!("/v{version}"))?;
    format!("/v{nearest}{rest}").parse().ok()
}
