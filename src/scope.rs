//! Keeps a caller within what it may see: lists are narrowed, objects are looked
//! at before they are used, and what is made gets the labels.
//!
//! Which of these an endpoint needs is `skep_filters::policy::scope`'s to say;
//! here the nodes are asked. It is done by the agent that the caller called,
//! for that one alone looks at the whole cluster.

use http::{Method, Uri};
use skep_filters::auth::BodyBinding;
use skep_filters::auth::digest::sha256;
use skep_filters::endpoint::{ApiVersion, Class, Match, ObjectIn, query};
use skep_filters::policy::scope::{Kind, Reach, Scope};

use crate::client::Budget;
use crate::cluster::route::Destination;
use crate::everyone::{Ask, Patience, Spoken, ask_node, at};
use crate::exchange::Exchange;
use crate::gateway::{Asked, Gateway, internal};
use crate::hop::Hop;
use crate::locate::{Found, Object, locate, named};
use crate::reject::Reject;
use crate::request;

/// Bounds one inspect.
const INSPECT: usize = 8 << 20;

/// Keeps the request within the scope; its body may be another one afterwards.
/// The target, if it has to be another one: with narrower filters, or with the
/// object's id in place of a name that may be another one's in a moment.
///
/// # Errors
/// [`Reject::OutOfScope`], or as the object cannot be found.
pub async fn keep(
    gateway: &Gateway,
    x: &mut Exchange,
    scope: &Scope,
    asked: &Asked<'_>,
    to: &Destination,
) -> Result<Option<Uri>, Reject> {
    let Some(found) = asked.found else {
        let why = "it is no endpoint that is known";
        return Err(Reject::OutOfScope(why.to_owned()));
    };
    let look = Look {
        gateway,
        scope,
        asked,
        found,
        to,
    };
    match Reach::of(found.endpoint.id) {
        Reach::Free => Ok(None),
        Reach::List => {
            let narrowed = scope.narrow(asked.query)?;
            target(asked.path.raw(), &narrowed).map(Some)
        }
        Reach::Object(kind) => {
            let id = look.at_the_object(x, kind).await?;
            id.map_or(Ok(None), |id| look.with_id(kind, &id))
        }
        Reach::Replace(kind) => {
            let id = look.at_the_object(x, kind).await?;
            look.stamp(x, kind).await?;
            id.map_or(Ok(None), |id| look.with_id(kind, &id))
        }
        Reach::Create(kind) => {
            look.stamp(x, kind).await?;
            Ok(None)
        }
        Reach::NetworkAndContainer => {
            let network = asked.path.segments().nth(1).unwrap_or_default();
            look.holds(x, Kind::Network, network).await?;
            look.at_what_it_names(x, Kind::Network).await?;
            Ok(None)
        }
        Reach::Closed => Err(Reject::OutOfScope(
            "it shows or changes what belongs to others".to_owned(),
        )),
    }
}

struct Look<'a> {
    gateway: &'a Gateway,
    scope: &'a Scope,
    asked: &'a Asked<'a>,
    found: &'a Match,
    to: &'a Destination,
}

