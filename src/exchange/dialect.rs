//! Defines the dialect of a caller: the points in which the answers that it expects
//! differ from Docker's. The gateway chooses it once, after authentication; the
//! steps ask it and know no client by name.

use crate::exchange::reject::{Reject, Words};

/// The answers that a kind of client expects. The defaults are Docker's.
pub(crate) trait Dialect: Sync {
    /// The answer for a refusal. `inspected` is the container of a request that only
    /// inspects one.
    fn words(&self, reject: &Reject, _inspected: Option<&str>) -> Words {
        Words::of(reject)
    }

    /// Whether a version that an engine does not serve is translated, also where the
    /// configuration says that engines refuse it.
    fn translates_versions(&self) -> bool {
        false
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
