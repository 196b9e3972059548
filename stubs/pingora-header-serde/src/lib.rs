//! Stands in for the crate of this name, with which Pingora's cache compresses the
//! heads that it keeps. skep has no cache, and so needs no zstd.
//!
//! Should anything switch the cache on, no head can be kept.

use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

/// Fails for every head.
pub struct HeaderSerde(());

impl HeaderSerde {
    /// The parameter is a dictionary.
    pub fn new(_: Option<Vec<u8>>) -> Self {
        Self(())
    }

    /// Turns a head into bytes.
    ///
    /// # Errors
    /// Always.
    pub fn serialize(&self, _: &ResponseHeader) -> Result<Vec<u8>> {
        unsupported()
    }

    /// Turns bytes into a head.
    ///
    /// # Errors
    /// Always.
    pub fn deserialize(&self, _: &[u8]) -> Result<ResponseHeader> {
        unsupported()
    }
}

fn unsupported<T>() -> Result<T> {
    Err(Error::explain(
        ErrorType::InternalError,
        "skep has no cache",
    ))
}
