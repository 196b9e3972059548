//! `skep connect`: see [`crate::connect`].

use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::args::ClientArgs;
use super::own_container;
use crate::config::{Engine, ValueError};
use crate::connect::Connect;
use crate::connect::access::Access;
use crate::listen::server_headers::ServerHeaders;
use crate::listen::{self, Listener};
use crate::platform::{self, LocalListener, SocketFile};

/// How long open streams may go on after a signal to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// The local socket, and the agents behind it.
#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// The agents, and the credentials.
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Socket to listen on, unix:///PATH, or npipe:////./pipe/NAME on Windows
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<LocalSocket>,
    /// Node that answers every request; without one, the whole cluster answers
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Docker context to create for the socket
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// A socket of this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum LocalSocket {
    /// A named pipe of Windows, such as `\\.\pipe\skep`.
    Pipe(String),
    /// A Unix socket; the path is absolute.
    Unix(PathBuf),
}

impl FromStr for LocalSocket {
    type Err = ValueError;

    /// Reads the forms of an engine's address, since clients use the socket as
    /// an engine.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse()? {
            Engine::Pipe(name) => Ok(Self::Pipe(name)),
            Engine::Socket(path) => Ok(Self::Unix(path)),
            Engine::Tcp { .. } => Err(ValueError::new("this is not a local socket")
                .help("a TCP listener would be unauthenticated; for example unix:///run/user/1000/skep.sock")),
        }
    }
}

/// Serves the socket until a signal stops the program.
///
/// # Errors
/// The key, the CA or the socket cannot be used.
pub async fn run(args: ConnectArgs) -> anyhow::Result<()> {
    if args.client.credentials.uses_cluster_secret() {
        own_container::refuse_secret()?;
    }
    let access = Access::load(&args.client.credentials, &args.client.cluster)?;
    let path = match args.listen {
        Some(LocalSocket::Unix(path)) => path,
        Some(LocalSocket::Pipe(_)) => bail!("skep connect cannot serve named pipes yet"),
        None => default_socket()?,
    };
    let listener = LocalListener::bind(&path, SocketFile::PRIVATE)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    let host = format!("unix://{}", path.display());
    tracing::info!("listening on {host}");
    match &args.context {
        Some(name) => {
            create_context(name, &format!("host={host}"))?;
            tracing::info!("to use it: docker --context {name} ps");
        }
        None => tracing::info!("to use it: docker -H {host} ps"),
    }
    let proxy = Connect::new(args.client.to, access, args.node).into_proxy();
    let stop = async {
        platform::shutdown_signal().await;
    };
    let listeners = vec![Listener::Local(listener, None)];
    listen::serve(proxy, listeners, &ServerHeaders::none(), stop, DRAIN).await?;
    Ok(())
}

/// A path in a folder of this user.
fn default_socket() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").or_else(|| std::env::var_os("HOME"));
    let folder = folder.context(
        "neither XDG_RUNTIME_DIR nor HOME is set; name a socket with --listen unix:///PATH",
    )?;
    Ok(PathBuf::from(folder).join("skep.sock"))
}

/// Creates or changes a docker context, whose endpoint is `host=…` and further settings.
pub(super) fn create_context(name: &str, endpoint: &str) -> anyhow::Result<()> {
    for verb in ["create", "update"] {
        let mut docker = Command::new("docker");
        docker.args(["context", verb, name, "--docker", endpoint]);
        let done = docker
            .output()
            .context("--context needs the docker CLI, which was not found")?;
        if done.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&done.stderr);
        if verb == "update" || !message.contains("already exists") {
            bail!("docker context {verb} {name}: {}", message.trim());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_socket_is_a_path_or_a_pipe() {
        let pipe = "npipe:////./pipe/skep".parse::<LocalSocket>().unwrap();
        assert_eq!(pipe, LocalSocket::Pipe(r"\\.\pipe\skep".into()));
        let socket = "unix:///run/skep.sock".parse::<LocalSocket>().unwrap();
        assert_eq!(socket, LocalSocket::Unix("/run/skep.sock".into()));
    }
}
