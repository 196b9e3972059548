//! Maps failures of the volume browser to messages and statuses.

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
    /// The call names no volume, and browsing the host's files is off.
    #[error("volumeID is missing, and browsing the host's own files is switched off (browse.host)")]
    HostIsOff,
    /// The path is outside the host's files.
    #[error("only paths under {0} can be browsed")]
    NotOfTheHost(PathBuf),
    /// The path leads to the secrets of an agent, or they are not known yet.
    #[error("the agent keeps its secrets there, which only an admin may reach")]
    Guarded,
    /// The engine has no such volume.
    #[error("get {0}: no such volume")]
    NoVolume(String),
    /// The volume has no files on this node now.
    #[error("volume {0} is not mounted on this node: the engine names no folder for it")]
    NotMounted(String),
    /// The engine has the folder, but the agent's container does not.
    #[error(
        "the files of volume {volume} are in {folder}, which this agent does not see: \
         mount the engine's volumes folder into it at the same path, or / at /host"
    )]
    Unseen {
        volume: String,
        /// The engine's path.
        folder: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// As the caller wrote it.
        path: String,
        error: io::Error,
    },
    /// An upload that broke off or paused for too long.
    #[error("the upload broke off: {0}; nothing was stored")]
    BrokenOff(String),
    /// Too many calls wait for file systems that do not answer.
    #[error("too many calls are waiting for file systems on this node")]
    Busy,
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Problem {
    pub(super) fn request(why: impl Into<String>) -> Self {
        Self::Request(why.into())
    }

    /// Attaches the caller's path to an error.
    pub(super) fn io(path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::HostIsOff | Self::NotOfTheHost(_) | Self::Guarded => StatusCode::FORBIDDEN,
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
        // cap-std also reports a path out of the volume so.
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
    fn each_error_of_the_system_has_its_status() {
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
