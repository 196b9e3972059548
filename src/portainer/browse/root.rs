//! What paths are resolved beneath: the folder of a volume, or of the host.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use http::StatusCode;
use pingora::{Error, ErrorType};
use serde::Deserialize;
use tokio::time::timeout;

use super::{Problem, name, work};
use crate::cluster::hop::Hop;
use crate::exchange::context::Context;
use crate::exchange::reject::Reject;
use crate::upstream::client::Budget;
use crate::upstream::request;
use crate::upstream::request::escape;

/// Where the host's file system is mounted, if it is at all.
const HOST: &str = "/host";

/// Bounds one inspect.
const INSPECT: usize = 1 << 20;

/// A volume's driver may have to ask around before the engine answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open folder that nothing leads out of.
pub(super) struct Root {
    /// The folder.
    pub(super) dir: Arc<Dir>,
    /// Where else a file may wait whose place beneath is not known yet; none if
    /// all that is beneath is on one file system, as in a volume.
    pub(super) spare: Option<PathBuf>,
    /// What the callers' paths begin with.
    under: Option<PathBuf>,
}

impl Root {
    /// The host's files, whose paths begin with where they are mounted.
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
        })
    }

    /// The path beneath the folder that a caller means.
    ///
    /// # Errors
    /// If it does not lie beneath.
    pub(super) fn path(&self, asked: &str) -> Result<PathBuf, Problem> {
        let Some(under) = &self.under else {
            return name::relative(asked);
        };
        let outside = || Problem::NotOfTheHost(under.clone());
        // Absolute, and read part by part: `/hostile` is not under `/host`.
        let path = name::relative(asked)?;
        let whole = Path::new("/").join(path);
        let beneath = whole.strip_prefix(under).map_err(|_| outside())?;
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

/// The files of a volume that the engine has.
///
/// # Errors
/// If it has none of that name, or its files are not to be seen from here.
pub(super) async fn of_volume(context: &Context, volume: &str) -> Result<Root, Reject> {
    let found = inspect(context, volume).await?;
    // The engine's word counts: what it does not call so is not browsed.
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
    })
}

/// The folder as the engine calls it, else as it is called beneath the host's
/// mount. There the engine's path has no symlinks: it has resolved them.
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
    let asked = async {
        let head = request::get(&format!("/volumes/{}", escape(volume)))?;
        let peer = context.engine.peer().await?;
        let budget = Budget::one(INSPECT);
        context.client.fetch(&peer, head, &budget).await
    };
    let failed = |e: Box<Error>| context.failed(&Hop::Engine, &e);
    let slow = |_| Error::explain(ErrorType::ReadTimedout, "it takes too long");
    let answer = timeout(PATIENCE, asked).await.map_err(slow);
    let answer = answer
        .and_then(|answer| answer)
        .map_err(|e| failed(e.into_up()))?;
    match answer.head.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(Problem::NoVolume(volume.to_owned()).into()),
        other => {
            let said = Error::explain(
                ErrorType::HTTPStatus(other.as_u16()),
                format!("it answered {other} when asked for volume {volume}"),
            );
            return Err(failed(said.into_up()));
        }
    }
    serde_json::from_slice(&answer.body).map_err(|e| Reject::Internal(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_found_where_the_engine_says_or_beneath_the_hosts_mount() {
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
    async fn the_hosts_paths_begin_with_where_it_is_mounted() {
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
}