impl Look<'_> {
    /// The id of the object that the request is about, which is in scope.
    async fn at_the_object(&self, x: &Exchange, kind: Kind) -> Result<Option<String>, Reject> {
        let held = x.held.as_deref();
        // Swarm's objects are not routed by, so the table does not name them.
        let name = named(self.found, self.asked.query, held)
            .or_else(|| self.asked.path.segments().nth(1).map(str::to_owned))
            .filter(|name| !name.is_empty());
        match name {
            Some(name) => self.holds(x, kind, &name).await,
            None => Err(Reject::OutOfScope("it names no object".to_owned())),
        }
    }

    /// Puts the labels into the body, if all that it names is in scope.
    async fn stamp(&self, x: &mut Exchange, kind: Kind) -> Result<(), Reject> {
        self.at_what_it_names(x, kind).await?;
        let body = x.held.clone().unwrap_or_default();
        let stamped = self.scope.stamp(kind, &body)?;
        x.body = BodyBinding::Digest(sha256(stamped.as_bytes()));
        x.held = Some(stamped.into());
        Ok(())
    }

    async fn at_what_it_names(&self, x: &Exchange, kind: Kind) -> Result<(), Reject> {
        let body = x.held.clone().unwrap_or_default();
        for reference in Scope::references(kind, &body)? {
            self.holds(x, reference.kind, &reference.name).await?;
        }
        Ok(())
    }

    /// Refuses an object that is out of scope in the words for one that does
    /// not exist. Its full id, for those that have one beside their name.
    async fn holds(&self, x: &Exchange, kind: Kind, name: &str) -> Result<Option<String>, Reject> {
        let nothing = || Reject::NoSuch(in_words(kind, name));
        let inspect = self.inspect(x, kind, name).await?;
        let inspect = inspect.ok_or_else(nothing)?;
        if kind == Kind::Exec {
            let container = Scope::container_of_exec(&inspect)?;
            let inspect = self.inspect(x, Kind::Container, &container).await?;
            let inspect = inspect.ok_or_else(nothing)?;
            return match self.scope.holds(Kind::Container, &inspect)? {
                true => Ok(None),
                false => Err(nothing()),
            };
        }
        match self.scope.holds(kind, &inspect)? {
            true => Ok(id_of(&inspect)),
            false => Err(nothing()),
        }
    }

    /// What there is by this name, where the request goes; `None` is nothing.
    async fn inspect(
        &self,
        x: &Exchange,
        kind: Kind,
        name: &str,
    ) -> Result<Option<bytes::Bytes>, Reject> {
        let gateway = self.gateway;
        let Some(hop) = self.hop(x, kind, name).await? else {
            return Ok(None);
        };
        let path = path(kind, name);
        let ask = Ask {
            head: &request::get("/").map_err(internal)?,
            spoken: Spoken::of(gateway, self.version()),
            patience: Patience::Deadline,
            path: &path,
            query: "",
            // The caller may be allowed to remove what it is not to inspect.
            caller: "",
        };
        let node = at(gateway, &hop);
        let answer = ask_node(gateway, &node, &ask, "", &Budget::one(INSPECT)).await;
        let me = gateway.cluster.me();
        let answer = answer.map_err(|e| hop.reject(me.name(), &gateway.engine, e))?;
        Ok(match answer.head.status.as_u16() {
            200 => Some(answer.body),
            _ => None,
        })
    }

    /// Where an object of this kind and name would be used.
    async fn hop(&self, x: &Exchange, kind: Kind, name: &str) -> Result<Option<Hop>, Reject> {
        let gateway = self.gateway;
        let class = match kind {
            Kind::Container => Class::Container,
            Kind::Exec => Class::Exec,
            Kind::Volume => Class::Volume,
            Kind::Network => Class::Network,
            Kind::Service | Kind::Task | Kind::Secret | Kind::Config => Class::Manager,
        };
        let managed = class == Class::Manager || matches!(self.to, Destination::Manager);
        match self.to {
            Destination::Node(member) => return Ok(Some(Hop::Agent(member.clone()))),
            Destination::Local if class != Class::Manager => return Ok(Some(Hop::Engine)),
            _ if !gateway.cluster.is_on() => return Ok(Some(Hop::Engine)),
            _ if managed && class != Class::Volume => {
                return match gateway.cluster.me().can_manage() {
                    true => Ok(Some(Hop::Engine)),
                    false => gateway.manager().map(Some),
                };
            }
            _ => {}
        }
        let object = Object {
            class,
            name,
            method: &Method::GET,
            query: "",
            version: self.version(),
            reachable: &x.reachable,
        };
        Ok(match locate(gateway, &object).await? {
            Found::At(hop) => Some(hop),
            Found::Nowhere => None,
            Found::Manager | Found::Everyone(_) => match gateway.cluster.me().can_manage() {
                true => Some(Hop::Engine),
                false => Some(gateway.manager()?),
            },
        })
    }

    /// The same target with the object's full id. An engine takes a name before the
    /// beginning of an id: whoever may rename its own container could otherwise make
    /// the name it was let through with mean another one's id.
    fn with_id(&self, kind: Kind, id: &str) -> Result<Option<Uri>, Reject> {
        let endpoint = self.found.endpoint;
        if matches!(kind, Kind::Exec | Kind::Volume) || endpoint.id.is_own() {
            return Ok(None);
        }
        if let Some(ObjectIn::Query(name)) = endpoint.object {
            let query = query::with(self.asked.query, name, id);
            return target(self.asked.path.raw(), &query).map(Some);
        }
        let pattern = endpoint.pattern;
        let (before, rest) = pattern.split_once('{').unwrap_or((pattern, ""));
        let (_, after) = rest.split_once('}').unwrap_or((rest, ""));
        // What follows a second placeholder is not the object's.
        let tail = match after.contains('{') {
            true => self
                .asked
                .path
                .segments()
                .skip(2)
                .fold(String::new(), |tail, s| tail + "/" + s),
            false => after.to_owned(),
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

/// The inspect of an object.
fn path(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Container => format!("/containers/{name}/json"),
        Kind::Exec => format!("/exec/{name}/json"),
        Kind::Volume => format!("/volumes/{name}"),
        Kind::Network => format!("/networks/{name}"),
        Kind::Service => format!("/services/{name}"),
        Kind::Task => format!("/tasks/{name}"),
        Kind::Secret => format!("/secrets/{name}"),
        Kind::Config => format!("/configs/{name}"),
    }
}

/// The engine's own words: clients look for them.
fn in_words(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Container => format!("No such container: {name}"),
        Kind::Exec => format!("No such exec instance: {name}"),
        Kind::Volume => format!("get {name}: no such volume"),
        Kind::Network => format!("network {name} not found"),
        Kind::Service => format!("service {name} not found"),
        Kind::Task => format!("task {name} not found"),
        Kind::Secret => format!("secret {name} not found"),
        Kind::Config => format!("config {name} not found"),
    }
}

fn id_of(inspect: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Row {
        #[serde(alias = "ID", alias = "Id")]
        id: String,
    }
    let row: Row = serde_json::from_slice(inspect).ok()?;
    let plain = row.id.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !row.id.is_empty()).then_some(row.id)
}

fn target(path: &str, query: &str) -> Result<Uri, Reject> {
    let target = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let internal = |e: http::uri::InvalidUri| Reject::Internal(e.to_string());
    target.parse().map_err(internal)
}
