//! Defines the command line: the commands, their arguments and environment
//! variables, and their help.
//!
//! Each command has a file of its own with its arguments. No argument takes a
//! secret, only the path of a file that holds one: every user of a machine can
//! list the arguments of its processes.

mod args;
mod ask;
pub mod bootstrap;
pub mod cert;
pub mod check;
pub mod completions;
pub mod connect;
pub mod doctor;
pub mod explain;
pub mod forward;
pub mod health;
pub mod join;
pub mod man;
pub mod nodes;
mod own_container;
mod people;
pub mod policy;
pub mod ps;
pub mod relay;
pub mod serve;
pub mod sign;
pub mod spread;
pub mod state;
mod table;
pub mod user;
pub mod whoami;

use clap::{Parser, Subcommand};

pub(crate) use args::ClientArgs;
pub use args::{CaArgs, ConfigArgs, SecretArgs};
use bootstrap::BootstrapArgs;
use cert::CertCommand;
use check::CheckArgs;
use completions::CompletionsArgs;
use connect::ConnectArgs;
use doctor::DoctorArgs;
use explain::ExplainArgs;
use forward::ForwardArgs;
use health::HealthArgs;
use join::JoinArgs;
use man::ManArgs;
use policy::PolicyArgs;
use ps::PsArgs;
use sign::SignArgs;
use spread::SpreadArgs;
use state::StateCommand;
use user::UserCommand;

