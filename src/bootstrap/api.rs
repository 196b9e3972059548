//! Calls the API of a manager's engine, or of an agent, and reads its answers.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};
use skep_filters::endpoint::ApiVersion;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::place::{Place, PlaceError};
use super::registry::RegistryAuth;
use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::error;
use crate::upstream::request;

/// The time between two looks at something that changes.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// How long an answer may take: a manager may look for an image in a registry.
const DEADLINE: Duration = Duration::from_secs(30);

/// Docker's header for the credentials of a registry.
const X_REGISTRY_AUTH: &str = "x-registry-auth";

/// The largest answer.
const LIMIT: usize = 64 << 20;

/// The newest version of the API that this program was written for.
const NEWEST: ApiVersion = ApiVersion::new(1, 51);

/// The oldest one: its engines (20.10) are the first that drop capabilities of services.
const OLDEST: ApiVersion = ApiVersion::new(1, 41);

/// Why a call has no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum ApiError {
    #[error("{at} does not answer: {reason}")]
    Unreachable { at: String, reason: String },
    #[error("{at} refuses {what} ({status}): {message}")]
    Refused {
        at: String,
        what: String,
        status: u16,
        message: String,
    },
    #[error("{at} is not a Docker engine: the answer to {what} cannot be read")]
    Form { at: String, what: String },
    #[error(
        "{0} is an agent of skep, not an engine: name the manager's own engine with --context or \
         --host, since the agents come and go during this"
    )]
    Agent(String),
    #[error(
        "the engine at {at} speaks API {version}, and skep needs {OLDEST} (Docker 20.10) or newer"
    )]
    TooOld { at: String, version: String },
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// One engine or agent.
pub(super) struct Api {
    engine: Engine,
    client: Client,
    /// The beginning of all paths.
    prefix: String,
    /// The address, for messages.
    at: String,
    /// For the registry of the agents' image.
    registry: Option<RegistryAuth>,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    /// The nodes that a list of an agent is without.
    pub(super) missing: Option<String>,
    version: Option<String>,
    is_agents: bool,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

impl Api {
    /// The engine of a manager, in the newest version of its API that this program
    /// knows.
    ///
    /// # Errors
    /// Nothing answers there, or not an engine.
    pub(super) async fn of_manager(place: &Place) -> Result<Self, ApiError> {
        let mut api = Self::at(place)?;
        let answer = api.ask(&Method::GET, "/_ping", None).await?;
        let at = api.at.clone();
        if answer.is_agents {
            return Err(ApiError::Agent(at));
        }
        let what = "GET /_ping".to_owned();
        let Some(version) = answer.version else {
            return Err(ApiError::Form { at, what });
        };
        let Ok(known) = version.parse::<ApiVersion>() else {
            return Err(ApiError::Form { at, what });
        };
        if known < OLDEST {
            return Err(ApiError::TooOld { at, version });
        }
        api.prefix = format!("/v{}", known.min(NEWEST));
        Ok(api)
    }

    /// Whatever is at a place, without a version in its paths.
    ///
    /// # Errors
    /// A file of the place cannot be used.
    pub(super) fn at(place: &Place) -> Result<Self, ApiError> {
        let engine = Engine::new(place.engine()).map_err(PlaceError::File)?;
        Ok(Self {
            engine,
            client: Client::new().with_new_connections_for_writes(),
            prefix: String::new(),
            at: place.shown().to_owned(),
            registry: None,
        })
    }

    /// The same, with credentials for the registry of an image.
    pub(super) fn with_registry(mut self, registry: Option<RegistryAuth>) -> Self {
        self.registry = registry;
        self
    }

    /// The JSON of a 200.
    ///
    /// # Errors
    /// Another answer, or none.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let answer = self.ask(&Method::GET, path, None).await?;
        self.read(&Method::GET, path, &answer)
    }

