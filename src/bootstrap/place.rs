//! Finds the engine that the operator means, by the rules of the docker CLI: `--host`,
//! `--context`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the CLI's current context, the local
//! socket.

use std::net::IpAddr;
use std::path::Path;

use super::address::HostName;
use super::ssh::{Relay, SshTarget};
use crate::config::{self, EngineTls};
use crate::connect::docker_context::{ContextError, ContextFiles, ContextName, ContextStore};
use crate::upstream::tls_files::FileError;

/// Why an engine cannot be called.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum PlaceError {
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error("there is no docker context {0}; `docker context ls` lists them")]
    NoContext(ContextName),
    #[error("{from}: {error}")]
    Address { from: String, error: String },
    #[error(
        "{0} does not verify the engine's certificate, and skep sends secrets only to an engine \
         that it knows: give the context the engine's CA"
    )]
    Unverified(String),
    #[error(
        "{0} has no ca.pem: skep trusts no authority of this system, only the one that the engine's \
         certificate comes from"
    )]
    NoCa(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the way over ssh cannot be opened: {0}")]
    Ssh(std::io::Error),
}

/// What the command line names.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) host: Option<String>,
    pub(crate) context: Option<ContextName>,
}

/// An engine or an agent that this machine can call.
pub(crate) struct Place {
    engine: config::Engine,
    /// The address as named.
    shown: String,
    /// The machine, as this one reaches it; `None` for this one.
    host: Option<HostName>,
    /// Whether others on the way can read what is sent.
    is_open: bool,
    /// The way over ssh, open as long as this.
    _relay: Option<Relay>,
}

