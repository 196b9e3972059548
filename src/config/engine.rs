//! Reads the address of the engine: `engine`, in the forms of `DOCKER_HOST` that
//! suit an agent.
//!
//! Named pipes work on Windows only, but are read on every system, so that a
//! file can be checked anywhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_saphyr::Spanned;

use super::address::HostPort;
use super::error::ValueError;
use super::faults::Faults;
use super::raw;

const HELP: &str = "for example unix:///var/run/docker.sock, tcp://10.0.0.1:2375 or npipe:////./pipe/docker_engine";

/// Docker's own ports:
/// <https://docs.docker.com/reference/cli/dockerd/#daemon-socket-option>.
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// The address of an agent's engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Engine {
    /// A named pipe, as Windows writes it: `\\.\pipe\docker_engine`.
    Pipe(String),
    /// A Unix socket; the path is absolute.
    Socket(PathBuf),
    /// A TCP port.
    Tcp {
        /// An IP address without brackets, or a DNS name.
        host: String,
        /// Its port.
        port: u16,
        /// TLS with certificates; `None` for plain text.
        tls: Option<EngineTls>,
    },
}

/// The certificates for TLS between an agent and its engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineTls {
    /// The PEM file with the CA that the engine's certificate comes from.
    pub(crate) ca_file: PathBuf,
    /// The PEM files of the agent's own certificate and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

impl Engine {
    /// This engine with TLS, on Docker's port for it unless `named` has a port.
    pub(crate) fn with_tls(self, named: &str, tls: EngineTls) -> Result<Self, ValueError> {
        let Self::Tcp { host, port, .. } = self else {
            return Err(ValueError::new(format!("`{named}` cannot have TLS"))
                .help("leave `tls` out, or name a tcp:// address"));
        };
        let named_port = tcp(named).ok().and_then(|address| address.port);
        Ok(Self::Tcp {
            host,
            port: if named_port.is_some() { port } else { TLS_PORT },
            tls: Some(tls),
        })
    }
}

impl Default for Engine {
    fn default() -> Self {
        if cfg!(windows) {
            Self::Pipe(r"\\.\pipe\docker_engine".to_owned())
        } else {
            Self::Socket(PathBuf::from("/var/run/docker.sock"))
        }
    }
}

impl FromStr for Engine {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once("://") {
            Some(("unix", path)) => socket(path),
            Some(("npipe", path)) => pipe(path),
            Some(("tcp", _)) => {
                let HostPort { host, port } = tcp(text)?;
                Ok(Self::Tcp {
                    host,
                    port: port.unwrap_or(PLAIN_PORT),
                    tls: None,
                })
            }
            Some(("http" | "https", rest)) => {
                Err(invalid(text).help(format!("did you mean `tcp://{rest}`?")))
            }
            None if text.starts_with('/') => {
                Err(invalid(text).help(format!("did you mean `unix://{text}`?")))
            }
            _ => Err(invalid(text).help(HELP)),
        }
    }
}

fn invalid(text: &str) -> ValueError {
    ValueError::new(format!("`{text}` is not the address of an engine"))
}

fn socket(path: &str) -> Result<Engine, ValueError> {
    // Not `Path::is_absolute`: to Windows, a path without a drive is relative.
    if !path.starts_with('/') || path.len() == 1 || path.contains('\0') {
        return Err(invalid(&format!("unix://{path}"))
            .help("the path of a socket starts with a third `/`: unix:///var/run/docker.sock"));
    }
    Ok(Engine::Socket(Path::new(path).to_owned()))
}

fn pipe(path: &str) -> Result<Engine, ValueError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name = path.strip_prefix("//./pipe/");
    match name.filter(|name| !name.is_empty() && name.chars().all(plain)) {
        Some(name) => Ok(Engine::Pipe(format!(r"\\.\pipe\{name}"))),
        None => Err(invalid(&format!("npipe://{path}"))
            .help("a named pipe is written npipe:////./pipe/docker_engine")),
    }
}

