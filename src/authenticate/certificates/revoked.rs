//! The list of revoked certificates: a text file with one serial number on each
//! line, read again when it may have changed.
//!
//! While the list cannot be read, every certificate is refused.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::trust::Serial;

/// Room for thirty thousand serial numbers.
const MAX_BYTES: u64 = 1024 * 1024;

/// The list as it was last read, or why it could not be.
type List = Result<HashSet<Serial>, ListError>;

/// The list cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{}{}: {reason}", path.display(), line.map_or_else(String::new, |n| format!(":{n}")))]
pub struct ListError {
    path: PathBuf,
    line: Option<usize>,
    reason: Reason,
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum Reason {
    /// The words of an [`std::io::Error`], which cannot be compared.
    #[error("{0}")]
    Unreadable(String),
    #[error("is larger than {} KiB", MAX_BYTES / 1024)]
    TooLarge,
    /// An editor truncates a file before it writes it.
    #[error("is empty; a list of nobody has a line such as `# nobody`")]
    Empty,
    #[error("this is no serial number; `skep cert show` prints it, 32 hexadecimal digits")]
    NoSerial,
}

/// The revoked serial numbers.
pub(super) struct Revoked {
    path: PathBuf,
    list: ArcSwap<List>,
}

impl Revoked {
    /// Reads the list.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, ListError> {
        let list = read(path)?;
        tracing::info!(
            "{}: certificates are revoked: {}",
            path.display(),
            list.len()
        );
        Ok(Self {
            path: path.to_owned(),
            list: ArcSwap::from_pointee(Ok(list)),
        })
    }

    /// Reads it again, and returns whether it has changed.
    pub(super) fn refresh(&self) -> bool {
        let list = read(&self.path);
        if list == **self.list.load() {
            return false;
        }
        match &list {
            Ok(list) => {
                let path = self.path.display();
                tracing::info!("{path}: certificates are revoked: {}", list.len());
            }
            Err(e) => tracing::error!("no client certificate is taken: {e}"),
        }
        self.list.store(Arc::new(list));
        true
    }

    /// Whether a certificate is revoked; `None` while the list cannot be read.
    pub(super) fn has(&self, serial: &Serial) -> Option<bool> {
        let list = self.list.load();
        list.as_ref()
            .as_ref()
            .ok()
            .map(|list| list.contains(serial))
    }
}

fn read(path: &Path) -> List {
    let wrong = |line, reason| ListError {
        path: path.to_owned(),
        line,
        reason,
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    read.map_err(|e| wrong(None, Reason::Unreadable(e.to_string())))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(None, Reason::TooLarge));
    }
    if text.is_empty() {
        return Err(wrong(None, Reason::Empty));
    }
    parse(&text).map_err(|line| wrong(Some(line), Reason::NoSerial))
}

/// The serial numbers, or the first line that is not one.
fn parse(text: &str) -> Result<HashSet<Serial>, usize> {
    let mut list = HashSet::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            list.insert(line.parse().map_err(|_| n + 1)?);
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "41000000000000000000000000000001";
    const TWO: &str = "41000000000000000000000000000002";

    #[test]
    fn a_list_has_one_serial_a_line_and_comments() {
        let list = parse(&format!(
            "# left in May\n\n{ONE}\n  {} # bob\r\n",
            TWO.to_uppercase()
        ));
        let expected: HashSet<_> = [ONE, TWO].map(|s| s.parse().unwrap()).into();
        assert_eq!(list, Ok(expected));
        assert_eq!(parse(&format!("{ONE}\n{TWO} {ONE}\n")), Err(2));
        assert_eq!(parse("# nobody\n"), Ok(HashSet::new()));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_not_an_empty_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let wrong = |says: &str| {
            let error = Revoked::open(&path).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        };
        wrong("No such file");
        for (text, says) in [
            ("", "is empty"),
            ("alice\n", ":1: this is no serial"),
            (&ONE[1..], "no serial"),
        ] {
            std::fs::write(&path, text).unwrap();
            wrong(says);
        }
        std::fs::write(&path, vec![b'#'; MAX_BYTES as usize + 1]).unwrap();
        wrong("larger than");
        std::fs::write(&path, b"# \xff\n").unwrap();
        wrong("UTF-8");
    }

    #[test]
    fn a_corrected_list_is_used_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(file.path(), text).unwrap();
        let one: Serial = ONE.parse().unwrap();
        write("# nobody\n");
        let revoked = Revoked::open(file.path()).unwrap();
        assert_eq!(revoked.has(&one), Some(false));
        for (text, expected) in [
            ("nonsense\n", None),
            ("", None),
            (ONE, Some(true)),
            (TWO, Some(false)),
        ] {
            write(text);
            revoked.refresh();
            assert_eq!(revoked.has(&one), expected, "{text:?}");
        }
    }
}
