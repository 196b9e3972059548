//! Says on standard error when an answer is without a node: a client such as the docker
//! CLI does not show `Skep-Missing`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pingora::http::ResponseHeader;
use tokio::time::Instant;

use crate::cluster::ask::MISSING_HEADER;

/// How long the same nodes are not named again.
const AGAIN: Duration = Duration::from_secs(60);

/// The least time between two lines.
const PAUSE: Duration = Duration::from_secs(5);

/// The last line.
#[derive(Default)]
pub(super) struct MissingNodes(Mutex<Option<(Instant, String)>>);

impl MissingNodes {
    /// Writes a line if the answer is without a node, unless it is too soon for one.
    pub(super) fn notice(&self, path: &str, answer: &ResponseHeader) {
        let missing = answer.headers.get(MISSING_HEADER);
        if let Some(missing) = missing.and_then(|value| value.to_str().ok())
            && self.is_due(missing)
        {
            tracing::warn!("the answer to {path} is without {missing}");
        }
    }

    fn is_due(&self, missing: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match &*last {
            Some((when, before)) if before == missing => when.elapsed() >= AGAIN,
            Some((when, _)) => when.elapsed() >= PAUSE,
            None => true,
        };
        if is_due {
            *last = Some((Instant::now(), missing.to_owned()));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn missing_nodes_are_named_once_a_minute_and_others_after_a_pause() {
        let nodes = MissingNodes::default();
        assert!(nodes.is_due("n2"));
        assert!(!nodes.is_due("n2"));
        assert!(!nodes.is_due("n3"));
        advance(PAUSE).await;
        assert!(!nodes.is_due("n2"));
        assert!(nodes.is_due("n3"));
        advance(AGAIN - PAUSE).await;
        assert!(!nodes.is_due("n3"));
        advance(PAUSE).await;
        assert!(nodes.is_due("n3"));
    }
}
