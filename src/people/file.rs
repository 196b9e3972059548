//! Keeps versions of the list in the state folder, one file each, and on a single host
//! the invitations that were used.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use skep_filters::people::{Envelope, LARGEST};

use crate::platform;

/// The versions that are kept, for `skep policy rollback`.
pub(super) const KEPT: u64 = 5;

/// The folder in the state folder.
const FOLDER: &str = "people";

/// The end of a version's name, and of a used invitation's.
const VERSION: &str = "json";
const JOINED: &str = "joined";

/// The folder with the versions.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder in this state folder; it need not exist.
    pub(super) fn of(state: &Path) -> Self {
        Self(state.join(FOLDER))
    }

    /// For messages.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The versions that there are, the newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn versions(&self) -> io::Result<Vec<u64>> {
        let mut versions: Vec<u64> = self
            .names(VERSION)?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        Ok(versions)
    }

    /// The envelope of a version.
    ///
    /// # Errors
    /// The file cannot be read, or is none.
    pub(super) fn read(&self, version: u64) -> io::Result<Envelope> {
        let path = self.file(&version.to_string(), VERSION);
        // A file may have been put there.
        if fs::metadata(&path)?.len() > LARGEST as u64 {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let bytes = fs::read(path)?;
        Envelope::read(&bytes).map_err(io::Error::other)
    }

    /// Writes a version, if there is none of this number.
    ///
    /// # Errors
    /// There is one ([`ErrorKind::AlreadyExists`]), or it cannot be written.
    pub(super) fn create(&self, version: u64, envelope: &[u8]) -> io::Result<()> {
        platform::write_private(&self.file(&version.to_string(), VERSION), envelope)
    }

    /// Writes a version that the cluster has, and removes old ones.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn keep(&self, version: u64, envelope: &[u8]) -> io::Result<()> {
        platform::replace_private(&self.file(&version.to_string(), VERSION), envelope)?;
        for old in self.versions()? {
            if old.saturating_add(KEPT) <= version {
                fs::remove_file(self.file(&old.to_string(), VERSION))?;
            }
        }
        Ok(())
    }

    /// Records that an invitation was used, if it was not.
    ///
    /// # Errors
    /// It was ([`ErrorKind::AlreadyExists`]), or that cannot be written.
    pub(super) fn redeem(&self, id: &str, joined: &[u8]) -> io::Result<()> {
        platform::write_private(&self.file(id, JOINED), joined)
    }

    /// What was recorded of used invitations, with their ids.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn joined(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let names = self.names(JOINED)?.into_iter();
        names
            .map(|id| Ok((id.clone(), fs::read(self.file(&id, JOINED))?)))
            .collect()
    }

    /// Forgets a used invitation, which has ended.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(super) fn forget(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.file(id, JOINED))
    }

    fn file(&self, name: &str, end: &str) -> PathBuf {
        self.0.join(format!("{name}.{end}"))
    }

    /// The names of files with this end, without it.
    fn names(&self, end: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.split_once('.'));
            names.extend(
                name.filter(|(_, own)| *own == end)
                    .map(|(name, _)| name.to_owned()),
            );
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(text: &str) -> Vec<u8> {
        let envelope = Envelope {
            key: "k".to_owned(),
            signature: String::new(),
            document: text.to_owned(),
        };
        envelope.to_json().unwrap()
    }

    #[test]
    fn a_version_is_created_once_and_a_few_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::of(state.path());
        assert!(folder.versions().unwrap().is_empty());
        folder.create(1, &envelope("a")).unwrap();
        let twice = folder.create(1, &envelope("b")).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
        assert_eq!(folder.read(1).unwrap().document, "a");
        for version in 2..=7 {
            folder.keep(version, &envelope("c")).unwrap();
        }
        assert_eq!(folder.versions().unwrap(), [7, 6, 5, 4, 3]);
        fs::write(folder.file("8", VERSION), "{").unwrap();
        assert!(folder.read(8).is_err());
    }

    #[test]
    fn an_invitation_is_used_once() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::of(state.path());
        folder.redeem("0a", b"first").unwrap();
        let twice = folder.redeem("0a", b"second").unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
        let joined = folder.joined().unwrap();
        assert_eq!(joined, [("0a".to_owned(), b"first".to_vec())]);
        folder.forget("0a").unwrap();
        assert!(folder.joined().unwrap().is_empty());
        assert!(folder.versions().unwrap().is_empty());
    }
}
