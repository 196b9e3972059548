//! Writes a file atomically: under a temporary name beside its target, synced to
//! the disk, and then renamed. Until then the file is invisible, and an upload
//! that fails leaves no file and no new folder.
//!
//! The target may be unknown until the whole file has come: Portainer's UI sends
//! the file first. A small file waits in memory, a large one in the root of the
//! browsed files, else in the agent's own folder.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::Problem;
use super::folder::Folder;
use super::root::Root;
use super::temporary::Temporary;
use super::work::{self, Limit};
use crate::platform;

/// Bytes written at a time, and held in memory until then.
const BLOCK: usize = 1 << 20;

/// The bytes to keep free on a file system where a file waits that may belong
/// elsewhere, for the host's other programs; a twentieth of a small file system.
const RESERVE: u64 = 256 << 20;

/// An unfinished upload.
pub(super) struct Upload {
    root: Arc<Dir>,
    /// Another folder that the file may wait in; if there is one, the root may be
    /// on another file system than the target.
    spare: Option<PathBuf>,
    name: String,
    /// The announced size in bytes, at most.
    size: u64,
    /// Bytes that are not written yet.
    held: Vec<u8>,
    temporary: Option<Temporary>,
    /// Whether the file waits on a file system that may not be the target's.
    guest: bool,
    limit: &'static Limit,
}

impl Upload {
    /// An upload whose target folder is not known yet.
    pub(super) fn new(root: &Root, name: String, size: u64) -> Self {
        Self {
            root: root.dir.clone(),
            spare: root.spare.clone(),
            name,
            size,
            held: Vec::new(),
            temporary: None,
            guest: false,
            limit: &work::BYTES,
        }
    }

    /// The name that the file gets.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Begins in the target folder, so that an upload that must fail fails early.
    pub(super) async fn begin(&mut self, folder: &Path) -> Result<(), Problem> {
        let (root, folder) = (self.root.clone(), folder.to_owned());
        let begun = self.limit.wait(move || {
            let there = Folder::find(&root, &folder).map(|folder| folder.there);
            let begun = there.and_then(|there| Temporary::new(root, &there));
            begun.map_err(Problem::io(&folder.display().to_string()))
        });
        self.temporary = Some(begun.await?);
        Ok(())
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.held.extend_from_slice(bytes);
        if self.held.len() < BLOCK {
            return Ok(());
        }
        let file = match &self.temporary {
            Some(temporary) => temporary.file.clone(),
            None => self.store_until_target_known().await?,
        };
        let (mut held, name) = (std::mem::take(&mut self.held), self.name.clone());
        let guest = self.guest;
        let written = self.limit.wait(move || {
            let room = if guest { leave_room(&file, 0) } else { Ok(()) };
            let written = room.and_then(|()| (&*file).write_all(&held));
            written.map_err(Problem::io(&name))?;
            held.clear();
            Ok(held)
        });
        self.held = written.await?;
        Ok(())
    }

    async fn store_until_target_known(&mut self) -> Result<Arc<File>, Problem> {
        let (root, spare) = (self.root.clone(), self.spare.clone());
        let (name, size) = (self.name.clone(), self.size);
        self.guest = spare.is_some();
        let begun = self.limit.wait(move || {
            let begun = match spare {
                None => Temporary::new(root, Path::new("")),
                Some(spare) => guest(root, size).or_else(|e| own(&spare, size).map_err(|_| e)),
            };
            begun.map_err(Problem::io(&name))
        });
        let temporary = begun.await?;
        let file = temporary.file.clone();
        self.temporary = Some(temporary);
        Ok(file)
    }

    /// Moves the file to its target, and replaces the file that was there.
    pub(super) async fn finish(self, folder: PathBuf) -> Result<(), Problem> {
        let permit = match self.limit.permit().await {
            Ok(permit) => permit,
            Err(busy) => {
                self.leave();
                return Err(busy);
            }
        };
        let Self {
            root,
            name,
            held,
            temporary,
            ..
        } = self;
        let finish = move || {
            let shown = folder.display().to_string();
            let folder = Folder::find(&root, &folder).map_err(Problem::io(&shown))?;
            let temporary = match temporary {
                Some(temporary) => temporary.beside(&root, &folder.there),
                None => Temporary::new(root, &folder.there),
            };
            let temporary = temporary.map_err(Problem::io(&shown))?;
            let named = (&*temporary.file).write_all(&held);
            let named = named.and_then(|()| temporary.name(&folder, &name));
            named.map_err(Problem::io(&name))
        };
        permit.run(finish).await
    }

