//! A file that comes into being at once: written under a temporary name beside
//! its place, brought to the disk, and then renamed. Until then nobody sees
//! it, and if it is not finished nothing of it stays.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::fs::{Dir, OpenOptions};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{Problem, name, work};
use crate::platform;

/// An upload on its way.
pub(super) struct Upload {
    file: File,
    place: Place,
}

/// The temporary file; it goes with this value.
struct Place {
    dir: Arc<Dir>,
    temporary: PathBuf,
    renamed: bool,
}

impl Upload {
    /// Begins one in a directory, which is made if need be.
    pub(super) async fn begin(dir: Arc<Dir>, folder: PathBuf) -> Result<Self, Problem> {
        let mut random = [0; 8];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| Problem::Internal("no random bytes".to_owned()))?;
        let temporary = format!(".skep-upload-{:016x}", u64::from_ne_bytes(random));
        work::run(move || {
            let shown = folder.display().to_string();
            let folder = made(&dir, &folder).map_err(Problem::io(&shown))?;
            let temporary = folder.join(temporary);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            let file = dir.open_with(&temporary, &options);
            let file = file.map_err(Problem::io(&shown))?;
            let place = Place {
                dir,
                temporary,
                renamed: false,
            };
            Ok(Self {
                file: File::from_std(file.into_std()),
                place,
            })
        })
        .await
    }

    /// Adds bytes.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await
    }

    /// Puts the file where it belongs, in place of what was there.
    pub(super) async fn finish(mut self, folder: PathBuf, name: String) -> Result<(), Problem> {
        self.file.flush().await.map_err(Problem::io(&name))?;
        let (file, place) = (self.file.into_std().await, self.place);
        work::run(move || place.rename(&file, &folder, &name)).await
    }
}

impl Place {
    fn rename(mut self, file: &std::fs::File, folder: &Path, name: &str) -> Result<(), Problem> {
        let io = || Problem::io(name);
        let dir = self.dir.clone();
        let folder = made(&dir, folder).map_err(io())?;
        let to = folder.join(name);
        let replaced = match dir.symlink_metadata(&to) {
            Ok(meta) if meta.is_dir() => {
                return Err(io()(io::ErrorKind::IsADirectory.into()));
            }
            Ok(meta) if meta.is_file() => {
                let mut options = OpenOptions::new();
                options.read(true).nonblock(true);
                dir.open_with(&to, &options).ok()
            }
            _ => None,
        };
        let replaced = replaced.map(cap_std::fs::File::into_std);
        platform::inherit(file, replaced.as_ref()).map_err(io())?;
        file.sync_all().map_err(io())?;
        dir.rename(&self.temporary, &dir, &to).map_err(io())?;
        self.renamed = true;
        // So that the name outlives a power cut too; not every system can.
        if let Ok(folder) = open(&dir, &folder) {
            let _ = folder.into_std_file().sync_all();
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.renamed {
            return;
        }
        if let Err(e) = self.dir.remove_file(&self.temporary) {
            let temporary = self.temporary.display();
            log::warn!("{temporary}, of an upload that failed, stays: {e}");
        }
    }
}

/// The directory, which exists from now on.
fn made(dir: &Dir, folder: &Path) -> io::Result<PathBuf> {
    let folder = name::existing(dir, folder);
    if folder != Path::new("") {
        dir.create_dir_all(&folder)?;
    }
    Ok(folder)
}

fn open(dir: &Dir, folder: &Path) -> io::Result<Dir> {
    if folder == Path::new("") {
        return dir.try_clone();
    }
    dir.open_dir(folder)
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn bed() -> (tempfile::TempDir, Arc<Dir>) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        (folder, Arc::new(dir))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn a_file_is_there_whole_or_not_at_all() {
        let (folder, dir) = bed();
        let mut upload = Upload::begin(dir.clone(), "a/b".into()).await.unwrap();
        upload.write(b"123").await.unwrap();
        assert_eq!(names(&folder.path().join("a/b")).len(), 1);
        drop(upload);
        assert!(names(&folder.path().join("a/b")).is_empty());

        let mut upload = Upload::begin(dir, "a".into()).await.unwrap();
        upload.write(b"123").await.unwrap();
        assert!(!names(&folder.path().join("a")).contains(&"f".to_owned()));
        upload.finish("a/c".into(), "f".to_owned()).await.unwrap();
        assert_eq!(std::fs::read(folder.path().join("a/c/f")).unwrap(), b"123");
        assert_eq!(names(&folder.path().join("a/c")), ["f"]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_replaced_hands_its_mode_down_and_leaves_no_tail() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, dir) = bed();
        let path = folder.path().join("f");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        let put = async |bytes: &[u8]| {
            let mut upload = Upload::begin(dir.clone(), "".into()).await.unwrap();
            upload.write(bytes).await.unwrap();
            upload.finish("".into(), "f".to_owned()).await.unwrap();
        };
        put(b"long content").await;
        assert_eq!(mode(), 0o755);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        put(b"short").await;
        assert_eq!(mode(), 0o640);
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_symlink_is_replaced_and_one_that_leads_out_is_not_followed() {
        let (folder, dir) = bed();
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        std::os::unix::fs::symlink(&secret, folder.path().join("f")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
        let mut upload = Upload::begin(dir.clone(), "".into()).await.unwrap();
        upload.write(b"new").await.unwrap();
        upload.finish("".into(), "f".to_owned()).await.unwrap();
        assert_eq!(std::fs::read(&secret).unwrap(), b"x");
        assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"new");
        let refused = Upload::begin(dir, "out".into()).await.err().unwrap();
        assert!(matches!(refused.status().as_u16(), 403 | 409), "{refused}");
        assert_eq!(names(outside.path()), ["secret"]);
    }

    #[tokio::test]
    async fn a_directory_is_not_replaced_by_a_file() {
        let (folder, dir) = bed();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        let upload = Upload::begin(dir, "".into()).await.unwrap();
        let refused = upload.finish("".into(), "d".to_owned()).await.unwrap_err();
        assert_eq!(refused.status(), 409);
        assert_eq!(names(folder.path()), ["d"]);
    }
}
