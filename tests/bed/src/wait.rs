//! Bounded waits. The limits are not for measurements: reaching one is always a
//! failure.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// The default limit of one step of a test; some steps take many seconds while other
/// work keeps the processors busy.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `holds` is true; returns whether that happened within [`LIMIT`].
pub async fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let poll = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, poll).await.is_ok()
}

/// Runs one step; `what` names it in the error of a step that took too long.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match timeout(limit, step).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what}: nothing for {limit:?}"),
        )),
    }
}
