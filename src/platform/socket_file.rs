//! The owner and the mode of a socket in the file system.

/// Who owns the file of a socket, and who may connect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketFile {
    /// The user; `None` for this program's own.
    pub owner: Option<u32>,
    /// The group; `None` for this program's own.
    pub group: Option<u32>,
    /// The bits of `chmod`.
    pub mode: u32,
}

impl SocketFile {
    /// For this program's own user only.
    pub const PRIVATE: Self = Self {
        owner: None,
        group: None,
        mode: 0o600,
    };
}