    /// Removes the temporary file.
    pub(super) async fn abandon(mut self) {
        let Some(temporary) = self.temporary.take() else {
            return;
        };
        match self.limit.permit().await {
            Ok(permit) => {
                let gone = move || {
                    drop(temporary);
                    Ok(())
                };
                let _ = permit.run(gone).await;
            }
            Err(_) => temporary.leave(),
        }
    }

    /// Leaves the file on a file system that does not answer: removing it would
    /// block.
    fn leave(self) {
        if let Some(temporary) = self.temporary {
            temporary.leave();
        }
    }
}

/// A temporary file on a file system that may not be the target's, if it has
/// room.
fn guest(dir: Arc<Dir>, size: u64) -> io::Result<Temporary> {
    let temporary = Temporary::new(dir, Path::new(""))?;
    leave_room(&temporary.file, size)?;
    Ok(temporary)
}

/// A temporary file in the agent's own folder.
fn own(folder: &Path, size: u64) -> io::Result<Temporary> {
    std::fs::create_dir_all(folder)?;
    let dir = Dir::open_ambient_dir(folder, ambient_authority())?;
    guest(Arc::new(dir), size)
}

/// Fails unless the file system has room for `size` more bytes and the reserve.
fn leave_room(file: &File, size: u64) -> io::Result<()> {
    match platform::space_of(file) {
        Ok((all, free)) if free.saturating_sub(size) < RESERVE.min(all / 20) => {
            let why = "not enough space to store the upload until its target folder is known";
            Err(io::Error::new(ErrorKind::StorageFull, why))
        }
        // If the free space is unknown, a full file system fails at the write.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bed {
        folder: tempfile::TempDir,
        own: tempfile::TempDir,
        root: Root,
    }

    impl Bed {
        async fn new() -> Self {
            let (folder, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let root = Root::of_host(folder.path().to_owned(), own.path());
            let root = root.await.unwrap();
            Self { folder, own, root }
        }

        fn upload(&self, name: &str) -> Upload {
            Upload::new(&self.root, name.to_owned(), 0)
        }

        async fn begin(&self, folder: &str) -> Result<Upload, Problem> {
            let mut upload = self.upload("f");
            upload.begin(folder.as_ref()).await.map(|()| upload)
        }

        fn names(&self, folder: &str) -> Vec<String> {
            names(&self.folder.path().join(folder))
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn a_file_appears_whole_or_not_at_all() {
        let bed = Bed::new().await;
        std::fs::create_dir(bed.folder.path().join("a")).unwrap();
        let mut upload = bed.begin("a").await.unwrap();
        upload.write(b"123").await.unwrap();
        assert_eq!(bed.names("a").len(), 1);
        upload.abandon().await;
        assert!(bed.names("a").is_empty());

        let mut upload = bed.begin("a").await.unwrap();
        upload.write(b"123").await.unwrap();
        assert!(!bed.names("a").contains(&"f".to_owned()));
        upload.finish("a".into()).await.unwrap();
        let stored = std::fs::read(bed.folder.path().join("a/f")).unwrap();
        assert_eq!(stored, b"123");
        assert_eq!(bed.names("a"), ["f"]);
    }

    #[tokio::test]
    async fn folders_are_made_with_the_file_and_never_without_it() {
        let bed = Bed::new().await;
        let mut upload = bed.begin("a/b").await.unwrap();
        upload.write(b"123").await.unwrap();
        assert!(!bed.names("").contains(&"a".to_owned()));
        upload.abandon().await;
        assert!(bed.names("").is_empty());

        // The name is refused after the folders are made.
        let upload = bed.upload(&"long".repeat(100));
        let refused = upload.finish("a/b".into()).await.unwrap_err();
        assert_eq!(refused.status(), 400, "{refused}");
        assert!(bed.names("").is_empty());

        let upload = bed.begin("a/b").await.unwrap();
        upload.finish("a/b".into()).await.unwrap();
        assert_eq!(bed.names(""), ["a"]);
        assert_eq!(bed.names("a/b"), ["f"]);
    }

    #[tokio::test]
    async fn a_small_file_without_a_target_waits_in_memory() {
        let bed = Bed::new().await;
        let mut upload = bed.upload("f");
        upload.write(b"12").await.unwrap();
        assert!(bed.names("").is_empty());
        upload.write(&vec![b'3'; BLOCK]).await.unwrap();
        assert_eq!(bed.names("").len(), 1);
        upload.write(b"45").await.unwrap();
        upload.finish("a".into()).await.unwrap();
        let stored = std::fs::read(bed.folder.path().join("a/f")).unwrap();
        assert_eq!(stored.len(), BLOCK + 4);
        assert!(stored.starts_with(b"123") && stored.ends_with(b"345"));
        assert_eq!(bed.names(""), ["a"]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_too_large_for_the_root_waits_in_the_agents_folder_if_it_fits() {
        let bed = Bed::new().await;
        let mut upload = bed.upload("f");
        let (all, _) = platform::space(bed.folder.path()).unwrap();
        upload.size = all;
        // Here both are on one file system, so there is room in neither.
        let refused = upload.write(&vec![b'x'; BLOCK]).await.unwrap_err();
        assert_eq!(refused.status(), 507, "{refused}");
        upload.abandon().await;
        assert!(bed.names("").is_empty() && names(bed.own.path()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_waits_too_long_for_its_turn_ends_the_upload() {
        static NONE: Limit = Limit::new(0);
        let bed = Bed::new().await;
        let mut upload = bed.begin("").await.unwrap();
        upload.limit = &NONE;
        let refused = upload.write(&vec![b'x'; BLOCK]).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        // Removal would need a permit too, so a later sweep removes the file.
        upload.abandon().await;
        assert_eq!(bed.names("").len(), 1);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_replacement_takes_the_mode_of_the_old_file_and_none_of_its_bytes() {
        use std::os::unix::fs::PermissionsExt;
        let bed = Bed::new().await;
        let mode_of = |name: &str| {
            let meta = bed.folder.path().join(name).metadata().unwrap();
            meta.permissions().mode() & 0o777
        };
        let put = async |bytes: &[u8]| {
            let mut upload = bed.begin("").await.unwrap();
            upload.write(bytes).await.unwrap();
            let temporary = bed.names("").into_iter().find(|name| name != "f");
            // The replaced file may be secret, and so may its replacement.
            assert_eq!(mode_of(&temporary.unwrap()), 0o600);
            upload.finish("".into()).await.unwrap();
        };
        put(b"long content").await;
        assert_eq!(mode_of("f"), 0o755);
        let path = bed.folder.path().join("f");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        put(b"short").await;
        assert_eq!(mode_of("f"), 0o640);
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_symlink_is_replaced_and_one_that_leads_out_is_not_followed() {
        let bed = Bed::new().await;
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        std::os::unix::fs::symlink(&secret, bed.folder.path().join("f")).unwrap();
        std::os::unix::fs::symlink(outside.path(), bed.folder.path().join("out")).unwrap();
        let mut upload = bed.begin("").await.unwrap();
        upload.write(b"new").await.unwrap();
        upload.finish("".into()).await.unwrap();
        assert_eq!(std::fs::read(&secret).unwrap(), b"x");
        let replaced = std::fs::read(bed.folder.path().join("f")).unwrap();
        assert_eq!(replaced, b"new");
        for folder in ["out", "out/new"] {
            let refused = bed.begin(folder).await.err().unwrap();
            assert!(matches!(refused.status().as_u16(), 403 | 409), "{refused}");
            let refused = bed.upload("f").finish(folder.into()).await.unwrap_err();
            assert!(matches!(refused.status().as_u16(), 403 | 409), "{refused}");
        }
        assert_eq!(names(outside.path()), ["secret"]);
    }

    #[tokio::test]
    async fn a_directory_is_not_replaced_by_a_file() {
        let bed = Bed::new().await;
        std::fs::create_dir(bed.folder.path().join("f")).unwrap();
        let upload = bed.begin("").await.unwrap();
        let refused = upload.finish("".into()).await.unwrap_err();
        assert_eq!(refused.status(), 409);
        assert_eq!(bed.names(""), ["f"]);
    }
}
