//! The dialect of a caller: where the answers that it expects differ from
//! Docker's. It is chosen once, after authentication; the steps ask it and know
//! no client by name.

use http::Uri;
use skep_filters::endpoint::RequestPath;

use crate::cluster::identity::EngineFacts;
use crate::exchange::reject::{Reject, Words};

/// The answers that a kind of client expects. The defaults are Docker's.
pub(crate) trait Dialect: Sync {
    /// A refusal as the client reads it. `inspected` is the container of a request
    /// that only inspects one.
    fn words(&self, reject: &Reject, _inspected: Option<&str>) -> Words {
        Words::of(reject)
    }

    /// The target to use in place of this one, if the engine does not serve the API
    /// version that it names; `None` leaves it as it is.
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

    /// Whether a request to the local engine has to be answered even while the
    /// engine hangs.
    fn needs_an_answer(&self) -> bool {
        false
    }
}

/// Docker's own clients.
pub(crate) struct Docker;

impl Dialect for Docker {}

/// The target in the nearest API version that the engine serves; `None` if it
/// serves the one of the target, or the target names none.
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
