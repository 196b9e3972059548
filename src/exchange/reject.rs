//! Gives each refusal its message, status and reason word, as one type.
//! `reject/words.rs` sends it to the caller.

mod reason;
mod words;

use http::StatusCode;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};
use skep_filters::auth::AuthError;
use skep_filters::endpoint::media::MediaError;
use skep_filters::endpoint::{BadPath, ParameterError};
use skep_filters::policy::redact::RedactError;
use skep_filters::policy::scope::ScopeError;

use crate::listen::memory::Exhausted;
use crate::listen::places::Full;
use crate::upstream::error;
pub(crate) use reason::Reason;
pub(crate) use words::Words;

/// A refusal; its text is the message for the caller.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Reject {
    /// The caller did not prove its identity.
    #[error("{0}")]
    Auth(#[from] AuthError),
    /// The configuration gives the user at a socket no identity.
    #[error(
        "user {uid} of this machine may not use {socket}: its `uids` do not list the user, and it has \
         no `policy` for other users (`listen` in the agent's configuration)"
    )]
    UnknownUser {
        /// The user's number.
        uid: String,
        /// The socket's path.
        socket: String,
    },
    /// A request is signed with an agent key, but the connection is not an agent's.
    #[error("agent keys are accepted only over TLS 1.3 from an agent of this cluster")]
    NotAnAgent,
    /// The caller's policy denies the request.
    #[error("the policy {policy:?} of {who} denies this ({rule}): {reason}")]
    Denied {
        who: String,
        policy: String,
        rule: String,
        reason: String,
    },
    /// The object does not exist, or is out of the caller's scope: the answers are
    /// the same.
    #[error("{0}")]
    NoSuch(String),
    /// The request concerns objects out of the caller's scope.
    #[error("this is outside the caller's scope: {0}")]
    OutOfScope(String),
    /// The answer may have values that the policy redacts.
    #[error("the answer of the engine cannot be redacted: {0}")]
    Unredacted(#[from] RedactError),
    /// This node's configuration does not list the caller.
    #[error("{0} has no policy on this node; are the agents configured alike?")]
    UnknownIdentity(String),
    /// The caller's address is outside its `networks`.
    #[error("{0} may not call from this address")]
    WrongNetwork(String),
    /// The caller has reached one of its limits.
    #[error("too many requests: {0}")]
    TooMany(String),
    /// This agent has no room for the request.
    #[error("{0}")]
    Busy(String),
    /// The path may mean another one to an engine.
    #[error("{0}")]
    Path(#[from] BadPath),
    /// An engine may read other parameters than those that were judged.
    #[error(
        "a raw ';' in the query is not accepted, because engines may read other parameters than those that were judged: write it as %3B"
    )]
    Ambiguous,
    /// The caller's policy cannot judge a parameter.
    #[error("{error} (the policy {policy:?} of {who} judges the query)")]
    Parameter {
        who: String,
        policy: String,
        error: ParameterError,
    },
    /// The endpoint takes no body of this media type.
    #[error("the Content-Type {0}")]
    MediaType(#[from] MediaError),
    /// The signed body is longer than this limit, in bytes.
    #[error(
        "the body is longer than {0} bytes; send it unsigned (Skep-Body: unsigned) where the endpoint takes a stream"
    )]
    BodyTooLong(usize),
    /// The body did not arrive.
    #[error("the request body ended early or came too slowly")]
    BodyIncomplete,
    /// Another room refused the request; its error converts into this.
    #[error("{message}{}{details}", if details.is_empty() { "" } else { ": " })]
    Refused {
        status: StatusCode,
        reason: Reason,
        message: String,
        /// May be empty.
        details: String,
    },
    /// No node that answered has the object, and some nodes did not answer.
    #[error("{what} (on the nodes that answered; missing: {missing})")]
    NotFound {
        /// The engine's message.
        what: String,
        /// The nodes that did not answer.
        missing: String,
    },
    /// No node that answered has the object, and a missing node has it: it was seen
    /// there, or it has the id of an object that exists.
    #[error("{what} (on the nodes that answered; missing: {missing})")]
    OnMissingNode {
        /// The engine's message.
        what: String,
        /// The nodes that did not answer.
        missing: String,
    },
    /// Several nodes have an object by this name.
    #[error("{name:?} is on several nodes: {nodes}; name one with Skep-Target, or use a full id")]
    SeveralNodes {
        name: String,
        /// The nodes' hostnames.
        nodes: String,
    },
    /// The request needs a manager, and none answers.
    #[error("no manager of this Swarm can be reached from {from}: {reason}")]
    NoManager {
        /// This node's hostname.
        from: String,
        /// The state of each manager.
        reason: String,
    },
    /// The local engine does not answer.
    #[error("cannot connect to the Docker engine of node {node} at {address}: {reason}")]
    Engine {
        node: String,
        /// The engine's address.
        address: String,
        reason: String,
    },
    /// Another node's agent does not answer.
    #[error("node {node} does not answer: {reason}")]
    Node {
        /// Its hostname or id.
        node: String,
        reason: String,
    },
    /// The objects that a container needs are on different nodes.
    #[error("{first}, but {other}: no node has both")]
    NoCommonNode {
        /// One object and its node.
        first: String,
        /// Another object and its node.
        other: String,
    },
    /// Some nodes refused a broadcast.
    #[error("{refused}; done on {done}")]
    PartiallyDone {
        /// The status of the first refusal.
        status: StatusCode,
        /// The nodes that refused, and why.
        refused: String,
        /// The nodes that did it.
        done: String,
    },
    /// Nodes are missing from a list and the configuration forbids that.
    #[error("nodes did not answer: {0}")]
    Partial(String),
    /// No node gave a usable answer.
    #[error("no node answered: {0}")]
    NoNodeAnswered(String),
    /// An endpoint of the agent that this configuration does not serve, in Docker's
    /// words.
    #[error("page not found")]
    NotServed,
    /// The client disconnected or broke the protocol.
    #[error("the client's connection failed: {0}")]
    Client(String),
    /// A defect of skep.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<ScopeError> for Reject {
    fn from(error: ScopeError) -> Self {
        Self::OutOfScope(error.to_string())
    }
}

