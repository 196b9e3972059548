//! Reads and judges the options of mounts and volumes.
//!
//! Options are read exactly as engines read them, and a word that they do not know
//! is refused: another engine could give it a meaning.

pub(in crate::policy) mod flags;
pub(in crate::policy) mod mode;
pub(in crate::policy) mod propagation;
pub(super) mod tmpfs;

use propagation::Propagation;

use super::Check;
use crate::json::quoted;
use crate::policy::verdict::Judged;

/// Denies a word that is no option of a mount, or that contradicts another.
pub(super) fn option(check: &Check<'_>, at: &str, word: &str) -> Judged {
    check.grant(false, "may.everything", || {
        format!(
            "{at} has the mount option {}, which is not known here",
            quoted(word)
        )
    })
}

/// Denies propagation to the host.
pub(super) fn propagation(check: &Check<'_>, propagation: Propagation) -> Judged {
    let granted = propagation != Propagation::Shared || check.may.propagation;
    check.grant(granted, "may.propagation", || {
        "a mount asks for shared propagation".into()
    })
}