/// Serves a whole Docker Swarm behind one API
#[derive(Debug, Parser)]
#[command(name = "skep", version, arg_required_else_help = true)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set skep up on a Swarm, through the engine of a manager
    #[command(after_help = "Example:\n  skep bootstrap --context manager1 --dry-run")]
    Bootstrap(BootstrapArgs),
    /// Print the certificate of the cluster's CA, derived from its secret
    #[command(after_help = "Example:\n  skep ca --secret-file secret.txt > ca.pem")]
    Ca(CaArgs),
    /// Issue certificates for clients that cannot sign requests, such as the
    /// docker CLI
    #[command(
        subcommand,
        after_help = "Example:\n  skep cert issue --secret-file secret.txt --name alice --out alice"
    )]
    Cert(CertCommand),
    /// Check configuration files and list all their errors
    #[command(after_help = "Example:\n  skep check conf/swarm.yaml")]
    Check(CheckArgs),
    /// Print the file by which a shell completes skep's command line
    #[command(after_help = "Example:\n  skep completions bash > /etc/bash_completion.d/skep")]
    Completions(CompletionsArgs),
    /// Open a local socket for tools that cannot sign requests, and sign for
    /// them
    #[command(
        after_help = "Example:\n  skep connect --to https://10.0.0.1:9001 --secret-file secret.txt --context swarm\n  docker --context swarm ps"
    )]
    Connect(ConnectArgs),
    /// Look for what keeps agents from their work, and say what to do: on a node, or with
    /// `--to` from any machine
    #[command(
        mut_group("Credentials", |group| group.required(false)),
        after_help = "Example:\n  skep doctor --config /etc/skep/skep.yaml\n  skep doctor --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Doctor(DoctorArgs),
    /// Show whether a policy allows a request, by which rule and why
    #[command(
        after_help = "Example:\n  skep explain --config skep.yaml --as ci POST /containers/create --body create.json"
    )]
    Explain(ExplainArgs),
    /// Open ports of a container, a service or a task on this machine
    #[command(
        after_help = "Example:\n  skep forward web.1 8080:80 --to https://10.0.0.1:9001 --secret-file secret.txt\n  curl http://127.0.0.1:8080"
    )]
    Forward(ForwardArgs),
    /// Check that the agent on this machine answers; for Docker's HEALTHCHECK
    #[command(after_help = "Example:\n  HEALTHCHECK CMD [\"/skep\", \"health\"]")]
    Health(HealthArgs),
    /// Get a certificate by an invitation, with a key that is made here, or renew it
    #[command(
        after_help = "Example:\n  skep join INVITATION --context swarm\n  docker --context swarm ps"
    )]
    Join(JoinArgs),
    /// Print skep's manual page, or write those of all commands
    #[command(after_help = "Example:\n  skep man | man -l -\n  skep man /usr/local/share/man/man1")]
    Man(ManArgs),
    /// List the nodes of the cluster as one agent sees them
    #[command(
        after_help = "Example:\n  skep nodes --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Nodes(ClientArgs),
    /// Print a preset, or the environment variables of another socket proxy, as a
    /// policy in YAML; or change the policies of the list of people
    #[command(
        after_help = "Example:\n  skep policy traefik\n  CONTAINERS=1 POST=0 skep policy --from-env"
    )]
    Policy(PolicyArgs),
    /// List the containers of the cluster with their nodes, services, and the
    /// addresses of their ports
    #[command(
        after_help = "Example:\n  skep ps --to https://10.0.0.1:9001 --secret-file secret.txt --filter node=node2"
    )]
    Ps(PsArgs),
    /// Connect an agent to ports of the container whose network this one has;
    /// agents run it in containers that they make
    #[command(hide = true, after_help = "Example:\n  skep relay")]
    Relay,
    /// Print the JSON Schema of configuration files, for editors
    #[command(after_help = "Example:\n  skep schema > skep.schema.json")]
    Schema,
    /// Print a new random secret for a cluster or a key
    #[command(after_help = "Example:\n  skep secret | docker secret create skep_secret -")]
    Secret,
    /// Run the agent
    #[command(after_help = "Example:\n  skep serve --config /etc/skep/skep.yaml")]
    Serve(ConfigArgs),
    /// Sign one request and print the headers to send with it
    #[command(
        after_help = "Example:\n  skep sign GET https://10.0.0.1:9001/containers/json --key-id ci --key-file ci.key --ca ca.pem"
    )]
    Sign(SignArgs),
    /// Copy an image that one node has to other nodes
    #[command(
        after_help = "Example:\n  skep spread app:1 --node node2,node3 --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Spread(SpreadArgs),
    /// Write the list of people to a file, or bring it into force from one
    #[command(
        subcommand,
        after_help = "Example:\n  skep state export --to https://10.0.0.1:9001 --secret-file secret.txt > people.json"
    )]
    State(StateCommand),
    /// Add, invite, list, disable and remove users while the agents run
    #[command(
        subcommand,
        after_help = "Example:\n  skep user add alice --policy read-only --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    User(UserCommand),
    /// Show for whom the cluster takes you, by which proof, and what you may do
    #[command(
        after_help = "Example:\n  skep whoami --to https://10.0.0.1:9001 --key-id ci --key-file ci.key --ca ca.pem"
    )]
    Whoami(ClientArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::args::BodySource;
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    /// All commands, with their subcommands.
    fn all(command: &clap::Command) -> Vec<clap::Command> {
        let below = command.get_subcommands();
        below
            .flat_map(|c| [vec![c.clone()], all(c)].concat())
            .collect()
    }

    #[test]
    fn every_command_has_a_help_line_and_an_example() {
        for command in all(&Cli::command()) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let after = command.get_after_help().map(ToString::to_string);
            assert!(after.is_some_and(|help| help.contains("skep")), "{name}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string);
                let help = help.unwrap_or_default();
                assert!(!help.is_empty(), "{name} {}", argument.get_id());
                assert!(!help.contains('\n'), "{name} {}", argument.get_id());
            }
        }
    }

    /// Other users can see arguments, and often the environment.
    #[test]
    fn secrets_are_read_from_files_only() {
        for command in all(&Cli::command()) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                if name.contains("secret") || name.contains("key") && name != "key_id" {
                    assert!(name.ends_with("_file"), "{name}");
                }
            }
        }
    }

    #[test]
    fn agents_are_repeated_or_separated_by_commas() {
        let line = "skep nodes --to https://a,https://[::1]:9002/ --to https://B:1 --secret-file s";
        let Ok(Command::Nodes(args)) = parse(line) else {
            panic!("{:?}", parse(line));
        };
        let to: Vec<_> = args.to.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["https://a:9001", "https://[::1]:9002", "https://b:1"]);
    }

    #[test]
    fn incomplete_or_impossible_arguments_are_refused() {
        for (line, kind) in [
            (
                "skep nodes --to http://a --secret-file s",
                ErrorKind::ValueValidation,
            ),
            (
                "skep nodes --to https://a/v1 --secret-file s",
                ErrorKind::ValueValidation,
            ),
            (
                "skep nodes --secret-file s",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "skep nodes --to https://a",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "skep nodes --to https://a --key-id k",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "skep nodes --to https://a --key-file k",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "skep sign GET https://a/info",
                ErrorKind::MissingRequiredArgument,
            ),
            ("skep check", ErrorKind::MissingRequiredArgument),
            (
                "skep connect --to https://a --secret-file s --listen tcp://0.0.0.0:1",
                ErrorKind::ValueValidation,
            ),
        ] {
            assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
        }
    }

    #[test]
    fn a_body_comes_from_a_file_or_from_standard_input() {
        for (body, source) in [
            ("-", BodySource::Stdin),
            ("a.json", BodySource::File("a.json".into())),
        ] {
            let line = format!("skep sign POST https://a/x --key-id k --key-file f --body {body}");
            let Ok(Command::Sign(args)) = parse(&line) else {
                panic!("{line}");
            };
            assert_eq!(args.body, Some(source));
        }
    }
}
