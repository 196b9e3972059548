//! `skep serve`: reads the configuration, starts the agent, ends with it.

use crate::agent::Agent;
use crate::config::Config;
use crate::platform;

/// Runs the agent until told to stop.
///
/// # Errors
/// If it cannot start.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let agent = Agent::start(config).await?;
    let stop = async {
        let signal = platform::shutdown_signal().await;
        log::info!("{signal}: finishing what runs, accepting nothing new");
    };
    agent.run(stop).await;
    log::info!("stopped");
    Ok(())
}
