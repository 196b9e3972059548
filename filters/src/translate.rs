//! Translates a call into another version of the API, where the same words would mean
//! something else, and its answer back.
//!
//! An engine is asked in the nearest version that it serves. Most of a call is the same
//! in all versions; the points below are not. Sources: moby's version history of the API
//! (`api/docs/CHANGELOG.md`) and the routers of its engine (`daemon/server/router`).

mod answer;
mod body;
mod event;
mod query;

use crate::endpoint::ApiVersion;

/// The version of a request, and the one in which its engine is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The version of the request.
    pub asked: ApiVersion,
    /// The version that the engine gets.
    pub sent: ApiVersion,
}

/// A request that would do something else in the version that the engine serves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine of this node serves the API up to {engine}: there, {reason}")]
pub struct Untranslatable {
    engine: ApiVersion,
    reason: &'static str,
}

impl Translation {
    /// Whether the engine is asked in a version before a change that the client knows.
    fn is_before(self, change: ApiVersion) -> bool {
        self.sent < change && change <= self.asked
    }

    /// Whether the engine is asked in a version after a change that the client does not
    /// know.
    fn is_after(self, change: ApiVersion) -> bool {
        self.asked < change && change <= self.sent
    }

    fn refused(self, reason: &'static str) -> Untranslatable {
        Untranslatable {
            engine: self.sent,
            reason,
        }
    }
}
