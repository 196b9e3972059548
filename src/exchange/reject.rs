//! Why a request is refused, as one type: the one place that turns an error
//! into a status. How a caller is told is in `reject/words.rs`.

mod reason;
mod words;

use http::StatusCode;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};
use skep_filters::auth::AuthError;
use skep_filters::endpoint::BadPath;
use skep_filters::policy::redact::RedactError;
use skep_filters::policy::scope::ScopeError;

use crate::upstream::error;
pub(crate) use reason::Reason;
pub(crate) use words::Words;

/// Why a request was not answered by an engine.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Reject {
    /// The caller did not prove who it is.
    #[error("{0}")]
    Auth(#[from] AuthError),
    /// Nobody has said who the user at a socket is.
    #[error(
        "user {uid} of this machine is not let in at {socket}: its `uids` do not list the user, and it has \
         no `policy` for everybody (`listen` in the agent's configuration)"
    )]
    UnknownUser {
        /// The number of the user.
        uid: String,
        /// The path of the socket.
        socket: String,
    },
    /// A key of the agents was used from something that is not an agent.
    #[error("agent keys are accepted only over TLS 1.3 from an agent of this cluster")]
    NotAnAgent,
    /// The caller's policy denies it.
    #[error("the policy {policy:?} of {who} denies this ({rule}): {reason}")]
    Denied {
        /// The caller.
        who: String,
        /// Its policy.
        policy: String,
        /// The rule that decided.
        rule: String,
        /// Why.
        reason: String,
    },
    /// What the caller may not see is as if it were not there.
    #[error("{0}")]
    NoSuch(String),
    /// It goes beyond what the caller may see.
    #[error("this is beyond what the caller may see: {0}")]
    OutOfScope(String),
    /// The answer may have something in it that the caller may not see.
    #[error("the answer of the engine cannot be redacted: {0}")]
    Unredacted(#[from] RedactError),
    /// The caller is one that this node's configuration does not know.
    #[error("{0} has no policy on this node; are the agents configured alike?")]
    UnknownIdentity(String),
    /// The caller may not call from where it does.
    #[error("{0} may not call from this address")]
    WrongNetwork(String),
    /// The caller calls more than it may.
    #[error("too many requests: {0}")]
    TooMany(String),
    /// The path cannot be judged safely.
    #[error("{0}")]
    Path(#[from] BadPath),
    /// The engine might read another request than the one judged.
    #[error(
        "form bodies and raw ';' in the query are not accepted: engines may read parameters out of them that were not judged"
    )]
    Ambiguous,
    /// The signed body is longer than will be held.
    #[error(
        "the body is longer than {0} bytes; send it unsigned (Skep-Body: unsigned) where the endpoint takes a stream"
    )]
    BodyTooLong(usize),
    /// The body did not arrive.
    #[error("the request body ended early or came too slowly")]
    BodyIncomplete,
    /// A step refused the request with an error of its own, which converts into
    /// this.
    #[error("{message}{}{details}", if details.is_empty() { "" } else { ": " })]
    Refused {
        /// The status that goes with it.
        status: StatusCode,
        /// The word for it.
        reason: Reason,
        /// What happened and what to do.
        message: String,
        /// More about it; may be empty.
        details: String,
    },
    /// Nobody who answered has it, and not everybody answered.
    #[error("{what} (on the nodes that answered; missing: {missing})")]
    NotFound {
        /// The engine's own words for it.
        what: String,
        /// Who did not answer.
        missing: String,
    },
    /// Several nodes have an object by this name.
    #[error("{name:?} is on several nodes: {nodes}; name one with Skep-Target, or use a full id")]
    SeveralNodes {
        /// What was asked for.
        name: String,
        /// The nodes' hostnames.
        nodes: String,
    },
    /// A manager is needed and none answers.
    #[error("no manager of this Swarm can be reached from {from}: {reason}")]
    NoManager {
        /// The node that looked.
        from: String,
        /// What is known of the managers.
        reason: String,
    },
    /// The local engine does not answer.
    #[error("cannot connect to the Docker engine of node {node} at {address}: {reason}")]
    Engine {
        /// The node whose engine it is.
        node: String,
        /// Its address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Another node's agent does not answer.
    #[error("node {node} does not answer: {reason}")]
    Node {
        /// Its hostname or id.
        node: String,
        /// What happened.
        reason: String,
    },
    /// What a container needs is on different nodes.
    #[error("{first}, but {other}: no node has both")]
    NoCommonNode {
        /// One of them, and its node.
        first: String,
        /// Another one, and its node.
        other: String,
    },
    /// What was to be done on every node was refused by some.
    #[error("{refused}; done on {done}")]
    PartiallyDone {
        /// What the first of them answered.
        status: StatusCode,
        /// The nodes that refused, and why.
        refused: String,
        /// The nodes that did it.
        done: String,
    },
    /// Nodes are missing from a list and the configuration forbids that.
    #[error("nodes did not answer: {0}")]
    Partial(String),
    /// No node gave an answer that could be used.
    #[error("no node answered: {0}")]
    NoNodeAnswered(String),
    /// A route of the agent's that is not served here, in Docker's words.
    #[error("page not found")]
    NotServed,
    /// The client went away or broke the protocol.
    #[error("the client's connection failed: {0}")]
    Client(String),
    /// A mistake of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<ScopeError> for Reject {
    fn from(error: ScopeError) -> Self {
        Self::OutOfScope(error.to_string())
    }
}

impl Reject {
    /// A refusal of one step.
    pub(crate) fn refused(status: StatusCode, reason: Reason, message: impl ToString) -> Self {
        Self::Refused {
            status,
            reason,
            message: message.to_string(),
            details: String::new(),
        }
    }

    /// The status that goes with it.
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
            Self::Path(_) | Self::Ambiguous | Self::Client(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyIncomplete => StatusCode::REQUEST_TIMEOUT,
            // Not a 404: `rm -f` would take that for "gone".
            Self::NotFound { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::SeveralNodes { .. } | Self::NoCommonNode { .. } => StatusCode::CONFLICT,
            Self::NoManager { .. }
            | Self::Engine { .. }
            | Self::Node { .. }
            | Self::NoNodeAnswered(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::PartiallyDone { status, .. } => *status,
            Self::Partial(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The word for it.
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
            Self::NotAnAgent => Reason::NotAnAgent,
            Self::Path(_) => Reason::Path,
            Self::Ambiguous => Reason::Ambiguous,
            Self::BodyTooLong(_) => Reason::BodyTooLong,
            Self::BodyIncomplete => Reason::BodyIncomplete,
            Self::NotFound { .. } => Reason::NotFound,
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

/// Whether the answer itself, and not only a `100 Continue`, was begun.
pub(crate) fn begun(session: &Session) -> bool {
    let written = session.response_written();
    written.is_some_and(|head| !head.status.is_informational())
}

/// What an error of the proxy means to the caller; `upstream` is who was asked.
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

/// What should not happen, such as a header of ours that is none.
pub(crate) fn internal(error: Box<Error>) -> Reject {
    Reject::Internal(error::explain(&error))
}
