//! `skep state`: the list of people as a file, to keep it and to bring it back.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use skep_filters::people::Document;

use super::args::ClientArgs;
use super::own_container;
use super::people::{Operator, unverified};
use crate::connect::access::Access;

/// The commands for the whole list.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Print the list of people in force as JSON
    #[command(
        after_help = "Example:\n  skep state export --to https://10.0.0.1:9001 --secret-file secret.txt > people.json"
    )]
    Export(ClientArgs),
    /// Sign the list in a file, and bring it into force as the next version
    #[command(
        after_help = "Example:\n  skep state import people.json --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Import(ImportArgs),
}

/// The list to bring into force.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// File that `skep state export` has written
    pub(crate) file: PathBuf,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Returns the text to print.
///
/// # Errors
/// No agent answers, the file is no list, or the agent refuses it.
pub async fn run(command: StateCommand) -> anyhow::Result<String> {
    match command {
        StateCommand::Export(args) => {
            let (_, document) = Operator::load(&args).await?;
            Ok(serde_json::to_string_pretty(&document)? + "\n")
        }
        StateCommand::Import(args) => import(&args).await,
    }
}

/// What is in force may be signed with another key: it is replaced as a whole.
async fn import(args: &ImportArgs) -> anyhow::Result<String> {
    let client = &args.client;
    if client.credentials.uses_cluster_secret() {
        own_container::refuse_secret()?;
    }
    let at = || args.file.display().to_string();
    let text = std::fs::read(&args.file).with_context(at)?;
    let document: Document = serde_json::from_slice(&text).with_context(at)?;
    document.check().with_context(at)?;
    let access = Access::load(&client.credentials, &client.cluster)?;
    let mut failures = Vec::new();
    for url in &client.to {
        match unverified(&access, url).await {
            Ok(before) => {
                let agent = url.clone();
                let operator = Operator { access, agent };
                return operator.store(&before, document).await;
            }
            Err(e) => failures.push(format!("{url}: {e:#}")),
        }
    }
    bail!("no agent answered\n  {}", failures.join("\n  "))
}
