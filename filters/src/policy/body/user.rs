//! Judges the user of a process.

use super::{Check, demand};
use crate::json::quoted;
use crate::policy::verdict::Judged;

/// Denies a user that is, or may be, root. The default user of an image and a user
/// name may be root; Kubernetes' `runAsNonRoot` does the same.
pub(super) fn judge(check: &Check<'_>, field: &str, user: &str) -> Judged {
    let (uid, _) = user.split_once(':').unwrap_or((user, ""));
    let digits = !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_digit());
    let other = digits && uid.bytes().any(|b| b != b'0');
    demand(other || !check.must.non_root, "must.non_root", || {
        format!("{field} {} is not a number above 0", quoted(user))
    })
}
