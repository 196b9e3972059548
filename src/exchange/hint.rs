//! Reads the headers by which other programs, such as Portainer, name a node.

use http::HeaderMap;

/// The node or the manager that such headers ask for. `Skep-Target` overrides it.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Hint {
    /// A node, by id or hostname.
    pub(crate) node: Option<String>,
    /// Whether the request asks for a manager.
    pub(crate) manager: bool,
}

/// This header occurs twice, or is not text.
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
