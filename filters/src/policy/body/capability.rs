//! Judges kernel capabilities, by the names that engines accept.

use super::Check;
use crate::json::quoted;
use crate::policy::verdict::Judged;

/// The default capabilities of a container (moby
/// `daemon/pkg/oci/caps/defaults.go`). They need no grant.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

pub(super) fn added(check: &Check<'_>, capabilities: &[&str]) -> Judged {
    for name in capabilities {
        let granted = &check.may.capabilities;
        let is_granted = DEFAULT.iter().any(|own| same(own, name))
            || granted.iter().any(|own| own == "*" || same(own, name));
        check.grant(is_granted, "may.capabilities", || {
            format!("the capability {}", quoted(name))
        })?;
    }
    Ok(())
}

/// Whether a policy may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let short = short(name);
    !short.is_empty() && short.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

/// In any case, with `CAP_` or without.
fn same(a: &str, b: &str) -> bool {
    short(a).eq_ignore_ascii_case(short(b))
}

fn short(name: &str) -> &str {
    match name.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => &name[4..],
        _ => name,
    }
}
