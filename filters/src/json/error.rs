//! Defines the reasons to refuse JSON.

/// Why a document has no single certain reading. Each is the client's mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Go would put U+FFFD for what is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A byte order mark.
    #[error("it starts with a byte order mark")]
    ByteOrderMark,
    /// Not one JSON document, or one that is nested too deeply, has too many
    /// values, or has a name twice.
    #[error("{0}")]
    Malformed(String),
}

/// A value is of another shape than the engine reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ShapeError(pub(crate) String);
