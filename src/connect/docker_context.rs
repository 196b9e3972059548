//! Reads and writes the contexts of the docker CLI on the operator's machine, as its
//! own store lays them out (docker/cli, `cli/context/store`): the folder of a context
//! has the SHA-256 of its name.
//!
//! A new context is whole or not there at all. Only its owner may read its files.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::platform;

/// The endpoint of a context that the docker CLI uses.
const ENDPOINT: &str = "docker";

/// The context that means `DOCKER_HOST` or the local socket; it has no files.
const DEFAULT: &str = "default";

const CA: &str = "ca.pem";
const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";

/// The name of a context.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ContextName(String);

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say it.
pub(crate) enum ContextError {
    #[error("the docker CLI has no folder here: set HOME or DOCKER_CONFIG")]
    NoFolder,
    #[error(
        "the docker context {0} exists already: remove it (`docker context rm {0}`), or choose \
         another name"
    )]
    Exists(ContextName),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{}: cannot be read as the docker CLI writes it: {error}", path.display())]
    Form {
        path: PathBuf,
        error: serde_json::Error,
    },
    #[error("the docker context {0} has no address of an engine")]
    NoEndpoint(ContextName),
}

/// A context to write.
pub(crate) struct NewContext<'a> {
    pub(crate) name: ContextName,
    pub(crate) description: &'a str,
    /// The address, as in `DOCKER_HOST`.
    pub(crate) host: &'a str,
    pub(crate) tls: ContextTls<'a>,
}

/// The texts of the files for TLS, in PEM.
pub(crate) struct ContextTls<'a> {
    pub(crate) ca: &'a str,
    pub(crate) cert: &'a str,
    pub(crate) key: &'a str,
}

/// A context that is there.
#[derive(Debug)]
pub(crate) struct StoredContext {
    /// The address, as in `DOCKER_HOST`.
    pub(crate) host: String,
    /// Whether the CLI accepts any certificate of the engine.
    pub(crate) skips_verification: bool,
    /// The files for TLS that exist.
    pub(crate) tls: ContextFiles,
}

/// The files for TLS of a context.
#[derive(Debug, Default)]
pub(crate) struct ContextFiles {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// Whether a context may take the place of one with its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Replace {
    Existing,
    Nothing,
}

/// The folder of the docker CLI.
pub(crate) struct ContextStore {
    folder: PathBuf,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    metadata: serde_json::Value,
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

#[derive(Default, Deserialize)]
struct CliConfig {
    #[serde(default, rename = "currentContext")]
    current_context: String,
}

impl ContextName {
    pub(crate) fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// The name of the folders of the context.
    fn folder(&self) -> String {
        HEXLOWER.encode(digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref())
    }
}

impl FromStr for ContextName {
    type Err = String;

