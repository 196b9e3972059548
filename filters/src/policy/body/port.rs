//! Judges the port of a container to which a request connects.

use super::Check;
use crate::endpoint::port;
use crate::policy::verdict::{Denied, Judged};

const RULE: &str = "may.forward";

/// The port in the query has to be granted.
pub(super) fn judge(check: &Check<'_>, query: &str) -> Judged {
    let port = port::of(query).map_err(|e| Denied::asks(RULE, e.to_string()))?;
    let granted = check.may.forward.iter().any(|grant| covers(grant, port));
    check.grant(granted, RULE, || format!("port {port} is not granted"))
}

fn covers(grant: &str, port: u16) -> bool {
    grant == "*" || ports(grant).is_some_and(|(first, last)| (first..=last).contains(&port))
}

/// Whether a grant can cover a port: `80`, or `8000-8999`.
pub(in crate::policy) fn is_grant(grant: &str) -> bool {
    ports(grant).is_some()
}

fn ports(grant: &str) -> Option<(u16, u16)> {
    let (first, last) = grant.split_once('-').unwrap_or((grant, grant));
    let (first, last) = (port::number(first)?, port::number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_port_or_a_range() {
        for (grant, covered, others) in [
            ("80", &[80][..], &[79, 81, 8080][..]),
            ("8000-8999", &[8000, 8500, 8999], &[7999, 9000]),
            ("1-65535", &[1, 65535], &[]),
            ("*", &[1, 65535], &[]),
        ] {
            assert!(grant == "*" || is_grant(grant), "{grant}");
            assert!(covered.iter().all(|port| covers(grant, *port)), "{grant}");
            assert!(!others.iter().any(|port| covers(grant, *port)), "{grant}");
        }
        for grant in [
            "0", "65536", "81-80", "80-", "-80", "http", "080", "+80", "80,81", "8*",
        ] {
            assert!(!is_grant(grant) && !covers(grant, 80), "{grant}");
        }
    }
}
