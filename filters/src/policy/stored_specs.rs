//! The specifications that an update of a service can bring back although they
//! are not in its body: managers keep them with the service.

use super::request::BodyOf;
use crate::endpoint::query;
use crate::json::{Fields, ShapeError};

/// The specifications of the service that have to be judged like the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredSpecs {
    /// The current one, to which managers return by themselves if the update fails
    /// (swarmkit `rollbackUpdate`).
    pub current: bool,
    /// The previous one, which the query asks for.
    pub previous: bool,
}

impl StoredSpecs {
    /// Those that an update with this query and body can bring back.
    pub(super) fn of(query: &str, body: &BodyOf<'_>) -> Self {
        let mut values = query::all(query, "rollback");
        // Engines read the first value, and then use nothing of the body.
        let first = values.next();
        let uses_body = first.as_deref() != Some("previous");
        let mut values = first.into_iter().chain(values);
        Self {
            previous: values.any(|to| !matches!(&*to, "" | "none")),
            current: uses_body && returns_on_failure(body),
        }
    }

    /// Whether there is any.
    pub fn any(self) -> bool {
        self.current || self.previous
    }
}

/// Whether the specification asks for its predecessor if it fails. What cannot be
/// read might. A failed rollback pauses, whatever `RollbackConfig` says.
fn returns_on_failure(body: &BodyOf<'_>) -> bool {
    let Ok(json) = body.read() else {
        return true;
    };
    let action = || -> Result<bool, ShapeError> {
        let config = Fields::of(json, "body")?.object("UpdateConfig")?;
        Ok(!matches!(
            config.text("FailureAction")?,
            "" | "pause" | "continue"
        ))
    };
    action().unwrap_or(true)
}