impl Place {
    /// The engine that the command line, the environment or the CLI's configuration
    /// names.
    ///
    /// # Errors
    /// It is not there, or cannot be used.
    pub(super) fn find(named: &Named) -> Result<Self, PlaceError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        if let Some(host) = &named.host {
            return Self::of_host(host, "--host", variable);
        }
        if let Some(context) = &named.context {
            return Self::of_context(&ContextStore::of_user()?, context);
        }
        if let Some(host) = variable("DOCKER_HOST") {
            return Self::of_host(&host, "DOCKER_HOST", variable);
        }
        let store = ContextStore::of_user();
        let current = match variable("DOCKER_CONTEXT") {
            Some(name) => Some(name),
            // Without a folder there is no context.
            None => store.as_ref().map_or(Ok(None), ContextStore::current)?,
        };
        match current {
            Some(name) => {
                let parsed = name.parse().map_err(|error| PlaceError::Address {
                    from: "DOCKER_CONTEXT".to_owned(),
                    error,
                })?;
                Self::of_context(&store?, &parsed)
            }
            None => Ok(Self::local()),
        }
    }

    /// The engine of a docker context.
    ///
    /// # Errors
    /// There is no such context, or it cannot be used.
    pub(super) fn of_context(store: &ContextStore, name: &ContextName) -> Result<Self, PlaceError> {
        if name.is_default() {
            return Ok(Self::local());
        }
        let stored = store.find(name)?;
        let stored = stored.ok_or_else(|| PlaceError::NoContext(name.clone()))?;
        let from = format!("the docker context {name}");
        if stored.skips_verification {
            return Err(PlaceError::Unverified(from));
        }
        let has_tls = stored.tls.ca.is_some() || stored.tls.cert.is_some();
        Self::of(&stored.host, from, has_tls.then_some(stored.tls))
    }

    fn of_host(
        host: &str,
        from: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, PlaceError> {
        let verified = variable("DOCKER_TLS_VERIFY").is_some();
        if !verified && variable("DOCKER_TLS").is_some() && host.starts_with("tcp:") {
            return Err(PlaceError::Unverified("DOCKER_TLS".to_owned()));
        }
        let files = match (
            verified && host.starts_with("tcp:"),
            variable("DOCKER_CERT_PATH"),
        ) {
            (false, _) => None,
            (true, Some(folder)) => Some(ContextFiles::of(Path::new(&folder))),
            (true, None) => Some(ContextFiles::of(ContextStore::of_user()?.folder())),
        };
        Self::of(host, from.to_owned(), files)
    }

    fn of(address: &str, from: String, tls: Option<ContextFiles>) -> Result<Self, PlaceError> {
        let bad = |error: String| PlaceError::Address {
            from: from.clone(),
            error,
        };
        if address.starts_with("ssh://") {
            let target: SshTarget = address.parse().map_err(bad)?;
            let host = target.host().parse().ok();
            let relay = Relay::open(target).map_err(PlaceError::Ssh)?;
            return Ok(Self {
                engine: config::Engine::Socket(relay.socket().to_owned()),
                shown: address.to_owned(),
                host,
                is_open: false,
                _relay: Some(relay),
            });
        }
        let engine: config::Engine = address.parse().map_err(|e| bad(format!("{e}")))?;
        let config::Engine::Tcp { host, .. } = &engine else {
            return Ok(Self {
                engine,
                shown: address.to_owned(),
                host: None,
                is_open: false,
                _relay: None,
            });
        };
        let named: HostName = host.parse().map_err(bad)?;
        let is_open = tls.is_none() && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let engine = match tls {
            None => engine,
            Some(files) => {
                let ca_file = files.ca.ok_or_else(|| PlaceError::NoCa(from.clone()))?;
                let certificate = files.cert.zip(files.key);
                let tls = EngineTls {
                    ca_file,
                    certificate,
                };
                let with_tls = engine.with_tls(address, tls);
                with_tls.map_err(|e| bad(format!("{e}")))?
            }
        };
        Ok(Self {
            engine,
            shown: address.to_owned(),
            host: Some(named).filter(|host| !host.is_loopback()),
            is_open,
            _relay: None,
        })
    }

    fn local() -> Self {
        let engine = config::Engine::default();
        Self {
            shown: engine.to_string(),
            engine,
            host: None,
            is_open: false,
            _relay: None,
        }
    }

    pub(super) fn engine(&self) -> &config::Engine {
        &self.engine
    }

    /// The address, for messages.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The machine of the engine, as this machine reaches it; `None` if that is not
    /// known.
    pub(super) fn host(&self) -> Option<&HostName> {
        self.host.as_ref()
    }

    /// Whether the connection is without TLS, to another machine.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_host(host: &str, variables: &[(&str, &str)]) -> Result<Place, PlaceError> {
        Place::of_host(host, "--host", |name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_machine_of_an_address_is_known_unless_it_is_this_one() {
        for (host, machine, is_open) in [
            ("unix:///var/run/docker.sock", None, false),
            ("tcp://10.0.0.1:2375", Some("10.0.0.1"), true),
            ("tcp://node1", Some("node1"), true),
            ("tcp://127.0.0.1:2375", None, false),
        ] {
            let place = of_host(host, &[]).unwrap();
            assert_eq!(place.host().map(HostName::as_str), machine, "{host}");
            assert_eq!(place.is_open(), is_open, "{host}");
            assert_eq!(place.shown(), host);
        }
    }

    #[test]
    fn an_engine_that_is_not_verified_is_refused() {
        let refused = |host: &str, variables: &[(&str, &str)]| {
            of_host(host, variables).err().unwrap().to_string()
        };
        let open = refused("tcp://10.0.0.1:2376", &[("DOCKER_TLS", "1")]);
        assert!(open.contains("does not verify"), "{open}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let tls = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &path)];
        let no_ca = refused("tcp://10.0.0.1:2376", &tls);
        assert!(no_ca.contains("no ca.pem"), "{no_ca}");
        let scheme = refused("http://10.0.0.1", &[]);
        assert!(
            scheme.contains("--host") && scheme.contains("tcp://"),
            "{scheme}"
        );
        // Variables for TLS do not concern a socket.
        assert!(of_host("unix:///a.sock", &tls).is_ok());
    }

    #[test]
    fn certificates_of_the_environment_are_used_on_dockers_port_for_tls() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "").unwrap();
        let path = folder.path().display().to_string();
        let tls = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &path)];
        let place = of_host("tcp://10.0.0.1", &tls).unwrap();
        assert!(!place.is_open());
        assert!(
            matches!(place.engine(), config::Engine::Tcp { port: 2376, tls: Some(tls), .. }
                if tls.certificate.is_none())
        );
    }
}
