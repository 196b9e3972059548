//! Says why a port of a container cannot be reached.

use http::StatusCode;
use skep_filters::endpoint::port::PortError;

use crate::exchange::reject::{Reason, Reject};

/// Why a caller is not connected.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Port(PortError),
    #[error("this endpoint is a stream: send `Connection: Upgrade` and `Upgrade: tcp`")]
    NoUpgrade,
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("container {0} is paused: unpause it first")]
    Paused(String),
    #[error(
        "container {name} has the network of its host: its ports are ports of node {node}, and skep \
         forwards none of these"
    )]
    HostNetwork { name: String, node: String },
    #[error("container {0} has no network (`none`), and skep forwards none of its ports")]
    NoNetwork(String),
    #[error("container {0} has the network of another container, which is gone")]
    LostNetwork(String),
    #[error("container {0} runs on Windows, where skep cannot forward ports")]
    Windows(String),
    #[error("nothing accepts connections on port {port} of container {name}: {reason}")]
    Refused {
        name: String,
        port: u16,
        reason: String,
    },
    #[error(
        "container {name} has as many forwarded connections as one container may have ({most})"
    )]
    Full { name: String, most: usize },
    #[error("this node forwards ports of as many containers as it may ({0}): try again later")]
    Busy(usize),
    #[error(
        "the agent runs outside of a container, and so reaches only containers with an address on \
         this host, which {0} has not"
    )]
    OutOfReach(String),
    #[error("the helper for container {name} did not start: {reason}")]
    Helper { name: String, reason: String },
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Port(_) => StatusCode::BAD_REQUEST,
            Self::NoUpgrade => StatusCode::UPGRADE_REQUIRED,
            Self::NotRunning(_)
            | Self::Paused(_)
            | Self::HostNetwork { .. }
            | Self::NoNetwork(_)
            | Self::LostNetwork(_)
            | Self::Windows(_)
            | Self::OutOfReach(_) => StatusCode::CONFLICT,
            Self::Refused { .. } | Self::Helper { .. } => StatusCode::BAD_GATEWAY,
            Self::Full { .. } | Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<Problem> for Reject {
    fn from(problem: Problem) -> Self {
        Self::refused(problem.status(), Reason::Forward, problem)
    }
}
