//! Keeps an upload under a temporary name until it is renamed; a file that is
//! never renamed is removed.
//!
//! If the agent is killed, the file stays; after a day, the next upload into the
//! same folder removes it. A file without a name (`O_TMPFILE`) would need none
//! of that, but NFS and other file systems do not support it, and linkat(2) does
//! not replace a file: temporary names would be needed all the same.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::fs::{Dir, OpenOptions};
use ring::rand::{SecureRandom, SystemRandom};

use super::folder::{self, Folder};
use super::work;
use crate::platform;

const PREFIX: &str = ".skep-upload-";

/// A file this old has no upload any more: uploads that pause for minutes fail,
/// on every node.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The files of this agent's running uploads.
static OURS: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// A file under a temporary name.
pub(super) struct Temporary {
    pub(super) file: Arc<File>,
    dir: Arc<Dir>,
    path: PathBuf,
    number: Number,
    stays: bool,
}

impl Temporary {
    /// Makes a file that only its owner may read: it may replace a secret file.
    ///
    /// # Errors
    /// As `open(2)`.
    pub(super) fn new(dir: Arc<Dir>, folder: &Path) -> io::Result<Self> {
        let number = Number::new()?;
        let path = folder.join(number.name());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        platform::private(&mut options);
        let file = dir.open_with(&path, &options)?.into_std();
        // The clock of the file system may be another machine's.
        if let Ok(now) = file.metadata().and_then(|meta| meta.modified()) {
            let (dir, folder) = (dir.clone(), folder.to_owned());
            work::aside(move || {
                if let Err(e) = sweep(&dir, &folder, now) {
                    tracing::debug!("{}: was not swept: {e}", folder.display());
                }
            });
        }
        Ok(Self {
            file: Arc::new(file),
            dir,
            path,
            number,
            stays: false,
        })
    }

    /// Moves the file into its target folder, still under a temporary name. If
    /// that is on another file system the file is copied, so that a partial copy
    /// never has the final name.
    ///
    /// # Errors
    /// As `rename(2)`, or as the copy; then no file stays.
    pub(super) fn beside(mut self, dir: &Arc<Dir>, folder: &Path) -> io::Result<Self> {
        if Arc::ptr_eq(&self.dir, dir) && self.path.parent() == Some(folder) {
            return Ok(self);
        }
        let number = Number::new()?;
        let path = folder.join(number.name());
        match self.dir.rename(&self.path, dir, &path) {
            Ok(()) => {
                self.dir = dir.clone();
                self.path = path;
                self.number = number;
                Ok(self)
            }
            Err(e) if e.kind() == ErrorKind::CrossesDevices => {
                let copy = Self::new(dir.clone(), folder)?;
                let mut from = &*self.file;
                from.seek(SeekFrom::Start(0))?;
                io::copy(&mut from, &mut &*copy.file)?;
                Ok(copy)
            }
            Err(e) => Err(e),
        }
    }

    /// Renames the file to its final name, with the owner and the mode of the
    /// file that it replaces.
    ///
    /// # Errors
    /// If a directory has that name, or as `rename(2)`; then no file stays.
    pub(super) fn name(mut self, folder: &Folder, name: &str) -> io::Result<()> {
        let dir = self.dir.clone();
        let path = folder.path();
        let to = path.join(name);
        let replaced = match dir.symlink_metadata(&to) {
            Ok(meta) if meta.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Ok(meta) if meta.is_file() => {
                let mut options = OpenOptions::new();
                options.read(true).nonblock(true);
                dir.open_with(&to, &options).ok()
            }
            _ => None,
        };
        let replaced = replaced.map(cap_std::fs::File::into_std);
        platform::inherit(&self.file, replaced.as_ref())?;
        self.file.sync_all()?;
        let made = folder.make(&dir)?;
        dir.rename(&self.path, &dir, &to)?;
        self.stays = true;
        made.keep();
        folder::sync(&dir, &path);
        Ok(())
    }

    /// Leaves the file to a later sweep: its file system does not answer.
    pub(super) fn leave(mut self) {
        self.stays = true;
        tracing::warn!("{}, of an upload that failed, stays", self.path.display());
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        match self.dir.remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                let path = self.path.display();
                tracing::warn!("{path}, of an upload that failed, stays: {e}");
            }
            _ => {}
        }
    }
}

