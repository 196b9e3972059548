//! Records the outcome of a request, for the access log and the audit log. No step
//! decides by it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use crate::config::Policy;
use crate::exchange::caller::Caller;
use crate::exchange::reject::Reason;

/// The fields of a log line that the steps fill in.
pub(crate) struct Record {
    pub(crate) started: Instant,
    /// `None` before authentication.
    pub(crate) caller: Option<Arc<Caller>>,
    /// `None` before the caller's grant is found.
    pub(crate) policy: Option<Arc<Policy>>,
    /// The rule that decided; empty before the policy has judged.
    pub(crate) rule: Cow<'static, str>,
    /// The reason why an `audit_only` policy would deny the request.
    pub(crate) would_deny: Option<String>,
    /// The destination, as `node:HOSTNAME` for instance; empty before forwarding.
    pub(crate) to: Cow<'static, str>,
    /// The answer's status, once there is one.
    pub(crate) status: Option<StatusCode>,
    /// Bytes of the answer's body.
    pub(crate) bytes: u64,
    /// Bytes of the caller's stream.
    pub(crate) bytes_in: u64,
    /// The port of the container to which the request connects.
    pub(crate) port: Option<u16>,
    /// What the request changes in the list of people, or who joined.
    pub(crate) change: Option<String>,
    /// The refusal's reason word.
    pub(crate) refused: Option<Reason>,
    /// The refusal's text, for the audit log.
    pub(crate) why: Option<String>,
}

impl Record {
    /// An empty record, whose time begins now.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            caller: None,
            policy: None,
            rule: Cow::Borrowed(""),
            would_deny: None,
            to: Cow::Borrowed(""),
            status: None,
            bytes: 0,
            bytes_in: 0,
            port: None,
            change: None,
            refused: None,
            why: None,
        }
    }

    /// The caller's text form; empty before authentication.
    pub(crate) fn caller(&self) -> &str {
        self.caller.as_ref().map_or("", |caller| &caller.name)
    }

    /// The name of the caller's policy; empty before its grant is found.
    pub(crate) fn policy(&self) -> &str {
        self.policy.as_ref().map_or("", |policy| &policy.name)
    }

    /// The status as a number; 0 without an answer.
    pub(crate) fn status(&self) -> u16 {
        self.status.map_or(0, |status| status.as_u16())
    }

    /// The time since the request began, in milliseconds.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.started.elapsed().as_micros() as f64 / 1000.0
    }
}
