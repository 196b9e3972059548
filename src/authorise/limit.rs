//! Limits the requests per second and the open requests of an identity.
//!
//! The agent that the client calls counts both. A request over a limit is refused
//! at once: a queue could grow without a bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pingora_limits::rate::Rate;
use tokio::sync::Semaphore;

use crate::config::{Grant, Limits};
use crate::exchange::called::Permit;
use crate::exchange::reject::Reject;

/// Counts for all identities.
pub(crate) struct Limiter {
    /// The requests of this second, if any identity is limited.
    rate: Option<Rate>,
    open: HashMap<String, Arc<Semaphore>>,
}

impl Limiter {
    pub(crate) fn new<'g>(grants: impl Iterator<Item = (&'g str, &'g Grant)> + Clone) -> Self {
        let limited = grants
            .clone()
            .any(|(_, grant)| grant.limits.per_second.is_some());
        let open = grants.filter_map(|(name, grant)| {
            let at_once = usize::try_from(grant.limits.at_once?.get()).ok()?;
            Some((name.to_owned(), Arc::new(Semaphore::new(at_once))))
        });
        Self {
            rate: limited.then(|| Rate::new(Duration::from_secs(1))),
            open: open.collect(),
        }
    }

    pub(crate) fn acquire(&self, name: &str, limits: Limits) -> Result<Permit, Reject> {
        if let (Some(rate), Some(most)) = (&self.rate, limits.per_second)
            && rate.observe(&name, 1) > isize::try_from(most.get()).unwrap_or(isize::MAX)
        {
            return Err(Reject::TooMany(format!(
                "{name} may begin {most} requests a second"
            )));
        }
        let Some(open) = self.open.get(name) else {
            return Ok(Permit::default());
        };
        match open.clone().try_acquire_owned() {
            Ok(permit) => Ok(Permit::from(permit)),
            Err(_) => {
                let most = limits.at_once.map_or(0, |most| most.get());
                Err(Reject::TooMany(format!(
                    "{name} may have {most} requests open at a time"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn limiter(limits: Limits) -> Limiter {
        let grant = Grant {
            limits,
            ..Grant::admin()
        };
        Limiter::new([("key:ci", &grant)].into_iter())
    }

    #[test]
    fn a_permit_returns_when_its_request_has_ended() {
        let limits = Limits {
            at_once: NonZeroU32::new(2),
            per_second: None,
        };
        let limiter = limiter(limits);
        let first = limiter.acquire("key:ci", limits).unwrap();
        let _second = limiter.acquire("key:ci", limits).unwrap();
        let refused = limiter.acquire("key:ci", limits).unwrap_err();
        assert!(refused.to_string().contains("2 requests open"), "{refused}");
        drop(first);
        assert!(limiter.acquire("key:ci", limits).is_ok());
    }

    #[test]
    fn an_identity_over_its_rate_is_refused_and_others_are_not() {
        let limits = Limits {
            per_second: NonZeroU32::new(5),
            at_once: None,
        };
        let limiter = limiter(limits);
        // The test may span two seconds, not three.
        let refused = (0..50).filter(|_| limiter.acquire("key:ci", limits).is_err());
        assert!(refused.count() >= 40);
        assert!(limiter.acquire("key:else", Limits::default()).is_ok());
    }
}
