//! Says how later mounts spread between the host and a container.

/// The propagation of a mount, without regard to the mounts below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// Not at all.
    #[default]
    Private,
    /// From the host to the container.
    Slave,
    /// In both directions.
    Shared,
}

impl Propagation {
    /// Reads a name as engines do: case matters.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "private" | "rprivate" => Self::Private,
            "slave" | "rslave" => Self::Slave,
            "shared" | "rshared" => Self::Shared,
            _ => return None,
        })
    }
}
