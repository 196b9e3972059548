//! The policies of the list of people.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::lines::difference;
use crate::cli::args::ClientArgs;
use crate::cli::people::Operator;
use crate::config::{check_policies, policy_texts};

/// The commands for the policies of the list of people.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List the policies of the list of people, and who has them
    #[command(
        after_help = "Example:\n  skep policy list --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    List(ClientArgs),
    /// Print one of them, or all as they were written
    #[command(
        after_help = "Example:\n  skep policy show team-a --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Show(ShowArgs),
    /// Check the policies in a file, and bring them into force
    #[command(
        after_help = "Example:\n  skep policy set -f policies.yaml --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Set(FileArgs),
    /// Check the policies in a file, and print what they would change
    #[command(
        after_help = "Example:\n  skep policy diff -f policies.yaml --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Diff(FileArgs),
    /// Bring the policies of an earlier version into force again
    #[command(
        after_help = "Example:\n  skep policy rollback --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Rollback(RollbackArgs),
}

/// The policy to show.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Name of the policy; without one, all are printed
    pub(crate) name: Option<String>,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// The file with the policies.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// File with `policies:`, as in a configuration
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// The version to go back to.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// Version of the list whose policies come back; without one, the last that had others
    pub(crate) version: Option<u64>,
    /// The agents, and the operator's key.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Returns the text to print.
///
/// # Errors
/// No agent answers, a policy has a fault, or the agent refuses it.
pub async fn run(command: PolicyCommand) -> anyhow::Result<String> {
    match command {
        PolicyCommand::List(args) => list(&args).await,
        PolicyCommand::Show(args) => show(&args).await,
        PolicyCommand::Set(args) => {
            let text = read(&args)?;
            let (operator, before) = Operator::load(&args.client).await?;
            if text == before.policies {
                return Ok("nothing changes\n".to_owned());
            }
            let mut after = before.clone();
            after.policies = text;
            let diff = difference(&before.policies, &after.policies);
            let said = operator.store(&before, after).await?;
            Ok(diff + &said)
        }
        PolicyCommand::Diff(args) => {
            let text = read(&args)?;
            let (_, before) = Operator::load(&args.client).await?;
            match difference(&before.policies, &text).as_str() {
                "" => Ok("nothing changes\n".to_owned()),
                diff => Ok(diff.to_owned()),
            }
        }
        PolicyCommand::Rollback(args) => rollback(&args).await,
    }
}

/// Checked here as well as by the agent: the faults name the file.
fn read(args: &FileArgs) -> anyhow::Result<String> {
    let name = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file).with_context(|| name.clone())?;
    check_policies(&name, &text)?;
    Ok(text)
}

async fn list(args: &ClientArgs) -> anyhow::Result<String> {
    let (_, document) = Operator::load(args).await?;
    let mut text = String::new();
    for (name, _) in policy_texts(&document.policies)? {
        let users = document.users.iter().filter(|user| user.policy == name);
        let users: Vec<_> = users.map(|user| user.name.as_str()).collect();
        let users = match users.as_slice() {
            [] => "nobody".to_owned(),
            users => users.join(", "),
        };
        text.push_str(&format!("{name}: {users}\n"));
    }
    if text.is_empty() {
        text.push_str("the list of people has no policies of its own; users may have presets\n");
    }
    Ok(text)
}

async fn show(args: &ShowArgs) -> anyhow::Result<String> {
    let (_, document) = Operator::load(&args.client).await?;
    let Some(name) = &args.name else {
        return Ok(document.policies);
    };
    let all = policy_texts(&document.policies)?;
    let found = all.iter().find(|(own, _)| own == name);
    let (_, text) = found.with_context(|| {
        let names: Vec<_> = all.iter().map(|(own, _)| own.as_str()).collect();
        format!(
            "the list of people has no policy {name:?}; it has {}",
            names.join(", ")
        )
    })?;
    Ok(format!("policies:\n  {name}:\n{text}"))
}

async fn rollback(args: &RollbackArgs) -> anyhow::Result<String> {
    let (operator, before) = Operator::load(&args.client).await?;
    let mut wanted = args.version;
    let old = loop {
        let version = match wanted {
            Some(version) => version,
            None => before.version.saturating_sub(1),
        };
        if version == 0 {
            bail!("there is no earlier version");
        }
        let old = operator.version(version).await?;
        if args.version.is_some() || old.policies != before.policies {
            break old;
        }
        wanted = Some(version - 1);
    };
    let mut after = before.clone();
    after.policies = old.policies;
    let diff = difference(&before.policies, &after.policies);
    let said = operator.store(&before, after).await?;
    Ok(diff + &said)
}
