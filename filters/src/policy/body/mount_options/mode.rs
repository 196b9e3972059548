//! Reads the options of a bind: the `ro,z` of `/srv:/data:ro,z`.
//!
//! Engines take a fixed list of words, in lower case except `Z`, and at most one
//! of each kind (moby `linuxValidMountMode`). Other engines give other words a
//! meaning, so no other is accepted: with `O,upperdir=/etc` Podman writes to
//! any folder of the host.

use super::propagation::Propagation;

/// The options of a bind, a named volume or a list in `VolumesFrom`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// `ro`.
    pub(crate) read_only: bool,
    /// `z` or `Z`: the engine writes labels to the files.
    pub(crate) relabels: bool,
    /// `rprivate` unless given.
    pub(crate) propagation: Propagation,
}

/// The engine refuses the options, or skep does not know them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModeError<'t> {
    /// No word of the list.
    #[error("an option that is not known")]
    Unknown(&'t str),
    /// A second word of the same kind.
    #[error("an option that contradicts another")]
    Second(&'t str),
}

impl<'t> ModeError<'t> {
    pub(crate) fn option(&self) -> &'t str {
        match self {
            Self::Unknown(option) | Self::Second(option) => option,
        }
    }
}

impl Mode {
    /// Reads options; an empty text has none.
    pub(crate) fn parse(text: &str) -> Result<Self, ModeError<'_>> {
        let mut mode = Self::default();
        if text.is_empty() {
            return Ok(mode);
        }
        // Access, label, propagation, copy, consistency.
        let mut given = [false; 5];
        for option in text.split(',') {
            let kind = match option {
                "ro" | "rw" => {
                    mode.read_only = option == "ro";
                    0
                }
                "z" | "Z" => {
                    mode.relabels = true;
                    1
                }
                "nocopy" => 3,
                "consistent" | "cached" | "delegated" => 4,
                name => {
                    mode.propagation = Propagation::parse(name).ok_or(ModeError::Unknown(name))?;
                    2
                }
            };
            if std::mem::replace(&mut given[kind], true) {
                return Err(ModeError::Second(option));
            }
        }
        Ok(mode)
    }

    /// Reads the options after a path of Windows, where case does not matter.
    pub(crate) fn parse_windows(text: &str) -> Result<Self, ModeError<'_>> {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        if text.is_empty() || is("rw") || is("ro") {
            let read_only = is("ro");
            return Ok(Self {
                read_only,
                ..Self::default()
            });
        }
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Mode = Mode {
        read_only: false,
        relabels: false,
        propagation: Propagation::Private,
    };

    #[test]
    fn options_are_read_as_by_the_engine() {
        for (text, expected) in [
            ("", NONE),
            ("rw", NONE),
            (
                "ro",
                Mode {
                    read_only: true,
                    ..NONE
                },
            ),
            (
                "z,ro",
                Mode {
                    read_only: true,
                    relabels: true,
                    ..NONE
                },
            ),
            ("nocopy,cached,rprivate", NONE),
            (
                "rslave",
                Mode {
                    propagation: Propagation::Slave,
                    ..NONE
                },
            ),
            (
                "shared,Z",
                Mode {
                    relabels: true,
                    propagation: Propagation::Shared,
                    ..NONE
                },
            ),
        ] {
            assert_eq!(Mode::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_an_engine_would_refuse_or_read_otherwise_is_refused() {
        for text in [
            "RO",
            "Ro",
            "rO",
            "Rw",
            " ro",
            "ro ",
            "ro,",
            ",ro",
            ",",
            "ro,,z",
            "readonly",
            "rro",
            "RShared",
            "copy",
            "O",
            "U",
            "exec",
            "dev",
            "suid",
            "idmap",
            "bind",
            "rbind",
            "noexec",
            "upperdir=/etc",
            "ro=1",
            "\u{17f}hared",
            "r\u{3bf}",
            "default",
            "ro;rw",
            "ro\0",
            "unbindable",
        ] {
            assert!(
                matches!(Mode::parse(text), Err(ModeError::Unknown(_))),
                "{text:?}"
            );
        }
        for text in [
            "ro,rw",
            "rw,ro",
            "ro,ro",
            "z,Z",
            "z,z",
            "shared,rshared",
            "private,rslave",
            "nocopy,nocopy",
            "cached,delegated",
        ] {
            assert!(
                matches!(Mode::parse(text), Err(ModeError::Second(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn case_does_not_matter_after_a_path_of_windows() {
        for (text, read_only) in [
            ("ro", true),
            ("RO", true),
            ("rw", false),
            ("Rw", false),
            ("", false),
        ] {
            assert_eq!(
                Mode::parse_windows(text).unwrap().read_only,
                read_only,
                "{text}"
            );
        }
        assert!(Mode::parse_windows("O,upperdir=/etc").is_err());
    }
}