impl From<Exhausted> for Reject {
    fn from(error: Exhausted) -> Self {
        match error {
            Exhausted::Caller(_) => Self::TooMany(error.to_string()),
            Exhausted::All => Self::Busy(error.to_string()),
        }
    }
}

impl From<Full> for Reject {
    fn from(error: Full) -> Self {
        match error {
            Full::Caller(_) => Self::TooMany(error.to_string()),
            Full::All => Self::Busy(error.to_string()),
        }
    }
}

impl Reject {
    /// A refusal without details, for the error of another room.
    pub(crate) fn refused(status: StatusCode, reason: Reason, message: impl ToString) -> Self {
        Self::Refused {
            status,
            reason,
            message: message.to_string(),
            details: String::new(),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Auth(e) => e.status(),
            Self::Refused { status, .. } => *status,
            Self::Denied { .. }
            | Self::UnknownUser { .. }
            | Self::OutOfScope(_)
            | Self::UnknownIdentity(_)
            | Self::WrongNetwork(_) => StatusCode::FORBIDDEN,
            Self::NoSuch(_) => StatusCode::NOT_FOUND,
            Self::Unredacted(_) => StatusCode::BAD_GATEWAY,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotServed => StatusCode::NOT_FOUND,
            Self::NotAnAgent => StatusCode::UNAUTHORIZED,
            Self::Path(_) | Self::Ambiguous | Self::Parameter { .. } | Self::Client(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyIncomplete => StatusCode::REQUEST_TIMEOUT,
            // Clients create what is not there.
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            // Not a 404, which `rm -f` would read as success.
            Self::OnMissingNode { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::SeveralNodes { .. } | Self::NoCommonNode { .. } => StatusCode::CONFLICT,
            Self::NoManager { .. }
            | Self::Engine { .. }
            | Self::Node { .. }
            | Self::Busy(_)
            | Self::NoNodeAnswered(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::PartiallyDone { status, .. } => *status,
            Self::Partial(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the caller's rights are the reason, which somebody could change. A
    /// caller without an identity learns nothing.
    pub(crate) fn is_about_rights(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. }
                | Self::Parameter { .. }
                | Self::OutOfScope(_)
                | Self::UnknownUser { .. }
                | Self::UnknownIdentity(_)
                | Self::WrongNetwork(_)
                | Self::TooMany(_)
        )
    }

    /// The nodes that did not answer, as in `Skep-Missing`.
    pub(crate) fn missing(&self) -> Option<&str> {
        match self {
            Self::NotFound { missing, .. }
            | Self::OnMissingNode { missing, .. }
            | Self::Partial(missing)
            | Self::NoNodeAnswered(missing) => Some(missing),
            _ => None,
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Auth(e) => Reason::Signature(e.reason()),
            Self::Refused { reason, .. } => *reason,
            Self::UnknownUser { .. } => Reason::UserUnknown,
            Self::NotServed => Reason::NotServed,
            Self::Denied { .. } => Reason::Denied,
            Self::NoSuch(_) => Reason::NoSuch,
            Self::OutOfScope(_) => Reason::OutOfScope,
            Self::Unredacted(_) => Reason::Unredacted,
            Self::UnknownIdentity(_) => Reason::UnknownIdentity,
            Self::WrongNetwork(_) => Reason::WrongNetwork,
            Self::TooMany(_) => Reason::TooMany,
            Self::Busy(_) => Reason::Busy,
            Self::NotAnAgent => Reason::NotAnAgent,
            Self::Path(_) => Reason::Path,
            Self::Ambiguous => Reason::Ambiguous,
            Self::Parameter { .. } => Reason::Parameter,
            Self::MediaType(_) => Reason::MediaType,
            Self::BodyTooLong(_) => Reason::BodyTooLong,
            Self::BodyIncomplete => Reason::BodyIncomplete,
            Self::NotFound { .. } => Reason::NotFound,
            Self::OnMissingNode { .. } => Reason::OnMissingNode,
            Self::SeveralNodes { .. } => Reason::SeveralNodes,
            Self::NoManager { .. } => Reason::NoManager,
            Self::Engine { .. } => Reason::Engine,
            Self::Node { .. } => Reason::Node,
            Self::NoCommonNode { .. } => Reason::NoCommonNode,
            Self::PartiallyDone { .. } => Reason::PartiallyDone,
            Self::Partial(_) => Reason::Partial,
            Self::NoNodeAnswered(_) => Reason::NoNodeAnswered,
            Self::Client(_) => Reason::Client,
            Self::Internal(_) => Reason::Internal,
        }
    }
}

/// Whether the head of the final answer was written; a `100 Continue` does not count.
pub(crate) fn begun(session: &Session) -> bool {
    let written = session.response_written();
    written.is_some_and(|head| !head.status.is_informational())
}

/// The refusal for an error of the proxy. `upstream` makes it if the upstream has
/// failed.
pub(crate) fn of_proxy(error: &Error, upstream: impl FnOnce(String) -> Reject) -> Reject {
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Reject::BodyIncomplete,
        (ErrorSource::Downstream, _) => Reject::Client(error::explain(error)),
        (_, ErrorType::ReadTimedout) if *error.esource() != ErrorSource::Upstream => {
            Reject::BodyIncomplete
        }
        _ => upstream(error::explain(error)),
    }
}

/// The refusal for a defect, such as an invalid header of skep's own.
pub(crate) fn internal(error: Box<Error>) -> Reject {
    Reject::Internal(error::explain(&error))
}
