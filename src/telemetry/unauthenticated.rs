//! Limits the log lines about refused unauthenticated clients.
//!
//! Every client that reaches the port can send any number of requests, each with
//! another path, and no policy limits it. So such refusals are logged one by one
//! up to a rate, and counted beyond it. Requests of authenticated callers and
//! failures of this side always have their own line.

mod allowance;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::exchange::Exchange;
use crate::telemetry::audit::Audit;
use allowance::{Allowance, Verdict};

/// The time between the first suppressed refusal and the line with the count.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the refusals of unauthenticated clients.
pub(crate) struct Unauthenticated {
    allowance: Mutex<Allowance>,
    audit: Option<Arc<Audit>>,
}

impl Unauthenticated {
    /// A count of zero. The audit log, if it is configured, gets the counts too.
    pub(crate) fn new(audit: Option<Arc<Audit>>) -> Arc<Self> {
        Arc::new(Self {
            allowance: Mutex::new(Allowance::new(Instant::now())),
            audit,
        })
    }

    /// Whether an exchange has its own lines. If not, it is counted, and the count
    /// is logged after [`PAUSE`].
    pub(crate) fn should_log(self: &Arc<Self>, x: &Exchange) -> bool {
        if !is_refused(x) {
            return true;
        }
        let verdict = self.lock().refused(Instant::now(), &x.from);
        if verdict == Verdict::FirstSuppressed {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                this.flush_suppressed();
            });
        }
        verdict == Verdict::Log
    }

    /// Logs the count of suppressed refusals and resets it.
    pub(crate) fn flush_suppressed(&self) {
        let Some((count, from)) = self.lock().take_suppressed() else {
            return;
        };
        tracing::warn!(
            target: "skep::request", count, from = &*from,
            "{count} more requests of unauthenticated clients were refused"
        );
        if let Some(audit) = &self.audit {
            audit.log_suppressed(count, &from);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Allowance> {
        self.allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an unauthenticated client was refused.
fn is_refused(x: &Exchange) -> bool {
    x.record.caller.is_none() && x.record.refused.is_some() && x.record.status() < 500
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::exchange::caller::Caller;
    use crate::exchange::reject::Reason;

    #[test]
    fn only_refusals_of_unauthenticated_clients_are_counted() {
        let unauthenticated = || {
            let mut x = Exchange::new();
            x.record.refused = Some(Reason::Signature("missing"));
            x.record.status = Some(StatusCode::UNAUTHORIZED);
            x
        };
        assert!(is_refused(&unauthenticated()));
        let known = |x: &mut Exchange| x.record.caller = Some(Caller::client("key:ci"));
        let our_fault = |x: &mut Exchange| x.record.status = Some(StatusCode::SERVICE_UNAVAILABLE);
        let answered = |x: &mut Exchange| x.record.refused = None;
        for change in [known, our_fault, answered] {
            let mut x = unauthenticated();
            change(&mut x);
            assert!(!is_refused(&x));
        }
    }
}