    /// The docker CLI's rule (`restrictedNamePattern`).
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() > 1 && text.chars().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "`{text}` is not the name of a docker context: 2 or more letters, digits, `_`, `.`, \
             `+` and `-`, the first a letter or digit"
        ))
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ContextStore {
    /// The store of this user: `DOCKER_CONFIG`, or `.docker` in the home folder.
    ///
    /// # Errors
    /// Neither is set.
    pub(crate) fn of_user() -> Result<Self, ContextError> {
        let named = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty());
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
        let folder = named.map(PathBuf::from).or_else(home);
        folder.map(Self::at).ok_or(ContextError::NoFolder)
    }

    /// The store in this folder.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder of the docker CLI.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The context that the CLI uses without `--context` and without a variable; `None`
    /// for the default one.
    ///
    /// # Errors
    /// The CLI's configuration cannot be read.
    pub(crate) fn current(&self) -> Result<Option<String>, ContextError> {
        let path = self.folder.join("config.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ContextError::File { path, error }),
        };
        let config: CliConfig = match serde_json::from_slice(&bytes) {
            Ok(config) => config,
            Err(error) => return Err(ContextError::Form { path, error }),
        };
        let named = config.current_context;
        Ok((!named.is_empty() && named != DEFAULT).then_some(named))
    }

    /// The context with this name; `None` if there is none.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub(crate) fn find(&self, name: &ContextName) -> Result<Option<StoredContext>, ContextError> {
        let path = self.meta(name).join("meta.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ContextError::File { path, error }),
        };
        let mut meta: Meta = match serde_json::from_slice(&bytes) {
            Ok(meta) => meta,
            Err(error) => return Err(ContextError::Form { path, error }),
        };
        let endpoint = meta.endpoints.remove(ENDPOINT);
        let endpoint = endpoint.filter(|endpoint| !endpoint.host.is_empty());
        let endpoint = endpoint.ok_or_else(|| ContextError::NoEndpoint(name.clone()))?;
        Ok(Some(StoredContext {
            host: endpoint.host,
            skips_verification: endpoint.skip_tls_verify,
            tls: ContextFiles::of(&self.tls(name).join(ENDPOINT)),
        }))
    }

    /// Writes a context with TLS.
    ///
    /// # Errors
    /// A context with the name exists and is not to be replaced, or the disk does not
    /// keep the files. Then the store is as it was.
    pub(crate) fn write(&self, new: &NewContext<'_>, replace: Replace) -> Result<(), ContextError> {
        let name = &new.name;
        let (meta, tls) = (self.meta(name), self.tls(name));
        let exists = exists(&meta) || exists(&tls);
        if name.is_default() || (replace == Replace::Nothing && exists) {
            return Err(ContextError::Exists(name.clone()));
        }
        let root = self.folder.join("contexts");
        let staging = Staging(root.join(random_name().map_err(at(&root))?));
        let [new_meta, new_tls, old_meta, old_tls] =
            ["meta", "tls", "old-meta", "old-tls"].map(|part| staging.0.join(part));
        let write = |path: PathBuf, text: &[u8]| {
            platform::write_private(&path, text).map_err(|error| ContextError::File { path, error })
        };
        for (file, text) in [(CA, new.tls.ca), (CERT, new.tls.cert), (KEY, new.tls.key)] {
            write(new_tls.join(ENDPOINT).join(file), text.as_bytes())?;
        }
        write(new_meta.join("meta.json"), &Meta::of(new).written(&meta)?)?;
        for folder in [&meta, &tls] {
            let parent = folder.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        // The CLI reads a context from its `meta`, so that comes last. What has been
        // moved goes back if the next one fails.
        let mut done: Vec<(&Path, &Path)> = Vec::new();
        let moves: [(&Path, &Path); 4] = [
            (&meta, &old_meta),
            (&tls, &old_tls),
            (&new_tls, &tls),
            (&new_meta, &meta),
        ];
        for (from, to) in moves {
            match std::fs::rename(from, to) {
                Ok(()) => done.push((from, to)),
                Err(e) if e.kind() == io::ErrorKind::NotFound && to.starts_with(&staging.0) => {}
                Err(error) => {
                    for (from, to) in done.into_iter().rev() {
                        let _ = std::fs::rename(to, from);
                    }
                    return Err(at(to)(error));
                }
            }
        }
        Ok(())
    }

    /// Removes a context. One that is not there is no error.
    ///
    /// # Errors
    /// A folder cannot be removed.
    pub(crate) fn remove(&self, name: &ContextName) -> Result<(), ContextError> {
        for folder in [self.meta(name), self.tls(name)] {
            match std::fs::remove_dir_all(&folder) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&folder)(e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn meta(&self, name: &ContextName) -> PathBuf {
        self.folder.join("contexts/meta").join(name.folder())
    }

    fn tls(&self, name: &ContextName) -> PathBuf {
        self.folder.join("contexts/tls").join(name.folder())
    }
}

impl ContextFiles {
    /// The files of this folder, also of a `DOCKER_CERT_PATH`.
    pub(crate) fn of(folder: &Path) -> Self {
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        Self {
            ca: file(CA),
            cert: file(CERT),
            key: file(KEY),
        }
    }
}

impl Meta {
    fn of(new: &NewContext<'_>) -> Self {
        let endpoint = Endpoint {
            host: new.host.to_owned(),
            skip_tls_verify: false,
        };
        Self {
            name: new.name.0.clone(),
            metadata: serde_json::json!({ "Description": new.description }),
            endpoints: BTreeMap::from([(ENDPOINT.to_owned(), endpoint)]),
        }
    }

    fn written(&self, path: &Path) -> Result<Vec<u8>, ContextError> {
        let path = path.to_owned();
        serde_json::to_vec(self).map_err(|error| ContextError::Form { path, error })
    }
}

/// A folder in which a context is prepared; it goes with this.
struct Staging(PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ContextError + use<> {
    let path = path.to_owned();
    move |error| ContextError::File { path, error }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn random_name() -> io::Result<String> {
    let mut random = [0; 8];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| io::Error::other("the system gives no random number"))?;
    Ok(format!(".{:016x}.new", u64::from_ne_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ContextName {
        text.parse().unwrap()
    }

    fn new<'a>(of: &str, host: &'a str, key: &'a str) -> NewContext<'a> {
        NewContext {
            name: name(of),
            description: "a cluster",
            host,
            tls: ContextTls {
                ca: "the CA",
                cert: "the certificate",
                key,
            },
        }
    }

    fn store() -> (tempfile::TempDir, ContextStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ContextStore::at(folder.path().join("docker"));
        (folder, store)
    }

    /// All files of the store, by their paths.
    fn files(store: &ContextStore) -> BTreeMap<String, String> {
        fn add(folder: &Path, root: &Path, all: &mut BTreeMap<String, String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    add(&path, root, all);
                } else {
                    let short = path.strip_prefix(root).unwrap().display().to_string();
                    all.insert(short, std::fs::read_to_string(&path).unwrap());
                }
            }
        }
        let mut all = BTreeMap::new();
        add(store.folder(), store.folder(), &mut all);
        all
    }

    /// The folder is `printf skep | sha256sum`.
    #[test]
    fn a_context_has_the_files_that_the_docker_cli_reads() {
        let (_folder, store) = store();
        let context = new("skep", "tcp://10.0.0.1:9001", "the key");
        store.write(&context, Replace::Nothing).unwrap();
        let hash = "034bfc5a1c16d7fa094bd823438870cc22deb6f9b991838a69af16231bdc6b72";
        let files = files(&store);
        let expected = [
            format!("contexts/meta/{hash}/meta.json"),
            format!("contexts/tls/{hash}/docker/ca.pem"),
            format!("contexts/tls/{hash}/docker/cert.pem"),
            format!("contexts/tls/{hash}/docker/key.pem"),
        ];
        assert_eq!(files.keys().cloned().collect::<Vec<_>>(), expected);
        let meta: serde_json::Value = serde_json::from_str(&files[&expected[0]]).unwrap();
        let wanted = serde_json::json!({
            "Name": "skep",
            "Metadata": { "Description": "a cluster" },
            "Endpoints": { "docker": { "Host": "tcp://10.0.0.1:9001", "SkipTLSVerify": false } },
        });
        assert_eq!(meta, wanted);
        assert!(!platform::readable_by_others(
            &store.folder().join(&expected[3])
        ));
        let found = store.find(&name("skep")).unwrap().unwrap();
        assert_eq!(found.host, "tcp://10.0.0.1:9001");
        assert!(!found.skips_verification);
        let key = found.tls.key.unwrap();
        assert_eq!(std::fs::read_to_string(key).unwrap(), "the key");
    }

    #[test]
    fn an_existing_context_is_replaced_only_where_that_is_meant() {
        let (_folder, store) = store();
        let (one, other) = (new("ab", "tcp://a:1", "1"), new("ab", "tcp://b:2", "2"));
        store.write(&one, Replace::Nothing).unwrap();
        let before = files(&store);
        let refused = store.write(&other, Replace::Nothing).unwrap_err();
        assert!(matches!(refused, ContextError::Exists(_)), "{refused}");
        assert_eq!(files(&store), before);
        store.write(&other, Replace::Existing).unwrap();
        let after = files(&store);
        assert_eq!(after.len(), 4, "nothing else is left");
        assert!(after.values().any(|text| text == "2"));
        assert!(!after.values().any(|text| text == "1"));
    }

    #[test]
    fn the_default_context_is_never_written() {
        let (_folder, store) = store();
        let context = new("default", "tcp://a:1", "1");
        assert!(store.write(&context, Replace::Existing).is_err());
        assert!(files(&store).is_empty());
    }

    #[test]
    fn a_context_that_cannot_be_put_in_place_leaves_the_store_as_it_was() {
        let (_folder, store) = store();
        let one = new("ab", "tcp://a:1", "1");
        store.write(&one, Replace::Nothing).unwrap();
        let before = files(&store);
        // A file is where the folders of new contexts go.
        let tls = store.folder().join("contexts/tls");
        std::fs::rename(&tls, store.folder().join("kept")).unwrap();
        std::fs::write(&tls, "").unwrap();
        store
            .write(&new("ab", "tcp://b:2", "2"), Replace::Existing)
            .unwrap_err();
        std::fs::remove_file(&tls).unwrap();
        std::fs::rename(store.folder().join("kept"), &tls).unwrap();
        assert_eq!(files(&store), before);
    }

    #[test]
    fn a_removed_context_is_gone_and_another_one_stays() {
        let (_folder, store) = store();
        for of in ["ab", "cd"] {
            store
                .write(&new(of, "tcp://a:1", of), Replace::Nothing)
                .unwrap();
        }
        store.remove(&name("ab")).unwrap();
        store.remove(&name("ab")).unwrap();
        assert!(store.find(&name("ab")).unwrap().is_none());
        assert!(store.find(&name("cd")).unwrap().is_some());
        assert_eq!(files(&store).len(), 4);
    }

    #[test]
    fn the_current_context_is_that_of_the_clis_configuration() {
        let (_folder, store) = store();
        assert_eq!(store.current().unwrap(), None);
        std::fs::create_dir_all(store.folder()).unwrap();
        for (text, expected) in [
            ("{}", None),
            (r#"{"currentContext":"default"}"#, None),
            (r#"{"auths":{},"currentContext":"far"}"#, Some("far")),
        ] {
            std::fs::write(store.folder().join("config.json"), text).unwrap();
            assert_eq!(store.current().unwrap().as_deref(), expected, "{text}");
        }
        std::fs::write(store.folder().join("config.json"), "{").unwrap();
        assert!(store.current().is_err());
    }

    #[test]
    fn a_name_is_one_that_the_docker_cli_takes() {
        for good in ["skep", "my-cluster_1.2+x", "9a"] {
            assert!(good.parse::<ContextName>().is_ok(), "{good}");
        }
        for bad in ["", "a", "-ab", "a b", "a/b", "..", "ä1"] {
            assert!(bad.parse::<ContextName>().is_err(), "{bad}");
        }
    }
}