/// Removes the old temporary files of killed agents from a folder.
fn sweep(dir: &Dir, folder: &Path, now: SystemTime) -> io::Result<()> {
    let folder = folder::open(dir, folder)?;
    for entry in folder.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        if Number::of(&name).is_none_or(|number| ours().contains(&number)) {
            continue;
        }
        // Does not follow symlinks: no temporary file is one.
        let meta = folder.symlink_metadata(&name)?;
        let age = now.duration_since(meta.modified()?.into_std());
        if meta.is_file() && age.is_ok_and(|age| age > AGE) {
            folder.remove_file(&name)?;
            tracing::info!("{}: left by an upload, removed", name.display());
        }
    }
    Ok(())
}

fn ours() -> MutexGuard<'static, BTreeSet<u64>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number in a temporary name, which is in `OURS` while this value lives.
struct Number(u64);

impl Number {
    fn new() -> io::Result<Self> {
        let mut random = [0; 8];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| io::Error::other("the system's random number generator failed"))?;
        let number = u64::from_ne_bytes(random);
        ours().insert(number);
        Ok(Self(number))
    }

    fn name(&self) -> String {
        format!("{PREFIX}{:016x}", self.0)
    }

    /// The number in a name that has exactly the form of ours.
    fn of(name: &OsStr) -> Option<u64> {
        let digits = name.to_str()?.strip_prefix(PREFIX)?;
        let is_digit = |d: u8| matches!(d, b'0'..=b'9' | b'a'..=b'f');
        let all = digits.len() == 16 && digits.bytes().all(is_digit);
        u64::from_str_radix(digits, 16).ok().filter(|_| all)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        ours().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use skep_bed::eventually;

    use super::*;
    use crate::platform::clock;

    fn bed() -> (tempfile::TempDir, Arc<Dir>) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        (folder, Arc::new(dir))
    }

    const LEFT: &str = ".skep-upload-0123456789abcdef";

    #[test]
    fn only_files_with_names_of_our_form_are_swept() {
        let (folder, dir) = bed();
        let sub = folder.path().join("sub");
        std::fs::create_dir(&sub).unwrap();
        let at = |name: &str| sub.join(name);
        let others = [
            ".skep-upload-0123456789ABCDEF",
            ".skep-upload-0123456789abcde",
            ".skep-upload-0123456789abcdef0",
            ".skep-upload-+123456789abcdef",
            ".skep-upload-",
            "x.skep-upload-0123456789abcdef",
            ".skep-upload-0123456789abcdef~",
        ];
        for name in [LEFT].iter().chain(&others) {
            std::fs::write(at(name), "x").unwrap();
        }
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "x").unwrap();
        std::fs::create_dir(at(".skep-upload-00000000000000dd")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&outside, at(".skep-upload-0000000000000011")).unwrap();
        let before = std::fs::read_dir(&sub).unwrap().count();

        let now = clock::wall();
        sweep(&dir, Path::new("sub"), now).unwrap();
        assert!(at(LEFT).exists(), "it is young");
        sweep(&dir, Path::new("sub"), now + 2 * AGE).unwrap();
        assert!(!at(LEFT).exists());
        assert_eq!(std::fs::read_dir(&sub).unwrap().count(), before - 1);
        assert!(outside.exists());
    }

    #[test]
    fn the_file_of_a_running_upload_is_not_swept() {
        let (folder, dir) = bed();
        let upload = Temporary::new(dir.clone(), Path::new("")).unwrap();
        let later = clock::wall() + 2 * AGE;
        sweep(&dir, Path::new(""), later).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        upload.leave();
        sweep(&dir, Path::new(""), later).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_upload_sweeps_its_target_folder() {
        let (folder, dir) = bed();
        let left = folder.path().join(LEFT);
        let file = File::create(&left).unwrap();
        file.set_modified(clock::wall() - 2 * AGE).unwrap();
        // An upload may get no permit to sweep; the next one tries again.
        let swept = eventually(|| {
            drop(Temporary::new(dir.clone(), Path::new("")).unwrap());
            !left.exists()
        });
        assert!(swept.await);
    }
}
