//! How much is written down of strangers who are refused.
//!
//! Whoever reaches the port is refused as often as it likes, each time with a
//! path of its own choice, and no limit of a policy holds for it. So such
//! refusals are told one by one up to a rate, and beyond it as a number. What a
//! known caller does, and what this side did wrong, is always told.

mod allowance;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::exchange::Exchange;
use crate::telemetry::audit::Audit;
use allowance::{Allowance, Verdict};

/// What was left out is told so long after the first of it.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the refusals of strangers.
pub(crate) struct Unauthenticated {
    allowance: Mutex<Allowance>,
    audit: Option<Arc<Audit>>,
}

impl Unauthenticated {
    /// None so far; the audit log is told of numbers too, if there is one.
    pub(crate) fn new(audit: Option<Arc<Audit>>) -> Arc<Self> {
        Arc::new(Self {
            allowance: Mutex::new(Allowance::new(Instant::now())),
            audit,
        })
    }

    /// Whether an exchange has lines of its own; if not, it is counted, and told
    /// of soon.
    pub(crate) fn should_log(self: &Arc<Self>, x: &Exchange) -> bool {
        if !is_refused(x) {
            return true;
        }
        let verdict = self.lock().refused(Instant::now(), &x.from);
        if verdict == Verdict::FirstLeftOut {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(PAUSE).await;
                this.flush_suppressed();
            });
        }
        verdict == Verdict::Tell
    }

    /// Tells how many were left out since it last was told.
    pub(crate) fn flush_suppressed(&self) {
        let Some((count, from)) = self.lock().left_out() else {
            return;
        };
        tracing::warn!(
            target: "skep::request", count, from = &*from,
            "{count} more requests of strangers were refused"
        );
        if let Some(audit) = &self.audit {
            audit.left_out(count, &from);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Allowance> {
        self.allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody was refused who has not proved who it is.
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
