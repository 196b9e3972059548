//! Runs file system calls, which may block, a bounded number at a time, so that
//! a network file system that hangs does not use up every thread.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::Problem;

/// Limits calls about names. All limits together stay far below the 512 threads
/// that tokio has for all blocking work.
static CALLS: Limit = Limit::new(64);

/// Limits calls that read or write files, or that end an upload.
pub(super) static BYTES: Limit = Limit::new(64);

/// Limits calls in the background.
static ASIDE: Limit = Limit::new(4);

/// How long a transfer waits for its turn. While file systems answer, it waits
/// for milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Limits the number of calls at a time.
pub(super) struct Limit(Semaphore);

/// The permission to make one call.
pub(super) struct Permit(SemaphorePermit<'static>);

/// Runs a call on a thread that may block.
///
/// # Errors
/// As the call, or if too many calls run.
pub(super) async fn run<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let permit = CALLS.0.try_acquire().map_err(|_| Problem::Busy)?;
    Permit(permit).run(call).await
}

/// Runs an optional call in the background, or drops it if too many run.
pub(super) fn aside(call: impl FnOnce() + Send + 'static) {
    if let (Ok(permit), Ok(runtime)) = (ASIDE.0.try_acquire(), Handle::try_current()) {
        runtime.spawn_blocking(move || {
            let _permit = permit;
            call();
        });
    }
}

impl Limit {
    pub(super) const fn new(calls: usize) -> Self {
        Self(Semaphore::const_new(calls))
    }

    /// Runs a call when its turn comes: half a transfer is useless, so a brief
    /// load must not fail it.
    ///
    /// # Errors
    /// As the call, or if it waits too long.
    pub(super) async fn wait<T: Send + 'static>(
        &'static self,
        call: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.permit().await?.run(call).await
    }

    /// Waits for the permission to make a call.
    ///
    /// # Errors
    /// If it waits too long.
    pub(super) async fn permit(&'static self) -> Result<Permit, Problem> {
        match timeout(PATIENCE, self.0.acquire()).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) | Err(_) => Err(Problem::Busy),
        }
    }
}

impl Permit {
    /// Runs a call on a thread that may block.
    ///
    /// # Errors
    /// As the call.
    pub(super) async fn run<T: Send + 'static>(
        self,
        call: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let Self(permit) = self;
        let done = tokio::task::spawn_blocking(move || {
            // Released when the call returns, even if its caller is gone.
            let _permit = permit;
            call()
        });
        done.await.map_err(|e| Problem::Internal(e.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_call_waits_for_its_turn_and_is_then_made() {
        static ONE: Limit = Limit::new(1);
        let (answer, hung) = mpsc::channel::<()>();
        let first = tokio::spawn(ONE.wait(move || {
            let _ = hung.recv();
            Ok(Instant::now())
        }));
        while ONE.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn(ONE.wait(|| Ok(Instant::now())));
        tokio::task::yield_now().await;
        drop(answer);
        assert!(first.await.unwrap().unwrap() <= second.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn an_abandoned_call_counts_until_it_returns() {
        static ONE: Limit = Limit::new(1);
        let (answer, hung) = mpsc::channel::<()>();
        let call = tokio::spawn(ONE.wait(move || {
            let _ = hung.recv();
            Ok(())
        }));
        while ONE.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        assert_eq!(ONE.0.available_permits(), 0);
        drop(answer);
        ONE.wait(|| Ok(())).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_does_not_wait_for_its_turn_for_ever() {
        static NONE: Limit = Limit::new(0);
        let refused = NONE.wait(|| Ok(())).await.unwrap_err();
        assert_eq!(refused.status(), 503);
    }
}
