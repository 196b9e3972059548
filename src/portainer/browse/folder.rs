//! Creates the missing part of an upload's target folder, at the very end of the
//! upload, and removes it again if the upload fails.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;

use super::name;

/// A folder, as far as it exists.
pub(super) struct Folder {
    /// The part that exists. New folders beneath it are on its file system.
    pub(super) there: PathBuf,
    /// The names of the part that does not.
    missing: Vec<OsString>,
}

/// The new part of a folder, which is removed on drop unless it is kept.
pub(super) struct Made<'d> {
    dir: &'d Dir,
    folders: Vec<PathBuf>,
    kept: bool,
}

impl Folder {
    /// Finds the part of a folder that exists.
    ///
    /// # Errors
    /// If the path leads out of the root, or through something else than a folder.
    pub(super) fn find(dir: &Dir, folder: &Path) -> io::Result<Self> {
        let mut there = PathBuf::new();
        let mut parts = folder.iter();
        while let Some(part) = parts.next() {
            let next = name::existing(dir, &there.join(part));
            match dir.metadata(&next) {
                Ok(meta) if meta.is_dir() => there = next,
                Ok(_) => return Err(ErrorKind::NotADirectory.into()),
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let rest = parts.map(OsString::from);
                    let missing = std::iter::once(part.into()).chain(rest).collect();
                    return Ok(Self { there, missing });
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Self {
            there,
            missing: Vec::new(),
        })
    }

    /// The path of the whole folder.
    pub(super) fn path(&self) -> PathBuf {
        let mut path = self.there.clone();
        path.extend(&self.missing);
        path
    }

    /// Makes the missing part.
    ///
    /// # Errors
    /// As `mkdir(2)`; then no new folder stays.
    pub(super) fn make<'d>(&self, dir: &'d Dir) -> io::Result<Made<'d>> {
        let mut made = Made {
            dir,
            folders: Vec::new(),
            kept: false,
        };
        let mut path = self.there.clone();
        for name in &self.missing {
            path.push(name);
            match dir.create_dir(&path) {
                Ok(()) => made.folders.push(path.clone()),
                // Another process made it meanwhile: drop must not remove it.
                Err(e)
                    if e.kind() == ErrorKind::AlreadyExists
                        && dir.metadata(&path).is_ok_and(|meta| meta.is_dir()) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(made)
    }
}

impl Made<'_> {
    /// Keeps the new folders, and syncs them to the disk if the system can.
    pub(super) fn keep(mut self) {
        self.kept = true;
        for folder in self.folders.iter().rev().filter_map(|path| path.parent()) {
            sync(self.dir, folder);
        }
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for folder in self.folders.iter().rev() {
            // A folder that is in use by now is not empty and stays.
            let _ = self.dir.remove_dir(folder);
        }
    }
}

/// Syncs the names in a folder to the disk, so that they survive a power cut;
/// not every system can.
pub(super) fn sync(dir: &Dir, folder: &Path) {
    if let Ok(folder) = open(dir, folder) {
        let _ = folder.into_std_file().sync_all();
    }
}

/// Opens a folder, which may be the root itself.
///
/// # Errors
/// As `open(2)`.
pub(super) fn open(dir: &Dir, folder: &Path) -> io::Result<Dir> {
    if folder == Path::new("") {
        return dir.try_clone();
    }
    dir.open_dir(folder)
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn find_returns_the_part_of_a_folder_that_exists() {
        let root = tempfile::tempdir().unwrap();
        let here = root.path();
        std::fs::create_dir_all(here.join("a/b")).unwrap();
        std::fs::write(here.join("file"), "").unwrap();
        let name = crate::platform::os_string_from_bytes(b"a\xff".to_vec()).unwrap();
        std::fs::create_dir(here.join(&name)).unwrap();
        let link = std::os::unix::fs::symlink::<&Path, _>;
        link("a".as_ref(), here.join("within")).unwrap();
        link("..".as_ref(), here.join("up")).unwrap();
        let dir = Dir::open_ambient_dir(here, ambient_authority()).unwrap();
        for (path, there, missing) in [
            ("", Path::new(""), 0),
            ("a/b", Path::new("a/b"), 0),
            ("a/c/d", Path::new("a"), 2),
            ("within/b/c", Path::new("within/b"), 1),
            ("x/y/z", Path::new(""), 3),
            ("a%FF/new", Path::new(&name), 1),
        ] {
            let found = Folder::find(&dir, Path::new(path)).unwrap();
            assert_eq!((&*found.there, found.missing.len()), (there, missing));
        }
        for (path, kind) in [
            ("file", ErrorKind::NotADirectory),
            ("file/x", ErrorKind::NotADirectory),
            ("up/x", ErrorKind::PermissionDenied),
        ] {
            let refused = Folder::find(&dir, Path::new(path)).err().unwrap();
            assert_eq!(refused.kind(), kind, "{path}");
        }
    }

    #[test]
    fn new_folders_are_removed_again_unless_kept_or_used() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(root.path(), ambient_authority()).unwrap();
        let folder = || Folder::find(&dir, Path::new("a/b")).unwrap();
        drop(folder().make(&dir).unwrap());
        assert!(!root.path().join("a").exists());

        let made = folder().make(&dir).unwrap();
        std::fs::write(root.path().join("a/other"), "").unwrap();
        drop(made);
        assert!(root.path().join("a/other").exists());
        assert!(!root.path().join("a/b").exists());

        folder().make(&dir).unwrap().keep();
        assert!(root.path().join("a/b").exists());
    }
}
