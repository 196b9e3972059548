//! Opens the folder beneath which paths are resolved: a volume's or the host's.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use http::StatusCode;
use pingora::{Error, ErrorType};
use serde::Deserialize;
use skep_filters::policy::Guarded;
use tokio::time::timeout;

use super::{Problem, name, work};
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::exchange::reject::Reject;
use crate::upstream::client::Budget;
use crate::upstream::request;
use crate::upstream::request::escape;

/// Where the host's file system may be mounted.
const HOST: &str = "/host";

/// Bounds one inspect.
const INSPECT: usize = 1 << 20;

/// A volume's driver may have to call other machines before the engine answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open folder; no path beneath it leads out.
pub(super) struct Root {
    /// The folder.
    pub(super) dir: Arc<Dir>,
    /// Another folder to store a file in until its target is known; none if all
    /// targets are on one file system, as in a volume.
    pub(super) spare: Option<PathBuf>,
    /// The prefix of callers' paths.
    under: Option<PathBuf>,
    /// The objects of agents, which the caller does not reach; none if it may.
    guarded: Option<Arc<Guarded>>,
}

impl Root {
    /// The host's files; callers' paths begin with `folder`.
    ///
    /// # Errors
    /// If the folder cannot be opened.
    pub(super) async fn of_host(folder: PathBuf, spare: &Path) -> Result<Self, Problem> {
        let path = folder.clone();
        let dir = work::run(move || {
            let opened = Dir::open_ambient_dir(&path, ambient_authority());
            opened.map_err(Problem::io(&path.display().to_string()))
        });
        Ok(Self {
            dir: Arc::new(dir.await?),
            spare: Some(spare.to_owned()),
            under: Some(folder),
            guarded: None,
        })
    }

    /// The same without the folders of these objects.
    pub(super) fn without(self, guarded: Option<Arc<Guarded>>) -> Self {
        Self { guarded, ..self }
    }

    /// Refuses to change a path that leads to a secret of an agent.
    ///
    /// # Errors
    /// [`Problem::Guarded`].
    pub(super) fn may_change(&self, beneath: &Path) -> Result<(), Problem> {
        self.unless(beneath, Guarded::touches)
    }

    /// Links are not followed here.
    fn unless(&self, beneath: &Path, is: fn(&Guarded, &str) -> bool) -> Result<(), Problem> {
        let (Some(guarded), Some(_)) = (&self.guarded, &self.under) else {
            return Ok(());
        };
        let path = Path::new("/").join(beneath);
        match path.to_str().is_some_and(|path| is(guarded, path)) {
            true => Err(Problem::Guarded),
            false => Ok(()),
        }
    }

    /// Turns a caller's path into one beneath the folder.
    ///
    /// # Errors
    /// If it does not lie beneath.
    pub(super) fn path(&self, requested: &str) -> Result<PathBuf, Problem> {
        let Some(under) = &self.under else {
            return name::relative(requested);
        };
        let outside = || Problem::NotOfTheHost(under.clone());
        // Compared part by part: `/hostile` is not under `/host`.
        let path = name::relative(requested)?;
        let whole = Path::new("/").join(path);
        let beneath = whole.strip_prefix(under).map_err(|_| outside())?;
        self.unless(beneath, Guarded::covers)?;
        Ok(beneath.to_owned())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    #[serde(default)]
    name: String,
    #[serde(default)]
    mountpoint: PathBuf,
}

/// The files of one of the engine's volumes.
///
/// # Errors
/// If the engine has no such volume, or this container cannot see its files.
pub(super) async fn of_volume(context: &Context, volume: &str) -> Result<Root, Reject> {
    let found = inspect(context, volume).await?;
    // The engine may accept other spellings of a name; only the exact one counts.
    if found.name != volume {
        return Err(Problem::NoVolume(volume.to_owned()).into());
    }
    let folder = found.mountpoint;
    if !folder.is_absolute() {
        return Err(Problem::NotMounted(volume.to_owned()).into());
    }
    let volume = volume.to_owned();
    let dir = work::run(move || match open(&folder, Path::new(HOST)) {
        Ok(dir) => Ok(dir),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Problem::Unseen { volume, folder }),
        Err(e) => Err(Problem::io(&folder.display().to_string())(e)),
    });
    Ok(Root {
        dir: Arc::new(dir.await?),
        spare: None,
        under: None,
        guarded: None,
    })
}

