//! Inspects the objects of one request, all of them on the node to which it goes.

use http::{HeaderValue, Method, Uri};
use serde::Deserialize;
use skep_filters::auth::BodyBinding;
use skep_filters::auth::digest::sha256;
use skep_filters::endpoint::{ApiVersion, Match, ObjectIn, ObjectKind, query};
use skep_filters::policy::BodyOf;
use skep_filters::policy::scope::{Kind, Scope};

use super::{inspect, label, out_of_scope, pin_a_manager, target};
use crate::cluster::hop::Hop;
use crate::exchange::Call;
use crate::exchange::context::Context;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;
use crate::route::Destination;
use crate::route::locate::{Found, Object, locate, named};
use crate::route::place::place;
use crate::upstream::request;

/// The request whose objects are inspected, and their node.
pub(in crate::authorise) struct Inspection<'a> {
    context: &'a Context,
    asked: &'a Call<'a>,
    found: &'a Match,
    to: &'a Destination,
    request_id: HeaderValue,
    /// The node on which every object is inspected: the request goes there.
    pub(in crate::authorise) at: Hop,
    /// The same, once the request may go to no other.
    pub(in crate::authorise) pinned: Option<Hop>,
}

impl<'a> Inspection<'a> {
    /// Of the objects of a request that is not bound to a node, or to this one.
    pub(in crate::authorise) fn of(
        context: &'a Context,
        x: &Judged<'_>,
        asked: &'a Call<'a>,
        found: &'a Match,
        to: &'a Destination,
        pinned: Option<Hop>,
    ) -> Self {
        Self {
            context,
            asked,
            found,
            to,
            request_id: x.id().as_header().clone(),
            at: Hop::Engine,
            pinned,
        }
    }

    /// The target with the id of the request's object, which has to be in scope.
    pub(in crate::authorise) async fn at_the_object(
        &mut self,
        x: &mut Judged<'_>,
        scope: &Scope,
        kind: Kind,
    ) -> Result<Option<Uri>, Reject> {
        let name = named(self.found, self.asked.query, x.body.held.as_deref());
        let name = name.ok_or_else(|| out_of_scope("it names no object"))?;
        self.resolve_node(x, kind, Some(&name)).await?;
        match self.holds(scope, kind, &name).await? {
            Some(id) => self.with_id(kind, &id),
            None => Ok(None),
        }
    }

    /// The target with the network's full id; the body gets the container's.
    pub(in crate::authorise) async fn at_network_and_container(
        &mut self,
        x: &mut Judged<'_>,
        scope: &Scope,
        body: &BodyOf<'_>,
    ) -> Result<Uri, Reject> {
        let name = named(self.found, self.asked.query, x.body.held.as_deref());
        let name = name.ok_or_else(|| out_of_scope("it names no container"))?;
        let path = self.asked.path.path();
        let (network, verb) = path.rsplit_once('/').unwrap_or((path, ""));
        let network = network.strip_prefix("/networks/").unwrap_or_default();
        self.resolve_node(x, Kind::Container, Some(&name)).await?;
        let ids = (
            self.holds(scope, Kind::Container, &name).await?,
            self.holds(scope, Kind::Network, network).await?,
        );
        let (Some(container), Some(network)) = ids else {
            return Err(out_of_scope("the container or the network has no id"));
        };
        let body = Scope::with_container(body, &container)?;
        x.body.binding = BodyBinding::Digest(sha256(body.as_bytes()));
        x.body.held = Some(body.into());
        let version = self.version();
        let version = version.map(|v| format!("/v{v}")).unwrap_or_default();
        let path = format!("{version}/networks/{network}/{verb}");
        target(&path, self.asked.query)
    }

    /// Refuses to create a volume whose name is taken out of scope: the engine would
    /// answer with the existing one.
    pub(in crate::authorise) async fn check_name_is_free(
        &self,
        scope: &Scope,
        body: &BodyOf<'_>,
    ) -> Result<(), Reject> {
        let Some(name) = Scope::volume_name(body)? else {
            return Ok(());
        };
        match self.inspect(Kind::Volume, &name).await? {
            Some(there) if !scope.holds(Kind::Volume, &there)? => Err(out_of_scope(
                "a volume of this name exists outside your scope",
            )),
            _ => Ok(()),
        }
    }

    /// Adds the labels to the body, if every object it names is in scope.
    pub(in crate::authorise) async fn stamp(
        &self,
        x: &mut Judged<'_>,
        scope: &Scope,
        kind: Kind,
        body: &BodyOf<'_>,
    ) -> Result<(), Reject> {
        self.holds_references(scope, kind, body).await?;
        let stamped = scope.stamp(kind, body)?;
        x.body.binding = BodyBinding::Digest(sha256(stamped.as_bytes()));
        x.body.held = Some(stamped.into());
        Ok(())
    }

    /// Refuses a body that names an object out of scope.
    pub(in crate::authorise) async fn holds_references(
        &self,
        scope: &Scope,
        kind: Kind,
        body: &BodyOf<'_>,
    ) -> Result<(), Reject> {
        for reference in Scope::references(kind, body)? {
            if kind == Kind::Service && reference.kind == Kind::Volume {
                return Err(out_of_scope(
                    "services may not use named volumes: names are per node",
                ));
            }
            self.holds(scope, reference.kind, &reference.name).await?;
        }
        Ok(())
    }

