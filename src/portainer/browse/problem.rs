//! Why files cannot be had, in words and as a status.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use http::StatusCode;

use crate::exchange::reject::{Reason, Reject};

/// A call of the browser that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The call itself is wrong.
    #[error("{0}")]
    Request(String),
    /// No volume was named, and the host's own files are not to be had.
    #[error("volumeID is missing, and browsing the host's own files is switched off (browse.host)")]
    HostIsOff,
    /// A path that is not of the host's files.
    #[error("only paths under {0} can be browsed")]
    NotOfTheHost(PathBuf),
    /// The engine has no such volume.
    #[error("get {0}: no such volume")]
    NoVolume(String),
    /// The volume has no files on this node now.
    #[error("volume {0} is not mounted on this node: the engine names no folder for it")]
    NotMounted(String),
    /// The folder is there for the engine, but not for the agent.
    #[error(
        "the files of volume {volume} are in {folder}, which this agent does not see: \
         mount the engine's volumes folder into it at the same path, or / at /host"
    )]
    Unseen {
        /// The volume.
        volume: String,
        /// Where the engine has it.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// What it was about, as the caller named it.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// An upload that broke off or paused for too long.
    #[error("the upload broke off: {0}; nothing was stored")]
    BrokenOff(String),
    /// Too many calls wait for file systems that do not answer.
    #[error("too many calls are waiting for file systems on this node")]
    Busy,
    /// A mistake of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Problem {
    /// The call is wrong in this way.
    pub(super) fn request(why: impl Into<String>) -> Self {
        Self::Request(why.into())
    }

    /// What became of a path.
    pub(super) fn io(path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }

    /// The status that goes with it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::HostIsOff | Self::NotOfTheHost(_) => StatusCode::FORBIDDEN,
            Self::NoVolume(_) => StatusCode::NOT_FOUND,
            Self::NotMounted(_) => StatusCode::CONFLICT,
            Self::BrokenOff(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unseen { .. } | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Io { error, .. } => of_io(error.kind()),
        }
    }
}

impl From<Problem> for Reject {
    fn from(problem: Problem) -> Self {
        Self::refused(problem.status(), Reason::Browse, problem)
    }
}

fn of_io(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        // Also what leads out of the volume: cap-std calls it so.
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StatusCode::FORBIDDEN,
        ErrorKind::AlreadyExists
        | ErrorKind::DirectoryNotEmpty
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::ResourceBusy
        | ErrorKind::CrossesDevices => StatusCode::CONFLICT,
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => StatusCode::BAD_REQUEST,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_has_its_status() {
        for (kind, status) in [
            (ErrorKind::NotFound, 404),
            (ErrorKind::PermissionDenied, 403),
            (ErrorKind::DirectoryNotEmpty, 409),
            (ErrorKind::IsADirectory, 409),
            (ErrorKind::StorageFull, 507),
            (ErrorKind::QuotaExceeded, 507),
            (ErrorKind::Other, 500),
        ] {
            let problem = Problem::io("a/b")(kind.into());
            assert_eq!(problem.status().as_u16(), status, "{kind}");
            assert!(problem.to_string().starts_with("a/b: "));
        }
    }
}
