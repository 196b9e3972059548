//! `skep doctor`: looks for what keeps an agent from its work, and says what to do.
//!
//! It changes nothing, and shows no secret. On a node it reads the agent's configuration
//! and asks engine and agents; with `--to` it asks agents from any machine.

mod agents;
mod certificates;
mod engine;
mod finding;
mod listeners;
mod nodes;
mod policies;
mod remote;
mod secrets;

use clap::Args;

use super::args::ConfigArgs;
use crate::cluster::identity::Identity;
use crate::config::{AgentUrl, ClusterMode, Config};
use crate::connect::access::{Access, Credentials, Target};
pub use finding::Report;
use finding::{Finding, Subject};

/// What to look at.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// The configuration of the agent on this node.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Agents to look at from here, in place of this node; repeat it or separate
    /// them by commas
    #[arg(long, value_name = "URL", env = "SKEP_TO", value_delimiter = ',')]
    pub(crate) to: Vec<AgentUrl>,
    /// The key or the secret to sign with, for `--to`.
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// The cluster to call, for `--to`.
    #[command(flatten)]
    pub(crate) cluster: Target,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Looks at the agents of `--to`, or at this node. `load` reads its configuration.
///
/// # Errors
/// The credentials for `--to` cannot be used.
pub async fn run(
    args: &DoctorArgs,
    load: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<Report> {
    if !args.to.is_empty() {
        let access = Access::load(&args.credentials, &args.cluster)?;
        return Ok(Report::new(remote::check(&access, &args.to).await));
    }
    Ok(match load() {
        Ok(config) => node(&config).await,
        Err(e) => {
            let remedy = "correct the file; `skep check FILE` lists its errors";
            Report::new(vec![Finding::error(
                Subject::Configuration,
                format!("{e:#}"),
                remedy,
            )])
        }
    })
}

/// Looks at the node with this configuration.
pub async fn node(config: &Config) -> Report {
    let mut findings = vec![configuration(config)];
    let (engine, me) = engine::check(config).await;
    findings.extend(engine);
    let clustered = is_clustered(config, me.as_ref());
    findings.extend(secrets::check(config, clustered));
    findings.extend(certificates::check(config));
    findings.extend(listeners::check(config).await);
    findings.extend(policies::check(config));
    if let Some(clustered) = clustered {
        findings.extend(agents::check(config, clustered, me.as_ref()).await);
    }
    Report::new(findings)
}

fn configuration(config: &Config) -> Finding {
    let found = match &config.file {
        Some(file) => format!("{} is valid", file.display()),
        None => "no file: defaults, and the variables of the environment".to_owned(),
    };
    Finding::fine(Subject::Configuration, found)
}

/// Whether the agent works with others; `None` if that depends on an engine that does
/// not answer.
fn is_clustered(config: &Config, me: Option<&Identity>) -> Option<bool> {
    match config.cluster.mode {
        ClusterMode::On => Some(true),
        ClusterMode::Off => Some(false),
        ClusterMode::Auto => me.map(|me| me.swarm),
    }
}
