//! Defines the input of a policy: the head of a request, and its body.

use std::sync::OnceLock;

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

/// A whole body, and what the headers say about it. It is read once, however many
/// rules judge it.
#[derive(Debug)]
pub struct BodyOf<'r> {
    bytes: &'r [u8],
    content_type: Option<&'r str>,
    content_encoding: Option<&'r str>,
    json: OnceLock<Result<Json<'r>, BodyError>>,
}

impl<'r> BodyOf<'r> {
    /// A body of JSON without a header that says otherwise.
    pub fn json(bytes: &'r [u8]) -> Self {
        Self::new(bytes, None, None)
    }

    /// The bytes that are forwarded, with their `Content-Type` and
    /// `Content-Encoding`.
    pub fn new(
        bytes: &'r [u8],
        content_type: Option<&'r str>,
        content_encoding: Option<&'r str>,
    ) -> Self {
        Self {
            bytes,
            content_type,
            content_encoding,
            json: OnceLock::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn bytes(&self) -> &'r [u8] {
        self.bytes
    }

    /// Reads the body as the engine does, or refuses it.
    pub(super) fn read(&self) -> Result<&Json<'r>, BodyError> {
        let json = self.json.get_or_init(|| self.parse());
        json.as_ref().map_err(BodyError::clone)
    }

    fn parse(&self) -> Result<Json<'r>, BodyError> {
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
