//! Reads the list of nodes again whenever this manager's engine reports a change, in
//! clusters in which rounds read it rarely.

use std::convert::Infallible;
use std::time::Duration;

use pingora::protocols::http::v1::client::HttpSession;
use tokio::time::{sleep, timeout};

use super::Cluster;
use crate::upstream::error;
use crate::upstream::request;

/// The events of nodes: `{"scope":["swarm"],"type":["node"]}`.
const EVENTS: &str =
    "/events?filters=%7B%22scope%22%3A%5B%22swarm%22%5D%2C%22type%22%3A%5B%22node%22%5D%7D";

/// The least time between two readings: changes come in groups.
const PAUSE: Duration = Duration::from_secs(2);

/// The pause before the engine is asked again, after it has ended a stream, and before
/// it is looked whether this agent has to listen.
const AGAIN: Duration = Duration::from_secs(5);

impl Cluster {
    /// Listens for ever, while this is a manager in a large cluster.
    pub(super) async fn hear_nodes(&self) -> Infallible {
        loop {
            if self.is_on()
                && self.me().can_manage()
                && !self.is_small()
                && let Err(e) = self.hear().await
            {
                tracing::debug!("no events of nodes: {}", error::explain(&e));
            }
            sleep(AGAIN).await;
        }
    }

    async fn hear(&self) -> pingora::Result<()> {
        let peer = self.engine.peer().await?;
        let mut session = self.client.dedicated(&peer).await?;
        session
            .write_request_header(Box::new(request::get(EVENTS)?))
            .await?;
        timeout(self.deadline, session.read_response())
            .await
            .map_err(|_| pingora::Error::new(pingora::ErrorType::ReadTimedout))??;
        while self.me().can_manage() && event(&mut session).await? {
            self.list_nodes().await;
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Waits for an event; false at the end of the stream.
async fn event(session: &mut HttpSession) -> pingora::Result<bool> {
    Ok(session.read_body_bytes().await?.is_some())
}
