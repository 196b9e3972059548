//! Finds the container whose port is asked for, and whether it can be reached.

use std::net::IpAddr;

use http::Method;
use serde::Deserialize;
use skep_filters::policy::scope::Kind;

use super::engine::Engine;
use super::problem::Problem;
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::exchange::reject::{Reason, Reject};
use crate::upstream::request;

/// The mode of a container that has the network of another one.
const OTHERS: &str = "container:";

/// A running container with a network of its own, or of another container.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) id: String,
    /// For messages.
    pub(super) name: String,
    /// The id of the container whose network it has, mostly its own.
    pub(super) network: String,
    /// Changes when the container starts anew, with another network.
    pub(super) started: String,
    /// Its addresses on its networks.
    pub(super) addresses: Vec<IpAddr>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspect {
    id: String,
    name: String,
    platform: String,
    state: State,
    host_config: HostConfig,
    network_settings: NetworkSettings,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    paused: bool,
    restarting: bool,
    started_at: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    networks: Option<std::collections::BTreeMap<String, Option<Attachment>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attachment {
    #[serde(rename = "IPAddress")]
    v4: String,
    #[serde(rename = "GlobalIPv6Address")]
    v6: String,
}

impl Target {
    /// The container of this name on this node, if its ports can be reached.
    ///
    /// # Errors
    /// [`Reject::NoSuch`] for a container that does not exist or that has the network of
    /// an agent, [`Problem`] for one that cannot be reached.
    pub(super) async fn find(
        context: &Context,
        engine: &Engine,
        name: &str,
    ) -> Result<Self, Reject> {
        let search = Search { context, engine };
        let found = search.inspect(name).await?;
        let found = found.map_err(Reject::NoSuch)?;
        search.refuse_own(name, &found.id)?;
        let shown = found.name.trim_start_matches('/').to_owned();
        if found.platform == "windows" {
            return Err(Problem::Windows(shown).into());
        }
        if found.state.paused {
            return Err(Problem::Paused(shown).into());
        }
        if !found.state.running || found.state.restarting {
            return Err(Problem::NotRunning(shown).into());
        }
        let other = search.other(name, &shown, &found).await?;
        search
            .refuse_network_of_agent(name, &found, other.as_ref())
            .await?;
        let network = other.as_ref().unwrap_or(&found);
        match network.host_config.network_mode.as_str() {
            "host" => {
                let node = context.cluster.me().name().to_owned();
                return Err(Problem::HostNetwork { name: shown, node }.into());
            }
            "none" => return Err(Problem::NoNetwork(shown).into()),
            _ => {}
        }
        Ok(Self {
            started: format!("{} {}", found.state.started_at, network.state.started_at),
            addresses: network.addresses(),
            network: network.id.clone(),
            id: found.id,
            name: shown,
        })
    }
}

struct Search<'a> {
    context: &'a Context,
    engine: &'a Engine,
}

impl Search<'_> {
    /// The container, or the engine's words for one that it has not.
    async fn inspect(&self, name: &str) -> Result<Result<Inspect, String>, Reject> {
        let path = request::escape(&format!("/containers/{name}/json"));
        let lost = |reason| self.context.unreachable(&Hop::Engine, reason);
        let answer = self
            .engine
            .ask(Method::GET, &path, None)
            .await
            .map_err(lost)?;
        match answer.status.as_u16() {
            200 => {
                let found = serde_json::from_slice(&answer.body);
                let found = found.map_err(|e| lost(format!("GET {path}: {e}")))?;
                Ok(Ok(found))
            }
            404 => Ok(Err(answer.message())),
            _ => Err(lost(answer.message())),
        }
    }

    /// The container whose network this one has, if it has not its own. Engines share
    /// networks of running containers only, and not one that is shared already: the
    /// second name leads to the first one's container.
    async fn other(
        &self,
        name: &str,
        shown: &str,
        found: &Inspect,
    ) -> Result<Option<Inspect>, Reject> {
        let mut mode = found.host_config.network_mode.clone();
        let mut last = None;
        // As many as anybody has; a circle ends too.
        for _ in 0..4 {
            let Some(other) = mode.strip_prefix(OTHERS) else {
                return Ok(last);
            };
            let lost = |_| Reject::from(Problem::LostNetwork(shown.to_owned()));
            let other: Inspect = self.inspect(other).await?.map_err(lost)?;
            self.refuse_own(name, &other.id)?;
            if !other.state.running {
                return Err(Problem::LostNetwork(shown.to_owned()).into());
            }
            mode.clone_from(&other.host_config.network_mode);
            last = Some(other);
        }
        Err(Problem::LostNetwork(shown.to_owned()).into())
    }

    /// The containers of agents are out of reach for everybody, an admin included.
    fn refuse_own(&self, name: &str, id: &str) -> Result<(), Reject> {
        let Some(guarded) = self.context.cluster.guarded() else {
            return Err(Reject::refused(
                http::StatusCode::SERVICE_UNAVAILABLE,
                Reason::Engine,
                "the agent does not know its own objects yet, and so connects to no container: try \
                 again, or read the agent's log",
            ));
        };
        match guarded.has_id(Kind::Container, id) {
            true => Err(no_such(name)),
            false => Ok(()),
        }
    }

    /// An agent may have the network of another container. Its ports are the agent's.
    async fn refuse_network_of_agent(
        &self,
        name: &str,
        found: &Inspect,
        other: Option<&Inspect>,
    ) -> Result<(), Reject> {
        let lost = |reason| self.context.unreachable(&Hop::Engine, reason);
        let own = self.context.cluster.own_container().await.map_err(lost)?;
        let Some(of) = own
            .as_ref()
            .and_then(|own| own.network_mode.strip_prefix(OTHERS))
        else {
            return Ok(());
        };
        let ours = self.inspect(of).await?.map_err(Reject::NoSuch)?;
        let is_ours = |container: &Inspect| container.id == ours.id;
        match is_ours(found) || other.is_some_and(is_ours) {
            true => Err(no_such(name)),
            false => Ok(()),
        }
    }
}

fn no_such(name: &str) -> Reject {
    Reject::NoSuch(format!("No such container: {name}"))
}

impl Inspect {
    fn addresses(&self) -> Vec<IpAddr> {
        let networks = self.network_settings.networks.iter().flatten();
        let attached = networks.filter_map(|(_, attachment)| attachment.as_ref());
        let texts = attached.flat_map(|attachment| [&attachment.v4, &attachment.v6]);
        texts.filter_map(|text| text.parse().ok()).collect()
    }
}

/// Whether the answer to an inspect is still of this container, which has not started
/// anew.
pub(super) fn is_same(inspect: &[u8], target: &Target) -> bool {
    let now = serde_json::from_slice::<Inspect>(inspect);
    now.is_ok_and(|now| {
        let has_all = target.network != target.id || now.addresses() == target.addresses;
        now.state.running && target.started.starts_with(&now.state.started_at) && has_all
    })
}