    /// Refuses an object out of scope in the words for one that does not exist.
    /// Returns its full id, if its kind has ids.
    async fn holds(&self, scope: &Scope, kind: Kind, name: &str) -> Result<Option<String>, Reject> {
        let nothing = || Reject::NoSuch(label(kind, name));
        let inspect = self.inspect(kind, name).await?.ok_or_else(nothing)?;
        if kind == Kind::Exec {
            let container = Scope::container_of_exec(&inspect)?;
            let inspect = self.inspect(Kind::Container, &container).await?;
            let inspect = inspect.ok_or_else(nothing)?;
            return if scope.holds(Kind::Container, &inspect)? {
                Ok(None)
            } else {
                Err(nothing())
            };
        }
        if scope.holds(kind, &inspect)? {
            Ok(id_of(&inspect))
        } else {
            Err(nothing())
        }
    }

    /// The object by this name on the node to which the request goes; `None` if there
    /// is none. A network of the Swarm may not have reached that node yet.
    pub(in crate::authorise) async fn inspect(
        &self,
        kind: Kind,
        name: &str,
    ) -> Result<Option<bytes::Bytes>, Reject> {
        let context = self.context;
        let here = inspect(context, &self.at, self.asked, kind, name, &self.request_id).await?;
        if here.is_some() || kind != Kind::Network || !context.cluster.is_on() {
            return Ok(here);
        }
        let manager = if context.cluster.me().can_manage() {
            Hop::Engine
        } else {
            context.manager()?
        };
        let there = inspect(context, &manager, self.asked, kind, name, &self.request_id).await?;
        Ok(there.filter(|network| is_of_the_swarm(network)))
    }

    /// Decides the node to which the request goes: every object is inspected there.
    pub(in crate::authorise) async fn resolve_node(
        &mut self,
        x: &Judged<'_>,
        kind: Kind,
        name: Option<&str>,
    ) -> Result<(), Reject> {
        let context = self.context;
        self.at = match self.to {
            Destination::Node(member) => Hop::Agent(member.clone()),
            Destination::Manager => pin_a_manager(context, &mut self.pinned)?,
            Destination::Placed(kind) => place(context, x, *kind, self.asked).await?,
            Destination::Owner(_) => match name {
                Some(name) => self.owner(x, kind, name).await?,
                None => Hop::Engine,
            },
            _ => Hop::Engine,
        };
        if !matches!(self.to, Destination::Node(_) | Destination::Local) {
            self.pinned = Some(self.at.clone());
        }
        Ok(())
    }

    async fn owner(&mut self, x: &Judged<'_>, kind: Kind, name: &str) -> Result<Hop, Reject> {
        let class = match kind {
            Kind::Container => ObjectKind::Container,
            Kind::Exec => ObjectKind::Exec,
            Kind::Volume => ObjectKind::Volume,
            Kind::Network => ObjectKind::Network,
            Kind::Service | Kind::Task | Kind::Secret | Kind::Config => {
                return pin_a_manager(self.context, &mut self.pinned);
            }
        };
        let object = Object {
            class,
            name,
            method: &Method::GET,
            query: "",
            version: self.version(),
            reachable: x.reachable(),
            request_id: x.id().as_header(),
        };
        match locate(self.context, &object).await? {
            Found::At(hop) => Ok(hop),
            Found::Nowhere => Err(Reject::NoSuch(label(kind, name))),
            Found::Manager | Found::Everyone(_) => pin_a_manager(self.context, &mut self.pinned),
        }
    }

    /// The same target with the object's full id. An engine prefers a name to the
    /// beginning of an id, so a caller could rename its own container in between, and
    /// the name that was judged would mean another container.
    pub(in crate::authorise) fn with_id(
        &self,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Uri>, Reject> {
        let endpoint = self.found.endpoint;
        let keeps_its_name = endpoint.is_own() && endpoint.object != Some(ObjectIn::Path);
        if matches!(kind, Kind::Exec | Kind::Volume) || keeps_its_name {
            return Ok(None);
        }
        if let Some(ObjectIn::Query(name) | ObjectIn::EachQuery(name)) = endpoint.object {
            let query = query::with(self.asked.query, name, id);
            return target(self.asked.path.raw(), &query).map(Some);
        }
        let pattern = endpoint.pattern;
        let (before, rest) = pattern.split_once('{').unwrap_or((pattern, ""));
        let (_, after) = rest.split_once('}').unwrap_or((rest, ""));
        // The rest after a second placeholder is not the object's.
        let tail = if after.contains('{') {
            let rest = self.asked.path.segments().skip(2);
            rest.fold(String::new(), |tail, segment| tail + "/" + segment)
        } else {
            after.to_owned()
        };
        let path = request::escape(&format!("{before}{id}{tail}"));
        let path = match self.asked.path.version() {
            Some(version) => format!("/v{version}{path}"),
            None => path,
        };
        target(&path, self.asked.query).map(Some)
    }

    fn version(&self) -> Option<ApiVersion> {
        self.asked.path.version()
    }
}

fn is_of_the_swarm(network: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Network {
        #[serde(rename = "Scope")]
        scope: String,
    }
    let network = serde_json::from_slice::<Network>(network);
    network.is_ok_and(|network| network.scope == "swarm")
}

pub(in crate::authorise) fn id_of(inspect: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(alias = "ID", alias = "Id")]
        id: String,
    }
    let row: Row = serde_json::from_slice(inspect).ok()?;
    let plain = row.id.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !row.id.is_empty()).then_some(row.id)
}
