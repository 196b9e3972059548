//! Why a body cannot be judged.

/// Why a body has no single certain reading. Each is the client's mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than the bound: answer 413.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A `Content-Encoding`.
    #[error("it has a Content-Encoding")]
    Encoded,
    /// Another `Content-Type` than JSON's.
    #[error("its Content-Type is not application/json")]
    NotJsonType,
    /// Go would put U+FFFD for what is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A byte order mark.
    #[error("it starts with a byte order mark")]
    ByteOrderMark,
    /// Not one JSON document, or one that is nested too deeply, too large in
    /// number, or has a name twice.
    #[error("{0}")]
    Malformed(String),
}
