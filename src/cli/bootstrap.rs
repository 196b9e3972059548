//! `skep bootstrap`: see [`crate::bootstrap`].

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::bootstrap::{self, HostName, Name, Named, Options, Voice};
use crate::config::client_name;
use crate::connect::docker_context::ContextName;

/// The Swarm, and what to make there.
#[derive(Args, Debug)]
pub struct BootstrapArgs {
    /// Docker context of a manager's engine; by default the one that the docker CLI
    /// would use
    #[arg(long, short, value_name = "NAME", conflicts_with = "host")]
    pub(crate) context: Option<ContextName>,
    /// Address of a manager's engine, as in DOCKER_HOST
    #[arg(long, short = 'H', value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Name of the stack, and of the docker context to write
    #[arg(long, value_name = "NAME", default_value = "skep")]
    pub(crate) name: Name,
    /// Image of the agents; skep:latest by default
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// Port of the agents on every node; 9001 by default
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Host at which this machine reaches the manager's agent, if it is another one
    /// than the engine's
    #[arg(long, value_name = "HOST")]
    pub(crate) address: Option<HostName>,
    /// Your name in the certificate of the docker context, for the audit log
    #[arg(long, value_name = "NAME", default_value = "operator", value_parser = client_name)]
    pub(crate) identity: String,
    /// Whom refused callers may ask, such as ops@example.com
    #[arg(long, value_name = "TEXT")]
    pub(crate) contact: Option<String>,
    /// File for the operator's private key; an existing one is used
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// File for a copy of the cluster's secret; an existing one is used
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Give the nodes your credentials for the image's registry, as docker stack deploy
    /// does
    #[arg(long)]
    pub(crate) with_registry_auth: bool,
    /// Seconds that the agents may take to be ready
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub(crate) timeout: u32,
    /// What to do other than to set skep up.
    #[command(flatten)]
    pub(crate) action: ActionArgs,
}

/// One of these.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct ActionArgs {
    /// Print the plan, and the same as files for docker stack deploy; make nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Compare what runs with what should; change nothing
    #[arg(long)]
    pub(crate) check: bool,
    /// Change the image of the agents, and nothing else
    #[arg(long, value_name = "IMAGE", conflicts_with = "image")]
    pub(crate) upgrade: Option<String>,
    /// Remove all that this has made, and nothing else
    #[arg(long)]
    pub(crate) remove: bool,
}

/// Does it, and says what happens while it happens. `false` if a check has found a
/// difference.
///
/// # Errors
/// Something is in the way, or a step failed.
pub async fn run(args: BootstrapArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let named = Named {
        host: args.host,
        context: args.context,
    };
    let options = Options {
        name: args.name,
        image: args.image,
        port: args.port,
        address: args.address,
        identity: args.identity,
        contact: args.contact,
        key_file: args.key_file,
        secret_file: args.secret_file,
        with_registry_auth: args.with_registry_auth,
        patience: Duration::from_secs(args.timeout.into()),
    };
    let voice = &mut Voice::new(out);
    let action = args.action;
    if action.check {
        return Ok(bootstrap::check(&named, &options, voice).await?);
    }
    if action.dry_run {
        bootstrap::dry_run(&named, &options, voice).await?;
    } else if let Some(image) = &action.upgrade {
        bootstrap::upgrade(&named, &options, image, voice).await?;
    } else if action.remove {
        bootstrap::remove(&named, &options, voice).await?;
    } else {
        bootstrap::set_up(&named, &options, voice).await?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: BootstrapArgs,
    }

    fn parse(line: &str) -> Result<BootstrapArgs, clap::Error> {
        let words = format!("bootstrap {line}");
        Line::try_parse_from(words.split_whitespace()).map(|line| line.args)
    }

    #[test]
    fn the_engine_is_one_and_the_action_is_one() {
        for (line, is_good) in [
            ("", true),
            ("-H unix:///var/run/docker.sock --dry-run", true),
            ("--context far --check", true),
            ("--upgrade skep:2", true),
            ("--remove", true),
            ("--context far -H tcp://a", false),
            ("--check --remove", false),
            ("--upgrade skep:2 --dry-run", false),
            ("--upgrade skep:2 --image skep:3", false),
            ("--name Skep", false),
            ("--port 0", false),
            ("--address 10.0.0.1:9001", false),
            ("--identity a/b", false),
        ] {
            assert_eq!(parse(line).is_ok(), is_good, "{line}");
        }
    }
}
