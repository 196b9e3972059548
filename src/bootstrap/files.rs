//! The files of the operator on this machine: the private key, the CA of the cluster,
//! and the docker context. Only the operator may read them.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::options::Options;
use crate::connect::docker_context::{ContextError, ContextName, ContextStore};
use crate::trust::OperatorKey;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum FilesError {
    #[error("there is no folder for the operator's key: set HOME, or name a file with --key-file")]
    NoFolder,
    #[error("the name of the cluster cannot be that of a docker context: {0}")]
    Name(String),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error(
        "{}: holds no private Ed25519 key in PEM, as `openssl genpkey -algorithm ed25519` writes it",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error(transparent)]
    Context(#[from] ContextError),
}

/// Where the files are.
pub(super) struct Files {
    /// The folder of this cluster.
    folder: PathBuf,
    pub(super) key: PathBuf,
    /// Whether the key is in the folder of the cluster.
    key_is_ours: bool,
    pub(super) ca: PathBuf,
    pub(super) store: ContextStore,
    pub(super) context: ContextName,
}

impl Files {
    /// The files of this user.
    ///
    /// # Errors
    /// The user has no home folder.
    pub(super) fn of_user(options: &Options) -> Result<Self, FilesError> {
        let named = std::env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty());
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
        let configs = named.map(PathBuf::from).or_else(home);
        let configs = configs.ok_or(FilesError::NoFolder)?;
        Self::at(&configs, ContextStore::of_user()?, options)
    }

    pub(super) fn at(
        configs: &Path,
        store: ContextStore,
        options: &Options,
    ) -> Result<Self, FilesError> {
        let folder = configs.join("skep").join(options.name.as_str());
        let own_key = folder.join("operator.pem");
        Ok(Self {
            key: options.key_file.clone().unwrap_or_else(|| own_key.clone()),
            key_is_ours: options.key_file.is_none(),
            ca: folder.join("ca.pem"),
            folder,
            store,
            context: options.name.as_str().parse().map_err(FilesError::Name)?,
        })
    }

    /// The operator's key, if its file exists.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub(super) fn key(&self) -> Result<Option<OperatorKey>, FilesError> {
        let path = self.key.clone();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FilesError::File { path, error }),
        };
        let key = OperatorKey::read(&text);
        key.map(Some).ok_or(FilesError::NoKey(path))
    }

    /// Whether the docker context is that of this cluster: it has the CA of the file.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn context_is_ours(&self) -> Result<bool, FilesError> {
        let stored = self.store.find(&self.context)?;
        let Some(ca) = stored.and_then(|stored| stored.tls.ca) else {
            return Ok(false);
        };
        let of_context = read(&ca)?;
        Ok(of_context.is_some() && of_context == read(&self.ca)?)
    }

    /// Removes the files that are the cluster's alone; returns what it was, in words.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub(super) fn remove(&self) -> Result<Vec<String>, FilesError> {
        let mut gone = Vec::new();
        if self.context_is_ours()? {
            self.store.remove(&self.context)?;
            gone.push(format!("the docker context {}", self.context));
        }
        let key = self.key_is_ours.then_some(&self.key);
        for path in [Some(&self.ca), key].into_iter().flatten() {
            match std::fs::remove_file(path) {
                Ok(()) => gone.push(path.display().to_string()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let path = path.clone();
                    return Err(FilesError::File { path, error });
                }
            }
        }
        self.remove_empty_folders();
        Ok(gone)
    }

    /// Removes the folder of the cluster, and that of all clusters, if they are empty.
    pub(super) fn remove_empty_folders(&self) {
        let folders = [Some(self.folder.as_path()), self.folder.parent()];
        for folder in folders.into_iter().flatten() {
            // One that holds something stays.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FilesError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let path = path.to_owned();
            Err(FilesError::File { path, error })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connect::docker_context::{ContextTls, NewContext, Replace};
    use crate::platform;

    fn files(folder: &Path, key_file: Option<PathBuf>) -> Files {
        let options = Options {
            name: "mine".parse().unwrap(),
            image: None,
            port: None,
            address: None,
            identity: "operator".to_owned(),
            contact: None,
            key_file,
            secret_file: None,
            with_registry_auth: false,
            patience: Duration::ZERO,
        };
        let store = ContextStore::at(folder.join("docker"));
        Files::at(&folder.join("config"), store, &options).unwrap()
    }

    fn write_context(files: &Files, ca: &str) {
        let tls = ContextTls {
            ca,
            cert: "c",
            key: "k",
        };
        let new = NewContext {
            name: files.context.clone(),
            description: "",
            host: "tcp://10.0.0.1:9001",
            tls,
        };
        files.store.write(&new, Replace::Existing).unwrap();
    }

    #[test]
    fn the_files_of_the_cluster_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.pem");
        platform::write_private(&other, b"x").unwrap();
        for (key_file, removed) in [(None, 3), (Some(other.clone()), 2)] {
            let files = files(folder.path(), key_file);
            platform::write_private(&files.ca, b"ca").unwrap();
            if files.key != other {
                platform::write_private(&files.key, b"x").unwrap();
            }
            write_context(&files, "ca");
            assert_eq!(files.remove().unwrap().len(), removed);
            assert!(other.exists());
            assert!(!folder.path().join("config/skep").exists());
            assert!(files.store.find(&files.context).unwrap().is_none());
        }
    }

    #[test]
    fn a_context_of_another_cluster_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), None);
        platform::write_private(&files.ca, b"ca").unwrap();
        write_context(&files, "another ca");
        assert!(!files.context_is_ours().unwrap());
        files.remove().unwrap();
        assert!(files.store.find(&files.context).unwrap().is_some());
    }

    #[test]
    fn a_file_without_a_key_is_an_error_and_no_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), None);
        assert!(files.key().unwrap().is_none());
        let key = OperatorKey::generate().unwrap();
        platform::write_private(&files.key, key.private_pem.as_bytes()).unwrap();
        assert_eq!(files.key().unwrap().unwrap().public_pem, key.public_pem);
        std::fs::write(&files.key, "x").unwrap();
        assert!(matches!(files.key(), Err(FilesError::NoKey(_))));
    }
}
