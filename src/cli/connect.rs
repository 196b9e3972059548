//! `skep connect`: see [`crate::connect`].

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{ConnectArgs, LocalSocket};
use crate::connect::Connect;
use crate::connect::access::Access;
use crate::listen::nameplate::Nameplate;
use crate::listen::{self, Listener};
use crate::platform::{self, LocalListener, SocketFile};

/// Streams that are open when told to stop get this long.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves the socket until told to stop.
///
/// # Errors
/// If the key, the authority or the socket cannot be used.
pub async fn run(args: ConnectArgs) -> anyhow::Result<()> {
    let access = Access::load(&args.client.credentials, args.client.ca.as_deref())?;
    let path = match args.listen {
        Some(LocalSocket::Unix(path)) => path,
        Some(LocalSocket::Pipe(_)) => bail!("named pipes are not served yet"),
        None => default_socket()?,
    };
    let listener = LocalListener::bind(&path, SocketFile::PRIVATE)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    let host = format!("unix://{}", path.display());
    log::info!("listening on {host}");
    match &args.context {
        Some(name) => {
            make_context(name, &host)?;
            log::info!("to use it: docker --context {name} ps");
        }
        None => log::info!("to use it: docker -H {host} ps"),
    }
    let proxy = Connect::new(args.client.to, access, args.node).into_proxy();
    let stop = async {
        platform::told_to_stop().await;
    };
    let listeners = vec![Listener::Local(listener, None)];
    listen::serve(proxy, listeners, &Nameplate::none(), stop, DRAIN).await;
    Ok(())
}

/// A place for sockets that only this user can reach.
fn default_socket() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").or_else(|| std::env::var_os("HOME"));
    let folder = folder.context("name a socket with --listen unix:///PATH")?;
    Ok(PathBuf::from(folder).join("skep.sock"))
}

fn make_context(name: &str, host: &str) -> anyhow::Result<()> {
    let endpoint = format!("host={host}");
    for verb in ["create", "update"] {
        let mut docker = Command::new("docker");
        docker.args(["context", verb, name, "--docker", &endpoint]);
        let done = docker
            .output()
            .context("docker, which makes contexts, was not found")?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        if verb == "update" || !said.contains("already exists") {
            bail!("docker context {verb} {name}: {}", said.trim());
        }
    }
    Ok(())
}
