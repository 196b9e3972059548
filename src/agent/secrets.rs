//! Which secrets an agent derives its cluster from, and where they come from.

use std::path::{Path, PathBuf};

use skep_filters::auth::trim_secret;

use crate::agent::StartError;
use crate::config::{ClusterMode, Config, DEFAULT_SECRET_FILE, SecretSource};
use crate::platform;
use crate::trust::{Secret, SecretError};

/// The secrets to derive everything from; `swarm` is whether the engine is part
/// of one.
///
/// # Errors
/// If one is needed and missing, or one cannot be used.
pub fn all(config: &Config, swarm: bool) -> Result<Vec<Secret>, StartError> {
    let files = files(config);
    if !files.is_empty() {
        return files.iter().map(|file| read(file)).collect();
    }
    let clustered = match config.cluster.mode {
        ClusterMode::Auto => swarm,
        ClusterMode::On => true,
        ClusterMode::Off => false,
    };
    match portainers(config) {
        Some(Ok(secret)) => Ok(vec![secret]),
        Some(Err(error)) if clustered => Err(StartError::PortainerSecret(error)),
        None if clustered => Err(StartError::NoSecret),
        _ => Ok(vec![read(&own(&config.state_dir)?)?]),
    }
}

/// The secret that an agent of this configuration uses which runs already.
///
/// # Errors
/// If it cannot be used.
pub fn first(config: &Config) -> Result<Secret, StartError> {
    if let Some(file) = files(config).first() {
        return read(file);
    }
    match portainers(config) {
        Some(Ok(secret)) => Ok(secret),
        _ => read(&config.state_dir.join("secret")),
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

/// Portainer's `AGENT_SECRET`, if it is good enough for a cluster: who sees one
/// request of the server can try secrets until one fits.
fn portainers(config: &Config) -> Option<Result<Secret, SecretError>> {
    Some(match config.cluster.portainer_secret.as_ref()? {
        SecretSource::Given(secret) => Secret::from_bytes(trim_secret(secret.expose())),
        SecretSource::File(path) => Secret::read(path).map(|(secret, _)| secret),
    })
}

fn read(path: &Path) -> Result<Secret, StartError> {
    let (secret, warning) = Secret::read(path).map_err(|error| StartError::Secret {
        path: path.to_owned(),
        error,
    })?;
    if let Some(warning) = warning {
        log::warn!("{warning}");
    }
    Ok(secret)
}

/// A secret of this host's own, made at the first start.
fn own(folder: &Path) -> Result<PathBuf, StartError> {
    let path = folder.join("secret");
    if !path.exists() {
        let secret = Secret::generate().map_err(|e| StartError::Trust(e.to_string()))?;
        platform::write_private(&path, secret.as_bytes()).map_err(|error| StartError::State {
            path: path.clone(),
            error,
        })?;
        log::info!("made a secret for this host: {}", path.display());
    }
    let shown = path.display();
    log::info!(
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
    fn portainer_s_secret_is_the_cluster_s_if_it_is_good_enough() {
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
    fn a_guessable_one_is_refused_in_a_swarm_and_replaced_outside_of_one() {
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
    fn a_secret_of_the_cluster_s_own_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), b"hunter2");
        let file = folder.path().join("cluster");
        platform::write_private(&file, GOOD).unwrap();
        config.cluster.secret_files = vec![file];
        assert_eq!(all(&config, true).unwrap()[0].expose(), GOOD);
        assert_eq!(first(&config).unwrap().expose(), GOOD);
    }
}
