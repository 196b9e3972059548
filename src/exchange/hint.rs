//! A node that a request names in the headers of another program than skep.

use http::HeaderMap;

/// The wish of such a header. It counts less than `Skep-Target`.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Hint {
    /// A node, by id or hostname.
    pub(crate) node: Option<String>,
    /// Any manager.
    pub(crate) manager: bool,
}

/// A header that is given twice, or is not text.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A header's value; `None` if it is absent or empty.
///
/// # Errors
/// [`Malformed`].
pub(crate) fn header(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if values.next().is_none() => {
            Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty()))
        }
        _ => Err(Malformed(name)),
    }
}
