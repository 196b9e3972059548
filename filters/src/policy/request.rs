//! Defines the input of a policy: the head of a request, and its body.

use super::error::BodyError;
use super::node::On;
use crate::endpoint::{Match, RequestPath, query};
use crate::json::Json;

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Its row of the endpoint table.
    pub found: Option<&'r Match>,
    /// Its method.
    pub method: &'r str,
    /// Its path.
    pub path: &'r RequestPath<'r>,
    /// Its query, without `?`, as it is forwarded.
    pub query: &'r str,
    /// Its `Upgrade` header.
    pub upgrade: Option<&'r str>,
    /// The node that it goes to.
    pub on: On<'r>,
}

/// A whole body, and what the headers say about it.
#[derive(Clone, Copy, Debug)]
pub struct BodyOf<'r> {
    /// The bytes that are forwarded.
    pub bytes: &'r [u8],
    /// Its `Content-Type` header.
    pub content_type: Option<&'r str>,
    /// Its `Content-Encoding` header.
    pub content_encoding: Option<&'r str>,
}

impl<'r> BodyOf<'r> {
    /// Reads the body as the engine does, or refuses it.
    pub(super) fn read(&self) -> Result<Json<'r>, BodyError> {
        // The engine decodes nothing, but a proxy before it might.
        let coding = self.content_encoding.unwrap_or_default().trim();
        if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
            return Err(BodyError::Encoded);
        }
        // Go reads a form body as parameters instead (`ParseForm`).
        let media = self.content_type.unwrap_or("application/json");
        let media = media.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(BodyError::NotJsonType);
        }
        Ok(Json::parse(self.bytes)?)
    }
}

/// Whether `POST /images/create` with this query imports instead of pulls. The engine asks no
/// more than whether `fromImage` has a value (moby `postImagesCreate`).
pub(super) fn imports(query: &str) -> bool {
    query::get(query, "fromImage").is_none_or(|image| image.is_empty())
}
