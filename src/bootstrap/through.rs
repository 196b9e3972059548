//! Calls an agent through the docker context, as the docker CLI will.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::BootstrapError;
use super::api::{Api, ApiError, PAUSE};
use super::files::Files;
use super::look::Swarm;
use super::place::Place;
use crate::cluster::members::{Member, State};

/// The agent of the docker context.
pub(super) struct Agent {
    api: Api,
    shown: String,
    // An ssh connection would end with it.
    _place: Place,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Member>,
}

impl Agent {
    /// # Errors
    /// The context is not there, or cannot be used.
    pub(super) fn of(files: &Files) -> Result<Self, BootstrapError> {
        let place = Place::of_context(&files.store, &files.context)?;
        Ok(Self {
            api: Api::at(&place)?,
            shown: place.shown().to_owned(),
            _place: place,
        })
    }

    /// The nodes as the agent sees them.
    ///
    /// # Errors
    /// The agent does not answer.
    pub(super) async fn nodes(&self) -> Result<Vec<Member>, ApiError> {
        let path = "/skep/v1/nodes";
        let answer = self.api.ask(&Method::GET, path, None).await?;
        let value = self.api.read(&Method::GET, path, &answer)?;
        let nodes: Result<Nodes, _> = serde_json::from_value(value);
        nodes.map(|read| read.nodes).map_err(|_| ApiError::Form {
            at: self.shown.clone(),
            what: format!("GET {path}"),
        })
    }

    /// The number of containers of all nodes.
    ///
    /// # Errors
    /// The agent does not answer, or without a node.
    pub(super) async fn list(&self) -> Result<usize, BootstrapError> {
        let path = "/containers/json";
        let answer = self.api.ask(&Method::GET, path, None).await?;
        let rows = self.api.read(&Method::GET, path, &answer)?;
        if let Some(missing) = answer.missing {
            return Err(BootstrapError::Refused(format!(
                "the list of containers is without these nodes: {missing}"
            )));
        }
        Ok(rows.as_array().map_or(0, Vec::len))
    }

    /// Waits until this agent finds the agents of all nodes ready; then lists the
    /// containers of all of them, and returns their number.
    ///
    /// # Errors
    /// That does not happen in time.
    pub(super) async fn wait(
        &self,
        swarm: &Swarm,
        patience: Duration,
    ) -> Result<usize, BootstrapError> {
        let end = Instant::now() + patience;
        loop {
            let failed = match self.look(swarm).await {
                Ok(count) => return Ok(count),
                Err(e) => e,
            };
            if Instant::now() >= end {
                return Err(failed);
            }
            sleep(PAUSE).await;
        }
    }

    async fn look(&self, swarm: &Swarm) -> Result<usize, BootstrapError> {
        let waiting = self.not_ready(swarm).await?;
        if !waiting.is_empty() {
            return Err(BootstrapError::Refused(format!(
                "the agent at {} does not find these nodes ready: {}",
                self.shown,
                waiting.join(", ")
            )));
        }
        self.list().await
    }

    /// The nodes whose agents this one does not find ready, with their states.
    ///
    /// # Errors
    /// The agent does not answer.
    pub(super) async fn not_ready(&self, swarm: &Swarm) -> Result<Vec<String>, ApiError> {
        let nodes = self.nodes().await?;
        let ready: BTreeSet<_> = nodes
            .iter()
            .filter(|node| matches!(node.state, State::Ready))
            .map(|node| node.id.as_str())
            .collect();
        let waiting = swarm
            .expected()
            .filter(|node| !ready.contains(node.id.as_str()));
        Ok(waiting.map(|node| node.hostname.clone()).collect())
    }
}
