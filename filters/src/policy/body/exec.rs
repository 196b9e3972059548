//! Judges execs and checkpoints.
//!
//! An exec may do what its container may. The body of an exec does not show
//! whether its container is privileged.

use super::{Check, head, user};
use crate::json::{Fields, Json};
use crate::policy::verdict::Judged;

const KNOWN: [&str; 13] = [
    "User",
    "Privileged",
    "Tty",
    "ConsoleSize",
    "AttachStdin",
    "AttachStderr",
    "AttachStdout",
    "DetachKeys",
    "Env",
    "WorkingDir",
    "Cmd",
    // docker-py and others repeat the container, and whether to detach.
    "Container",
    "Detach",
];

/// `POST /containers/{id}/exec`.
pub(super) fn create(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let exec = Fields::of(body, "body")?;
    check.knows(&exec, &KNOWN)?;
    let privileged = exec.flag("Privileged")?;
    check.grant(
        !privileged || check.may.privileged,
        "may.privileged",
        || "a privileged exec".into(),
    )?;
    user::judge(check, "User", exec.text("User")?)
}

/// `POST /containers/{id}/checkpoints`.
pub(super) fn checkpoint(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let checkpoint = Fields::of(body, "body")?;
    check.knows(&checkpoint, &["CheckpointID", "CheckpointDir", "Exit"])?;
    head::checkpoint_name(check, checkpoint.text("CheckpointID")?)?;
    head::checkpoint_dir(check, checkpoint.text("CheckpointDir")?)
}
