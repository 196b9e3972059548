//! Finds the secrets from which an agent derives the cluster's keys: in files, in
//! Portainer's `AGENT_SECRET`, or one generated for a host outside of a Swarm.

use std::io;
use std::path::{Path, PathBuf};

use skep_filters::auth::trim_secret;

use crate::config::{ClusterMode, Config, DEFAULT_SECRET_FILE, SecretSource};
use crate::platform;
use crate::trust::{Secret, SecretError, SecretFileError, TrustError};

/// The file of a host's own secret, in the state folder.
const HOST_SECRET: &str = "secret";

/// Why the cluster has no valid secret.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub enum SecretsError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("cannot make a secret for this host: {0}")]
    Generate(TrustError),
    #[error("a new secret is not usable: {0}")]
    Made(#[from] SecretError),
    #[error(
        "this node is part of a Swarm, but no cluster secret is given.\n\
         Agents trust each other through one shared secret. Make one and deploy:\n\n  \
         openssl rand -base64 32 | docker secret create skep_secret -\n  \
         docker stack deploy -c docker/stack.yml skep\n\n\
         (or name a file: cluster.secret_file)"
    )]
    Missing,
    #[error(
        "this node is part of a Swarm, and AGENT_SECRET is the only secret that the agents share; \
         it is too weak for that: {0}.\n\
         Set a longer one on the server and on all agents, or give the agents a secret of their own:\n\n  \
         openssl rand -base64 32 | docker secret create skep_secret -\n\n\
         (and list it under `secrets:` of the service)"
    )]
    Portainer(PortainerSecretError),
    #[error(
        "{}: cannot keep the secret that was generated for this host: {error}. The agent does not \
         start, since its next start would make another one: free space in the folder, or name one \
         that can be written (state_dir)", path.display()
    )]
    Store { path: PathBuf, error: io::Error },
}