/// Opens the folder at the engine's path, else at that path beneath the host's
/// mount. The engine has resolved all symlinks in the path.
fn open(folder: &Path, host: &Path) -> io::Result<Dir> {
    match Dir::open_ambient_dir(folder, ambient_authority()) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let beneath: PathBuf = folder.iter().skip(1).collect();
    Dir::open_ambient_dir(host, ambient_authority())?.open_dir(beneath)
}

async fn inspect(context: &Context, volume: &str) -> Result<Volume, Reject> {
    if !name::is_name(volume.as_ref()) || volume.contains(['/', '\\']) {
        let why = format!("{volume:?} is not a volume's name");
        return Err(Problem::request(why).into());
    }
    let call = async {
        let head = request::get(&format!("/volumes/{}", escape(volume)))?;
        let peer = context.engine.peer().await?;
        let budget = Budget::one(INSPECT);
        context.client.fetch(&peer, head, &budget).await
    };
    let failed = |e: Box<Error>| context.failed(&Hop::Engine, &e);
    let slow = |_| Error::explain(ErrorType::ReadTimedout, "it did not answer in time");
    let answer = timeout(PATIENCE, call).await.map_err(slow);
    let answer = answer
        .and_then(|answer| answer)
        .map_err(|e| failed(e.into_up()))?;
    match answer.head.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(Problem::NoVolume(volume.to_owned()).into()),
        other => {
            let error = Error::explain(
                ErrorType::HTTPStatus(other.as_u16()),
                format!("it answered {other} when asked for volume {volume}"),
            );
            return Err(failed(error.into_up()));
        }
    }
    serde_json::from_slice(&answer.body).map_err(|e| Reject::Internal(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_opened_at_the_engines_path_or_beneath_the_hosts_mount() {
        let here = tempfile::tempdir().unwrap();
        let host = tempfile::tempdir().unwrap();
        let folder = here.path().join("v");
        let missing = open(&folder, host.path()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);

        let beneath: PathBuf = folder.iter().skip(1).collect();
        let there = host.path().join(beneath);
        std::fs::create_dir_all(&there).unwrap();
        std::fs::write(there.join("there"), "").unwrap();
        assert!(open(&folder, host.path()).unwrap().exists("there"));

        std::fs::create_dir(&folder).unwrap();
        assert!(!open(&folder, host.path()).unwrap().exists("there"));
    }

    #[tokio::test]
    async fn paths_of_the_host_begin_with_its_mount() {
        let host = tempfile::tempdir().unwrap();
        let shown = host.path().to_str().unwrap();
        let spare = Path::new("/none");
        let root = Root::of_host(host.path().to_owned(), spare);
        let root = root.await.unwrap();
        assert_eq!(
            root.path(&format!("{shown}/etc")).unwrap(),
            Path::new("etc")
        );
        assert_eq!(root.path(shown).unwrap(), Path::new(""));
        for outside in ["/", "/etc/passwd", &format!("{shown}ile/x")] {
            assert_eq!(root.path(outside).unwrap_err().status(), 403, "{outside}");
        }
        let up = format!("{shown}/../etc");
        assert_eq!(root.path(&up).unwrap_err().status(), 400);
    }

    #[tokio::test]
    async fn the_secrets_of_an_agent_are_neither_read_nor_moved() {
        let host = tempfile::tempdir().unwrap();
        let shown = host.path().to_str().unwrap();
        let root = Root::of_host(host.path().to_owned(), Path::new("/none"));
        let guarded = Guarded {
            paths: vec!["/srv/skep".to_owned()],
            ..Guarded::default()
        };
        let root = root.await.unwrap().without(Some(Arc::new(guarded)));
        for (path, readable, changeable) in [
            ("srv/skep/secret", false, false),
            ("srv/skep", false, false),
            ("srv/./skep", false, false),
            ("srv", true, false),
            ("srv/other", true, true),
        ] {
            let read = root.path(&format!("{shown}/{path}"));
            assert_eq!(read.is_ok(), readable, "{path}");
            let changed = root.may_change(Path::new(path));
            assert_eq!(changed.is_ok(), changeable, "{path}");
        }
    }
}
