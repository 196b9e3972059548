//! File system calls, which may block: a bounded number at a time, so that a
//! network file system that hangs does not take every thread there is.

use tokio::sync::Semaphore;

use super::Problem;

/// Calls at a time; tokio has 512 threads for all blocking work.
static CALLS: Semaphore = Semaphore::const_new(64);

/// Runs a call where it may block.
///
/// # Errors
/// As the call, or if there are too many.
pub(super) async fn run<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let permit = CALLS.try_acquire().map_err(|_| Problem::Busy)?;
    let done = tokio::task::spawn_blocking(move || {
        // Given back when the call returns, also if nobody waits for it.
        let _permit = permit;
        call()
    });
    done.await.map_err(|e| Problem::Internal(e.to_string()))?
}
