//! Finds the Docker endpoint of a request.
//!
//! One table ([`all`]) lists every endpoint of the Engine API and the agent's
//! own; [`classify`] finds a request's row in it. The row's columns say all that
//! depends on the endpoint: router, policies, audit log and documentation read
//! them, and nothing else matches on Docker's paths or on row names. Whether the
//! caller may make the request is for the policy.

mod check;
mod classify;
pub mod describe;
pub mod filters;
mod form;
mod mapping;
pub mod media;
mod object_columns;
mod own;
mod parameters;
mod path;
mod pattern;
mod percent;
pub mod port;
pub mod query;
mod reach;
mod route;
mod table;
mod version;

use std::fmt;

pub use check::{BodyCheck, HeadCheck};
pub use classify::{Match, classify};
pub use form::{Body, Method, Wire};
pub use mapping::Mapping;
pub use object_columns::{LabelsAt, NameFreed, TaskUse};
pub use own::{Browse, Console, Own, People, PortainerEndpoint};
pub use parameters::{ParameterError, Parameters};
pub use path::{BadPath, RequestPath};
pub use reach::{Kind, Reach};
pub use route::{
    AllNodes, Announcement, Broadcast, Merge, ObjectIn, ObjectKind, Route, SwarmObject,
};
pub use table::{EndpointId, all};
pub use version::ApiVersion;

/// One row of the endpoint table.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name in code, the audit log and metrics.
    pub id: EndpointId,
    /// Its section of the documentation.
    pub section: &'static str,
    /// The method the engine registers the route for.
    pub method: Method,
    /// The path without version, in moby's own notation: `{id}` is one
    /// segment, `{name:.*}` may contain slashes, `{id:.+}` too but is never
    /// empty; ours are `{/}`, an optional trailing slash, and `{/v1|/v2}`, an
    /// optional prefix.
    pub pattern: &'static str,
    /// The first API version that has it; [`ApiVersion::FLOOR`] if it is older
    /// than that. Some engines gate the endpoint by this version (a request
    /// below it gets 400), others serve it unversioned.
    pub since: ApiVersion,
    /// The form of the request body.
    pub body: Body,
    /// The form of a successful response.
    pub wire: Wire,
    /// The policy group it belongs to, such as `containers.read`.
    pub group: &'static str,
    /// Which node answers.
    pub route: Route,
    /// Where the request names the object that `route` depends on, if it does.
    pub object: Option<ObjectIn>,
    /// The parameters of its query.
    pub parameters: Parameters,
    /// How to enforce a scope on a request.
    pub scope: Reach,
    /// The agent's handler that answers it; `None` if the engine does.
    pub own: Option<Own>,
    /// How to do it on every node, if `Skep-Target: *` asks for that. See
    /// [`Self::all_nodes`] for the part that follows from the route.
    pub broadcast: Option<Broadcast>,
    /// The policy's check of the path and the query.
    pub head: HeadCheck,
    /// The policy group instead of `group` if the request imports an image, as
    /// its query shows.
    pub import_group: Option<&'static str>,
    /// The answer has the id of a new object: remember which node it is on.
    pub remember: bool,
    /// Anyone may ask, without authentication; then it is routine.
    pub open: bool,
    /// Clients ask it all the time and it changes nothing: keep it out of the
    /// audit log, and out of the log unless that is verbose.
    pub routine: bool,
    /// An agent asks it of another agent for itself, not for a client. Every other
    /// request that an agent sends for itself is refused.
    pub internal: bool,
    /// What it does with a container, if it may name a task instead.
    pub task: Option<TaskUse>,
    /// How it frees the name of a container.
    pub frees: Option<NameFreed>,
    /// Where its answer has the labels of one object.
    pub labels: Option<LabelsAt>,
    /// What changed its meaning between versions of the API.
    pub mapping: Option<Mapping>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}
