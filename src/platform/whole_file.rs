//! Writes files whole or not at all: a full disk or a power cut leaves the old file, or
//! none, and never half of one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use super::create_private;

/// Writes a new file that only its owner may read.
///
/// # Errors
/// The file exists already, its folder cannot be created, or the disk does not keep it.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = Beside::write(path, bytes)?;
    // Unlike a rename, a link replaces nothing.
    match std::fs::hard_link(&beside.0, path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(e),
        // Not every file system has links.
        Err(_) if path.symlink_metadata().is_err() => std::fs::rename(&beside.0, path)?,
        Err(_) => return Err(io::ErrorKind::AlreadyExists.into()),
    }
    sync_folder(path)
}

/// Writes a file that only its owner may read, in place of another one: a reader finds
/// the whole old or the whole new one.
///
/// # Errors
/// Those of the file system. The old file stays then.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = Beside::write(path, bytes)?;
    std::fs::rename(&beside.0, path)?;
    sync_folder(path)
}

/// A whole file beside the one that is to be written. Dropping it removes it.
struct Beside(PathBuf);

impl Beside {
    fn write(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Another process may write the same file.
        let mut random = [0; 8];
        let filled = SystemRandom::new().fill(&mut random);
        filled.map_err(|_| io::Error::other("the system gives no random number"))?;
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{:016x}.new", u64::from_ne_bytes(random)));
        let beside = Self(path.with_file_name(name));
        let mut file = create_private(&beside.0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The name must survive a power cut too; not every system can sync a folder.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new("."))) {
        Ok(folder) => match folder.sync_all() {
            Err(e) if e.kind() == io::ErrorKind::StorageFull => Err(e),
            _ => Ok(()),
        },
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_replaces_none_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("secret");
        write_private(&path, b"one").unwrap();
        let again = write_private(&path, b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace_private(&path, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(names(path.parent().unwrap()), ["secret"]);
    }

    #[test]
    fn a_file_that_cannot_be_put_in_place_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // A folder has the name.
        let path = folder.path().join("secret");
        std::fs::create_dir(&path).unwrap();
        assert!(replace_private(&path, b"x").is_err());
        assert!(write_private(&path, b"x").is_err());
        assert_eq!(names(folder.path()), ["secret"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        write_private(&path, b"x").unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        replace_private(&path, b"x").unwrap();
        assert_eq!(mode(), 0o600);
    }
}
