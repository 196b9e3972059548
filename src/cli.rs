//! What can be typed: commands, arguments, the environment variables behind them, and their help.
//!
//! What a command does stands in a file of its own. No argument takes a secret, only the file that
//! holds one: arguments are seen by everybody who can list processes.

mod ask;
pub mod cert;
pub mod check;
pub mod connect;
pub mod explain;
pub mod health;
pub mod nodes;
pub mod policy;
pub mod serve;
pub mod sign;

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::config::{AgentUrl, DEFAULT_SECRET_FILE, Engine, Refusal};
use crate::connect::access::Credentials;

/// Gathers a Docker Swarm behind one API.
#[derive(Debug, Parser)]
#[command(name = "skep", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the certificate of the cluster's CA, derived from its secret
    #[command(after_help = "Example:\n  skep ca --secret-file secret.txt > ca.pem")]
    Ca(CaArgs),
    /// Certificates for clients that cannot sign, such as the docker CLI
    #[command(
        subcommand,
        after_help = "Example:\n  skep cert issue --secret-file secret.txt --name alice --out alice"
    )]
    Cert(cert::CertCommand),
    /// Say whether configuration files are right, and if not, everything that is wrong
    #[command(after_help = "Example:\n  skep check conf/swarm.yaml")]
    Check(CheckArgs),
    /// Let tools that cannot sign use an agent, through a local socket
    #[command(
        after_help = "Example:\n  skep connect --to https://10.0.0.1:9001 --secret-file secret.txt --context swarm\n  docker --context swarm ps"
    )]
    Connect(ConnectArgs),
    /// Say whether a request would be allowed, by which rule and why
    #[command(
        after_help = "Example:\n  skep explain --config skep.yaml --as ci POST /containers/create --body create.json"
    )]
    Explain(ExplainArgs),
    /// Say whether the agent on this machine works; meant for Docker's HEALTHCHECK
    #[command(after_help = "Example:\n  HEALTHCHECK CMD [\"/skep\", \"health\"]")]
    Health(ConfigArgs),
    /// List the nodes of the cluster as an agent sees them
    #[command(
        after_help = "Example:\n  skep nodes --to https://10.0.0.1:9001 --secret-file secret.txt"
    )]
    Nodes(ClientArgs),
    /// Print a preset as YAML, or what Tecnativa's environment variables mean
    #[command(
        after_help = "Example:\n  skep policy traefik\n  CONTAINERS=1 POST=0 skep policy --from-env"
    )]
    Policy(PolicyArgs),
    /// Print the JSON Schema of configuration files, for editors
    #[command(after_help = "Example:\n  skep schema > skep.schema.json")]
    Schema,
    /// Print a new secret, good for a cluster or a key
    #[command(after_help = "Example:\n  skep secret | docker secret create skep_secret -")]
    Secret,
    /// Run the agent
    #[command(after_help = "Example:\n  skep serve --config /etc/skep/skep.yaml")]
    Serve(ConfigArgs),
    /// Sign one request and print the headers that make it valid
    #[command(
        after_help = "Example:\n  skep sign GET https://10.0.0.1:9001/containers/json --key-id ci --key-file ci.key"
    )]
    Sign(SignArgs),
}

/// The configuration to use.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Configuration file; without one, every setting has its default
    #[arg(long, value_name = "FILE", env = "SKEP_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The files to check.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Configuration files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// The request to judge.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "SKEP_CONFIG", default_value = explain::default_config().as_os_str())]
    pub config: PathBuf,
    /// Who would ask: key:ID, cert:NAME, local:NAME, portainer, operator, or the id or name alone
    #[arg(long = "as", value_name = "IDENTITY")]
    pub identity: String,
    /// File with the body of the request; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub body: Option<BodySource>,
    /// Hostname of the node that it would go to
    #[arg(long, value_name = "HOSTNAME")]
    pub node: Option<String>,
    /// That node is a manager
    #[arg(long)]
    pub manager: bool,
    /// Label of that node in the Swarm; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = explain::label)]
    pub labels: Vec<(String, String)>,
    /// Method of the request
    pub method: String,
    /// Path of the request, with its query
    pub path: String,
}

