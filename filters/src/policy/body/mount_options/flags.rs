//! Reads mount options in the notation of fstab: `o` of a volume, and the values of
//! `HostConfig.Tmpfs`.
//!
//! Engines go through the words in order and set or clear flags, so the last one
//! wins, and only the exact spelling counts; the rest is data for the file system
//! (`parseOptions` of moby/sys/mount).

use super::propagation::Propagation;

const READ_ONLY: u16 = 1;
const BIND: u16 = 1 << 1;
/// Of a bind: with all mounts below. `rprivate` and its like set it, too.
const RECURSIVE: u16 = 1 << 2;
const REMOUNT: u16 = 1 << 3;
const PRIVATE: u16 = 1 << 4;
const SLAVE: u16 = 1 << 5;
const SHARED: u16 = 1 << 6;
const UNBINDABLE: u16 = 1 << 7;

/// Mount options that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags<'t> {
    bits: u16,
    /// The words that are no flags, in order, for the file system.
    pub(crate) data: Vec<&'t str>,
}

impl<'t> Flags<'t> {
    /// Reads options, separated by commas.
    pub(crate) fn parse(text: &'t str) -> Self {
        let mut flags = Self::default();
        for word in text.split(',') {
            match word {
                // Empty words reach the file system, which skips them.
                "" | "defaults" => {}
                "ro" => flags.bits |= READ_ONLY,
                "rw" => flags.bits &= !READ_ONLY,
                "bind" => flags.bits |= BIND,
                "rbind" => flags.bits |= BIND | RECURSIVE,
                "remount" => flags.bits |= REMOUNT,
                "private" => flags.bits |= PRIVATE,
                "rprivate" => flags.bits |= PRIVATE | RECURSIVE,
                "slave" => flags.bits |= SLAVE,
                "rslave" => flags.bits |= SLAVE | RECURSIVE,
                "shared" => flags.bits |= SHARED,
                "rshared" => flags.bits |= SHARED | RECURSIVE,
                "unbindable" => flags.bits |= UNBINDABLE,
                "runbindable" => flags.bits |= UNBINDABLE | RECURSIVE,
                word if is_harmless(word) => {}
                word => flags.data.push(word),
            }
        }
        flags
    }

    fn has(&self, bits: u16) -> bool {
        self.bits & bits != 0
    }

    /// Whether the mount itself is read-only.
    pub(crate) fn read_only(&self) -> bool {
        self.has(READ_ONLY)
    }

    /// Whether it shows a folder again instead of mounting a file system.
    pub(crate) fn binds(&self) -> bool {
        self.has(BIND)
    }

    /// Whether a bind brings the mounts below along. Read-only never covers these:
    /// only the top is mounted again with `ro`.
    pub(crate) fn recursive(&self) -> bool {
        self.has(RECURSIVE)
    }

    /// Whether it changes a mount that is there.
    pub(crate) fn remounts(&self) -> bool {
        self.has(REMOUNT)
    }

    /// The widest of the propagations that are given.
    pub(crate) fn propagation(&self) -> Propagation {
        if self.has(SHARED) {
            Propagation::Shared
        } else if self.has(SLAVE) {
            Propagation::Slave
        } else {
            Propagation::Private
        }
    }
}

/// Flags that give no access.
fn is_harmless(word: &str) -> bool {
    matches!(
        word,
        "suid"
            | "nosuid"
            | "dev"
            | "nodev"
            | "exec"
            | "noexec"
            | "sync"
            | "async"
            | "dirsync"
            | "mand"
            | "nomand"
            | "atime"
            | "noatime"
            | "diratime"
            | "nodiratime"
            | "relatime"
            | "norelatime"
            | "strictatime"
            | "nostrictatime"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_wins_and_case_matters() {
        for (text, read_only) in [
            ("ro", true),
            ("rw,ro", true),
            ("ro,rw", false),
            ("ro,rw,ro", true),
            ("RO", false),
            ("ro ", false),
            (" ro", false),
            ("ro=1", false),
            ("bind,RO", false),
            ("bind,ro,nosuid", true),
            ("", false),
        ] {
            assert_eq!(Flags::parse(text).read_only(), read_only, "{text:?}");
        }
    }

    #[test]
    fn a_recursive_propagation_makes_a_bind_recursive() {
        for (text, binds, recursive) in [
            ("bind", true, false),
            ("rbind", true, true),
            ("bind,private", true, false),
            ("bind,rprivate", true, true),
            ("rslave,bind", true, true),
            ("bind,runbindable", true, true),
            ("Bind", false, false),
            ("bind ", false, false),
        ] {
            let flags = Flags::parse(text);
            assert_eq!(
                (flags.binds(), flags.recursive()),
                (binds, recursive),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_widest_propagation_counts() {
        for (text, propagation) in [
            ("", Propagation::Private),
            ("slave", Propagation::Slave),
            ("shared,slave", Propagation::Shared),
            ("rshared,rprivate", Propagation::Shared),
            ("Shared", Propagation::Private),
        ] {
            assert_eq!(Flags::parse(text).propagation(), propagation, "{text:?}");
        }
    }

    #[test]
    fn all_other_words_are_for_the_file_system() {
        let flags = Flags::parse("size=1m,RO,nosuid,move,x-a,,remount");
        assert_eq!(flags.data, ["size=1m", "RO", "move", "x-a"]);
        assert!(flags.remounts());
    }
}
