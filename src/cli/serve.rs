//! `skep serve`: runs the agent.

use crate::agent::Agent;
use crate::config::Config;
use crate::platform;

/// Runs the agent until a signal stops it.
///
/// # Errors
/// If it cannot start, or a part of it fails while it runs.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let agent = Agent::start(config).await?;
    let stop = async {
        let signal = platform::shutdown_signal().await;
        tracing::info!("{signal}: ending when the open requests and streams have ended");
    };
    agent.run(stop).await?;
    tracing::info!("stopped");
    Ok(())
}