fn tcp(text: &str) -> Result<HostPort, ValueError> {
    let rest = text.strip_prefix("tcp://").unwrap_or(text);
    rest.strip_suffix('/').unwrap_or(rest).parse()
}

/// Reads `engine`.
pub(super) fn read(faults: &mut Faults, raw: Spanned<raw::Engine>) -> Option<Engine> {
    let Spanned {
        value,
        referenced,
        defined,
    } = raw;
    let map = match value {
        raw::Engine::Address(text) => {
            let text = Spanned::new(text, referenced, defined);
            return faults.read("engine", Some(text), str::parse);
        }
        raw::Engine::Map(map) => *map,
    };
    let Some(text) = map.address else {
        let error = ValueError::new("this needs `address`").help("for example tcp://10.0.0.1:2376");
        faults.report("engine", referenced, error);
        return None;
    };
    let tls = map.tls.map(|tls| (read_tls(faults, tls), text.clone()));
    let engine: Engine = faults.read("engine.address", Some(text), str::parse)?;
    let Some((tls, text)) = tls else {
        return Some(engine);
    };
    let tls = tls?;
    faults.read("engine.address", Some(text), |named| {
        engine.with_tls(named, tls)
    })
}

fn read_tls(faults: &mut Faults, raw: Spanned<raw::EngineTls>) -> Option<EngineTls> {
    const KEY: &str = "engine.tls";
    if raw.value.ca_file.is_none() {
        let error = ValueError::new("this needs `ca_file`")
            .help("the CA that the engine's certificate comes from, for example /certs/ca.pem");
        faults.report(KEY, raw.referenced, error);
    }
    let certificate = faults.certificate(KEY, raw.value.certificate_file, raw.value.key_file);
    Some(EngineTls {
        ca_file: faults.path(KEY, "ca_file", raw.value.ca_file)?,
        certificate,
    })
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipe(name) => write!(f, "npipe://{}", name.replace('\\', "/")),
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } => {
                let address = HostPort {
                    host: host.clone(),
                    port: Some(*port),
                };
                write!(f, "tcp://{address}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_and_written_the_same_way() {
        for text in [
            "unix:///var/run/docker.sock",
            "tcp://engine:2375",
            "tcp://[::1]:2375",
            "npipe:////./pipe/docker_engine",
        ] {
            assert_eq!(text.parse::<Engine>().unwrap().to_string(), text);
        }
        let pipe = "npipe:////./pipe/docker_engine".parse::<Engine>().unwrap();
        assert_eq!(pipe, Engine::Pipe(r"\\.\pipe\docker_engine".into()));
    }

    #[test]
    fn dockers_ports_are_the_default() {
        let tls = EngineTls {
            ca_file: "ca.pem".into(),
            certificate: None,
        };
        for (text, plain, secured) in [
            ("tcp://engine", 2375, 2376),
            ("tcp://engine/", 2375, 2376),
            ("tcp://engine:2375", 2375, 2375),
        ] {
            let engine: Engine = text.parse().unwrap();
            assert_eq!(engine.to_string(), format!("tcp://engine:{plain}"));
            let engine = engine.with_tls(text, tls.clone()).unwrap();
            assert_eq!(engine.to_string(), format!("tcp://engine:{secured}"));
        }
    }

    #[test]
    fn a_typo_is_refused_with_a_suggestion() {
        for (text, help) in [
            ("/var/run/docker.sock", "`unix:///var/run/docker.sock`"),
            ("https://engine:2376", "`tcp://engine:2376`"),
            ("unix://docker.sock", "third `/`"),
            ("unix:///", "third `/`"),
            ("npipe://docker_engine", "npipe:////./pipe/"),
            (r"npipe:////./pipe/a\..\b", "npipe:////./pipe/"),
            ("tcp://user:secret@engine:2375", "labels"),
            ("tcp://engine:2375/path", "from 1 to 65535"),
            ("ssh://engine", "for example"),
            ("", "for example"),
        ] {
            let error = text.parse::<Engine>().unwrap_err();
            assert!(error.to_string().contains(help), "{text}: {error}");
        }
    }
}
