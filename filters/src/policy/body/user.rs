//! Who a process runs as.

use super::{Check, demand};
use crate::json::quoted;
use crate::policy::verdict::Judged;

/// Denies what is, or may be, root. An image's own user and a name are not
/// known to be another; Kubernetes' `runAsNonRoot` has it the same way.
pub(super) fn judge(check: &Check<'_>, field: &str, user: &str) -> Judged {
    let (uid, _) = user.split_once(':').unwrap_or((user, ""));
    let digits = !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_digit());
    let other = digits && uid.bytes().any(|b| b != b'0');
    demand(other || !check.must.non_root, "must.non_root", || {
        format!("{field} {} is not a number above 0", quoted(user))
    })
}