/// The policy to print.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct PolicyArgs {
    /// Name of a preset
    pub preset: Option<String>,
    /// Read CONTAINERS, POST and so on from the environment
    #[arg(long)]
    pub from_env: bool,
}

/// The secret to derive from.
#[derive(Args, Debug)]
pub struct CaArgs {
    /// File with the cluster's secret
    #[arg(
        long,
        value_name = "FILE",
        env = "SKEP_SECRET_FILE",
        default_value = DEFAULT_SECRET_FILE
    )]
    pub secret_file: PathBuf,
}

/// Which agents to ask, and as whom.
#[derive(Args, Debug)]
pub struct ClientArgs {
    /// Agents to ask, in this order until one answers; repeat it or put commas between
    #[arg(
        long,
        value_name = "URL",
        env = "SKEP_TO",
        value_delimiter = ',',
        required = true
    )]
    pub to: Vec<AgentUrl>,
    /// As whom.
    #[command(flatten)]
    pub credentials: Credentials,
    /// File with the CA that the agents' certificates come from, if it is not the one of the secret
    #[arg(long, value_name = "FILE", env = "SKEP_CA")]
    pub ca: Option<PathBuf>,
}

/// The local end of a connection.
#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// Which agents to ask, and as whom.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Socket to listen on, unix:///PATH, or npipe:////./pipe/NAME on Windows
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<LocalSocket>,
    /// Node that every request is for; without one, the whole cluster answers
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Docker context to make for the socket
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// The request to sign.
#[derive(Args, Debug)]
pub struct SignArgs {
    /// Method of the request
    pub method: String,
    /// URL of the request, with its query
    pub url: String,
    /// File with the body of the request; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub body: Option<BodySource>,
    /// Node that the request is for
    #[arg(long, value_name = "NODE")]
    pub target: Option<String>,
    /// As whom.
    #[command(flatten)]
    pub credentials: Credentials,
}

/// Where a body comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BodySource {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// A socket of this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LocalSocket {
    /// A named pipe of Windows, such as `\\.\pipe\skep`.
    Pipe(String),
    /// A Unix socket; the path is absolute.
    Unix(PathBuf),
}

impl From<OsString> for BodySource {
    fn from(text: OsString) -> Self {
        if text == "-" {
            Self::Stdin
        } else {
            Self::File(PathBuf::from(text))
        }
    }
}

impl FromStr for LocalSocket {
    type Err = Refusal;

    /// The forms are those of an engine, which is what a client takes the socket for.
    fn from_str(text: &str) -> Result<Self, Refusal> {
        match text.parse()? {
            Engine::Pipe(name) => Ok(Self::Pipe(name)),
            Engine::Socket(path) => Ok(Self::Unix(path)),
            Engine::Tcp { .. } => Err(Refusal::new("this is not a local socket")
                .help("whoever reached a TCP port would be let in; for example unix:///run/user/1000/skep.sock")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    /// All commands, also those below others.
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

    /// Secrets in arguments and in the environment are seen by others.
    #[test]
    fn whatever_is_secret_is_asked_for_as_a_file() {
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
    fn agents_may_be_repeated_or_put_behind_each_other() {
        let line = "skep nodes --to https://a,https://[::1]:9002/ --to https://B:1 --secret-file s";
        let Ok(Command::Nodes(args)) = parse(line) else {
            panic!("{:?}", parse(line));
        };
        let to: Vec<_> = args.to.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["https://a:9001", "https://[::1]:9002", "https://b:1"]);
    }

    #[test]
    fn what_cannot_work_is_refused() {
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

    #[test]
    fn a_local_socket_is_a_path_or_a_pipe() {
        let pipe = "npipe:////./pipe/skep".parse::<LocalSocket>().unwrap();
        assert_eq!(pipe, LocalSocket::Pipe(r"\\.\pipe\skep".into()));
        let socket = "unix:///run/skep.sock".parse::<LocalSocket>().unwrap();
        assert_eq!(socket, LocalSocket::Unix("/run/skep.sock".into()));
    }
}