/// Why Portainer's `AGENT_SECRET` cannot protect a cluster.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[allow(missing_docs)] // The messages say it.
pub enum PortainerSecretError {
    File(#[from] SecretFileError),
    Value(#[from] SecretError),
}

/// All secrets of this configuration; `swarm` says whether the engine is part of
/// a Swarm.
///
/// # Errors
/// A required secret is missing, or a secret is invalid.
pub(crate) fn all(config: &Config, swarm: bool) -> Result<Vec<Secret>, SecretsError> {
    let files = files(config);
    if !files.is_empty() {
        return files.iter().map(|file| read(file)).collect();
    }
    let clustered = match config.cluster.mode {
        ClusterMode::Auto => swarm,
        ClusterMode::On => true,
        ClusterMode::Off => false,
    };
    match portainer_secret(config) {
        Some(Ok(secret)) => Ok(vec![secret]),
        // Nobody can use one where nothing serves HTTPS.
        None if !clustered && config.listen.is_empty() => {
            let made = Secret::generate().map_err(SecretsError::Generate)?;
            Ok(vec![Secret::from_bytes(made.as_bytes())?])
        }
        Some(Err(error)) if clustered => Err(SecretsError::Portainer(error)),
        None if clustered => Err(SecretsError::Missing),
        Some(Err(_)) | None => Ok(vec![read(&host_secret(&config.state_dir)?)?]),
    }
}

/// The secret that a running agent of this configuration prefers.
///
/// # Errors
/// The secret is missing or invalid.
pub(crate) fn first(config: &Config) -> Result<Secret, SecretsError> {
    if let Some(file) = files(config).first() {
        return read(file);
    }
    match portainer_secret(config) {
        Some(Ok(secret)) => Ok(secret),
        Some(Err(_)) | None => read(&config.state_dir.join(HOST_SECRET)),
    }
}

fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = config.cluster.secret_files.clone();
    let default = Path::new(DEFAULT_SECRET_FILE);
    if files.is_empty() && default.exists() {
        files.push(default.to_owned());
    }
    files
}

/// Portainer's `AGENT_SECRET`, held to the rules for a cluster's secret: an
/// observer of one signed request could guess a weak one offline.
fn portainer_secret(config: &Config) -> Option<Result<Secret, PortainerSecretError>> {
    Some(match config.cluster.portainer_secret.as_ref()? {
        SecretSource::Given(secret) => {
            Secret::from_bytes(trim_secret(secret.expose())).map_err(Into::into)
        }
        SecretSource::File(path) => Secret::read(path)
            .map(|(secret, _)| secret)
            .map_err(Into::into),
    })
}

fn read(path: &Path) -> Result<Secret, SecretsError> {
    let (secret, warning) = Secret::read(path)?;
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    Ok(secret)
}

/// The file with this host's own secret, generated at the first start.
fn host_secret(state_dir: &Path) -> Result<PathBuf, SecretsError> {
    let path = state_dir.join(HOST_SECRET);
    let shown = path.display();
    let store = |error| SecretsError::Store {
        path: path.clone(),
        error,
    };
    // A file that cannot be seen is not a missing one.
    if !path.try_exists().map_err(store)? {
        let secret = Secret::generate().map_err(SecretsError::Generate)?;
        match platform::write_private(&path, secret.as_bytes()) {
            // Another agent was faster: its secret is the host's.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            written => written.map_err(store)?,
        }
        tracing::info!("made a secret for this host: {shown}");
    }
    tracing::info!(
        "to use it: skep connect --to https://localhost:9001 --secret-file {shown} --context skep"
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hidden;

    const GOOD: &[u8] = b"Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG";

    fn config(folder: &Path, secret: &[u8]) -> Config {
        let mut config = Config {
            state_dir: folder.to_owned(),
            ..Config::default()
        };
        config.cluster.portainer_secret = Some(SecretSource::Given(Hidden::new(secret.to_vec())));
        config
    }

    #[test]
    fn a_strong_portainer_secret_is_the_secret_of_the_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), GOOD);
        for swarm in [true, false] {
            let secrets = all(&config, swarm).unwrap();
            assert_eq!(secrets[0].expose(), GOOD, "{swarm}");
        }
        assert_eq!(first(&config).unwrap().expose(), GOOD);
        assert!(!folder.path().join("secret").exists());
    }

    #[test]
    fn an_agent_without_https_needs_no_secret_and_writes_none() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            state_dir: folder.path().join("read-only"),
            listen: Vec::new(),
            ..Config::default()
        };
        assert_eq!(all(&config, false).unwrap().len(), 1);
        assert!(!config.state_dir.exists());
        assert!(matches!(all(&config, true), Err(SecretsError::Missing)));
    }

    #[test]
    fn a_weak_portainer_secret_is_refused_in_a_swarm_and_replaced_outside_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), b"hunter2");
        let error = all(&config, true).unwrap_err().to_string();
        assert!(
            error.contains("AGENT_SECRET") && !error.contains("hunter2"),
            "{error}"
        );
        let secrets = all(&config, false).unwrap();
        assert_eq!(first(&config).unwrap().expose(), secrets[0].expose());
    }

    #[test]
    fn an_agent_that_cannot_keep_its_secret_does_not_start_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        // In place of the folder there is a file.
        std::fs::write(&state, "").unwrap();
        let config = Config {
            state_dir: state.clone(),
            ..Config::default()
        };
        for _ in 0..2 {
            let error = all(&config, false).map(|_| ()).unwrap_err();
            assert!(matches!(error, SecretsError::Store { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains("does not start"), "{error}");
        }
        std::fs::remove_file(&state).unwrap();
        let made = all(&config, false).unwrap();
        assert_eq!(all(&config, false).unwrap()[0].expose(), made[0].expose());
    }

    #[test]
    fn a_secret_file_takes_precedence_over_the_portainer_secret() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), b"hunter2");
        let file = folder.path().join("cluster");
        platform::write_private(&file, GOOD).unwrap();
        config.cluster.secret_files = vec![file];
        assert_eq!(all(&config, true).unwrap()[0].expose(), GOOD);
        assert_eq!(first(&config).unwrap().expose(), GOOD);
    }
}
