//! Finds the host's files: beneath `/host` if its file system is mounted there,
//! as in Portainer's documentation, else at their usual paths. A container sees
//! most of the host's numbers in its own `/proc` and `/sys`; only those of the
//! network are the container's own.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest file to read: `pci.ids` has about 1.5 MB.
const LONGEST: u64 = 8 << 20;

/// The root of the host's files.
pub(crate) struct Sources {
    host: Option<PathBuf>,
}

impl Sources {
    /// The files that this process sees.
    pub(crate) fn here() -> Self {
        Self::beneath(Path::new("/host"))
    }

    /// The files of a host that is mounted at this path, or else [`Self::here`].
    pub(crate) fn beneath(host: &Path) -> Self {
        let mounted = host.join("proc/stat").exists() || host.join("sys/block").exists();
        Self {
            host: mounted.then(|| host.to_owned()),
        }
    }

    /// Translates a path of the host, which need not exist.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let beneath = |host: &PathBuf| host.join(path.trim_start_matches('/'));
        let there = self
            .host
            .as_ref()
            .map(beneath)
            .filter(|there| there.exists());
        there.unwrap_or_else(|| PathBuf::from(path))
    }

    /// A file's text; `None` if it cannot be read, or is longer than `LONGEST`.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        use std::io::Read;
        let mut text = Vec::new();
        let file = fs::File::open(self.path(path)).ok()?;
        file.take(LONGEST + 1).read_to_end(&mut text).ok()?;
        let short = u64::try_from(text.len()).is_ok_and(|n| n <= LONGEST);
        short.then(|| String::from_utf8_lossy(&text).into_owned())
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path));
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The interfaces of the host if its processes are visible, else those of
    /// this container.
    pub(crate) fn interfaces(&self) -> Option<String> {
        match self.host {
            Some(_) => self.text("/proc/1/net/dev"),
            None => self.text("/proc/net/dev"),
        }
    }
}
