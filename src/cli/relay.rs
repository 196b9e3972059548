//! `skep relay`: the helper's program; see [`crate::ports::relay`]. People do not run it.

use anyhow::Context;

use crate::platform;
use crate::ports::relay;

/// Serves the agent at standard input and output until it is gone.
///
/// # Errors
/// The streams cannot be used, or the agent breaks the protocol.
pub async fn run() -> anyhow::Result<()> {
    let stream = platform::standard_streams().context("standard input and output")?;
    relay::serve(stream).await.context("the agent's stream")
}
