//! Reaches an engine over ssh as the docker CLI does: `docker system dial-stdio` on the
//! other machine, once for each connection to a socket that only this user may open.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::process::Command;

use super::address::HostName;
use crate::platform::{LocalListener, SocketFile};

/// A machine: `ssh://[USER@]HOST[:PORT][/SOCKET]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SshTarget {
    user: Option<String>,
    host: HostName,
    port: Option<u16>,
    /// The engine's socket there, if it is not the usual one.
    socket: Option<String>,
}

impl SshTarget {
    pub(super) fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The arguments of `ssh`. The host cannot be taken for an option, and no shell of
    /// this machine reads them; the one of the other machine gets no text that means
    /// something to it.
    fn arguments(&self) -> Vec<String> {
        let mut all: Vec<_> = ["-o", "ConnectTimeout=30", "-T"].map(str::to_owned).into();
        if let Some(user) = &self.user {
            all.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            all.extend(["-p".to_owned(), port.to_string()]);
        }
        all.extend(["--".to_owned(), self.host.to_string(), "docker".to_owned()]);
        if let Some(socket) = &self.socket {
            all.extend(["--host".to_owned(), format!("unix://{socket}")]);
        }
        all.extend(["system", "dial-stdio"].map(str::to_owned));
        all
    }
}

impl FromStr for SshTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not ssh://[USER@]HOST[:PORT]");
        let plain = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            !part.is_empty() && !part.starts_with('-') && part.chars().all(fits)
        };
        let rest = text.strip_prefix("ssh://").ok_or_else(bad)?;
        let (machine, socket) = match rest.split_once('/') {
            Some((machine, path)) if !path.is_empty() => (machine, Some(format!("/{path}"))),
            Some((machine, _)) => (machine, None),
            None => (rest, None),
        };
        let (user, host) = match machine.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, machine),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, digits)) if !digits.ends_with(']') => {
                let port = digits.parse::<u16>().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or_else(bad)?))
            }
            _ => (host, None),
        };
        if user.as_deref().is_some_and(|user| !plain(user))
            || socket.as_deref().is_some_and(|path| !plain(path))
        {
            return Err(bad());
        }
        Ok(Self {
            user,
            host: host.parse()?,
            port,
            socket,
        })
    }
}

/// The socket of this machine that leads to an engine over ssh.
pub(super) struct Relay {
    folder: PathBuf,
    socket: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Opens the socket. Each connection starts `ssh`, which may ask for a password on
    /// the terminal.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub(super) fn open(target: SshTarget) -> io::Result<Self> {
        let mut random = [0; 8];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| io::Error::other("the system gives no random number"))?;
        let name = format!("skep-{:016x}", u64::from_ne_bytes(random));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder)?;
        let socket = folder.join("docker.sock");
        let listener = LocalListener::bind(&socket, SocketFile::PRIVATE);
        let listener = match listener {
            Ok(listener) => listener,
            Err(e) => {
                let _ = std::fs::remove_dir(&folder);
                return Err(e);
            }
        };
        let task = tokio::spawn(accept(listener, target));
        Ok(Self {
            folder,
            socket,
            task,
        })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_dir(&self.folder);
    }
}

async fn accept(listener: LocalListener, target: SshTarget) {
    while let Ok((mut stream, _, _)) = listener.accept().await {
        let mut ssh = Command::new("ssh");
        ssh.args(target.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        tokio::spawn(async move {
            // Its own messages are on standard error; the request then has no answer.
            let Ok(mut child) = ssh.spawn() else {
                tracing::warn!("`ssh` cannot be started; is it installed?");
                return;
            };
            let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
                return;
            };
            let mut far = tokio::io::join(output, input);
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<String> {
        let target = text.parse::<SshTarget>().ok()?;
        Some(target.arguments().join(" "))
    }

    #[test]
    fn ssh_gets_the_arguments_that_the_docker_cli_gives_it() {
        let common = "-o ConnectTimeout=30 -T";
        for (text, rest) in [
            ("ssh://node1", "-- node1 docker system dial-stdio"),
            (
                "ssh://root@10.0.0.1:2222",
                "-l root -p 2222 -- 10.0.0.1 docker system dial-stdio",
            ),
            (
                "ssh://node1/run/user/1000/docker.sock",
                "-- node1 docker --host unix:///run/user/1000/docker.sock system dial-stdio",
            ),
            ("ssh://[::1]:22", "-p 22 -- ::1 docker system dial-stdio"),
        ] {
            assert_eq!(line(text).unwrap(), format!("{common} {rest}"), "{text}");
        }
    }

    #[test]
    fn a_text_that_ssh_or_a_shell_could_read_otherwise_is_refused() {
        for text in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://-x@node1",
            "ssh://a;b@node1",
            "ssh://node1:0",
            "ssh://node1:x",
            "ssh://node1/a;b",
            "ssh://node1/$(a)",
            "tcp://node1",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
    }
}
