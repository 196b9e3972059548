//! Which Docker endpoint is this request for?
//!
//! One table ([`all`]) lists every endpoint of the Engine API and the agent's
//! own; [`classify`] finds a request's row in it. Router, policy groups,
//! documentation and tests read the same table: nothing else matches on
//! Docker paths. Whether the caller *may* do it is not decided here.

mod class;
mod classify;
pub mod describe;
pub mod filters;
mod form;
mod path;
mod pattern;
mod percent;
pub mod query;
mod table;
mod version;

use std::fmt;

pub use class::{Class, ObjectIn};
pub use classify::{Match, classify};
pub use form::{Body, Method, Wire};
pub use path::{BadPath, RequestPath};
pub use table::{EndpointId, all};
pub use version::ApiVersion;

/// One row of the endpoint table.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name in code, metrics and documentation.
    pub id: EndpointId,
    /// The method the engine registers the route for.
    pub method: Method,
    /// The path without version, in moby's own notation: `{id}` is one
    /// segment, `{name:.*}` may contain slashes, `{id:.+}` too but is never
    /// empty; ours are `{/}`, an optional trailing slash, and `{/v1|/v2}`, an
    /// optional prefix.
    pub pattern: &'static str,
    /// How a cluster answers it.
    pub class: Class,
    /// Where the one object that `class` routes by is named, if there is one.
    pub object: Option<ObjectIn>,
    /// The policy group it belongs to, such as `containers.read`.
    pub group: &'static str,
    /// The form of the request body.
    pub body: Body,
    /// The form of a successful response.
    pub wire: Wire,
    /// The first API version that has it; [`ApiVersion::FLOOR`] if it is older
    /// than that. Some engines gate the endpoint by this version (a request
    /// below it gets 400), others serve it unversioned.
    pub since: ApiVersion,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}
