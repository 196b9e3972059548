//! Describes the owner and the mode of a socket in the file system.

/// The owner of a socket's file, and the mode that says who may connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SocketFile {
    /// The user; `None` for this program's own.
    pub(crate) owner: Option<u32>,
    /// The group; `None` for this program's own.
    pub(crate) group: Option<u32>,
    /// The bits of `chmod`.
    pub(crate) mode: u32,
}

impl SocketFile {
    /// For this program's own user only.
    pub(crate) const PRIVATE: Self = Self {
        owner: None,
        group: None,
        mode: 0o600,
    };
}
