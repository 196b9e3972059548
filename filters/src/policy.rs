//! May this caller do this? So far there is one policy, which allows
//! everything; the step exists so that no request goes around it.

pub mod redact;

use crate::endpoint::Match;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everything.
    Admin,
}

/// The judgement over one request, with the rule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Allow {
        /// The rule, for the log.
        rule: &'static str,
    },
}

impl Policy {
    /// Judges a request; an endpoint that no table knows is `None`.
    pub fn judge(self, _endpoint: Option<&Match>) -> Verdict {
        match self {
            Self::Admin => Verdict::Allow { rule: "admin" },
        }
    }
}