    /// The JSON of a 200; `None` for a 404.
    ///
    /// # Errors
    /// Another answer, or none.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, ApiError> {
        let answer = self.ask(&Method::GET, path, None).await?;
        match answer.status {
            404 => Ok(None),
            _ => self.read(&Method::GET, path, &answer).map(Some),
        }
    }

    /// The rows of a list with these filters.
    ///
    /// # Errors
    /// Another answer, or none.
    pub(super) async fn list(&self, kind: &str, filters: &Value) -> Result<Vec<Value>, ApiError> {
        // `escape` is for paths.
        let filters = request::escape(&filters.to_string()).replace('+', "%2B");
        let path = format!("/{kind}?filters={filters}");
        match self.get(&path).await? {
            Value::Array(rows) => Ok(rows),
            // An engine may answer `null` for none.
            _ => Ok(Vec::new()),
        }
    }

    /// Creates or changes something. The body may hold a secret.
    ///
    /// # Errors
    /// Another answer than success, or none.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Value, ApiError> {
        let answer = self.ask(&Method::POST, path, Some(&body)).await?;
        self.read(&Method::POST, path, &answer)
    }

    /// Removes something. What is not there is removed.
    ///
    /// # Errors
    /// Another answer than success, or none.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ApiError> {
        let answer = self.ask(&Method::DELETE, path, None).await?;
        match answer.status {
            404 => Ok(()),
            _ => self.read(&Method::DELETE, path, &answer).map(drop),
        }
    }

    /// The whole answer, whatever it is.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, ApiError> {
        let at = || self.at.clone();
        let failed = |e: Box<pingora::Error>| ApiError::Unreachable {
            at: at(),
            reason: error::explain(&e),
        };
        let target = format!("{}{path}", self.prefix);
        let mut head = request::build(method, &target).map_err(failed)?;
        if let Some(body) = body {
            head.insert_header(CONTENT_TYPE, "application/json")
                .map_err(failed)?;
            head.insert_header(CONTENT_LENGTH, body.len())
                .map_err(failed)?;
        }
        // Only where the engine needs them.
        let uses_registry = ["/distribution/", "/services/"].map(|part| path.starts_with(part));
        if let Some(registry) = self
            .registry
            .as_ref()
            .filter(|_| uses_registry.contains(&true))
        {
            head.insert_header(X_REGISTRY_AUTH, registry.header())
                .map_err(failed)?;
        }
        let body = Bytes::copy_from_slice(body.unwrap_or_default());
        let asked = async {
            let peer = self.engine.peer().await?;
            let budget = Budget::one(LIMIT);
            self.client.exchange(&peer, head, body, &budget).await
        };
        let answer = timeout(DEADLINE, asked).await;
        let answer = answer.map_err(|_| ApiError::Unreachable {
            at: at(),
            reason: format!("no answer within {} s", DEADLINE.as_secs()),
        })?;
        let answer = answer.map_err(failed)?;
        let text = |name: &str| {
            let value = answer.head.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let mut names = answer.head.headers.keys();
        Ok(Answer {
            status: answer.head.status.as_u16(),
            missing: text("skep-missing"),
            version: text("api-version"),
            is_agents: names.any(|name| name.as_str().starts_with("skep-")),
            body: answer.body,
        })
    }

    /// Reads an answer as JSON; nothing is `null`.
    pub(super) fn read(
        &self,
        method: &Method,
        path: &str,
        answer: &Answer,
    ) -> Result<Value, ApiError> {
        let bare = path.split('?').next().unwrap_or_default();
        let (at, what) = (self.at.clone(), format!("{method} {bare}"));
        if !(200..300).contains(&answer.status) {
            let body = serde_json::from_slice::<ErrorBody>(&answer.body);
            let message = body.map_or_else(|_| "no reason is given".to_owned(), |b| b.message);
            return Err(ApiError::Refused {
                at,
                what,
                status: answer.status,
                message: message.trim().to_owned(),
            });
        }
        if answer.body.is_empty() {
            return Ok(json!(null));
        }
        serde_json::from_slice(&answer.body).map_err(|_| ApiError::Form { at, what })
    }
}
