//! What a signature must cover, in which order, with which parameters.
//!
//! These are the constants of the profile and their reasons. How they become
//! bytes is in `base` and `params`.
//!
//! A signed request looks like this:
//!
//! ```text
//! POST /v1.47/containers/create?name=web HTTP/1.1
//! Content-Type: application/json
//! Content-Digest: sha-256=:…:
//! Signature-Input: sig1=("@method" "@path" "@query" "content-digest" "content-type");created=1767225600;nonce="…";keyid="ci";tag="skep/1"
//! Signature: sig1=:…:
//! ```
//!
//! `nonce` is 128 random bits as 32 lower-case hexadecimal digits, new for
//! every request. There is no `alg`: the algorithm belongs to the key, so that
//! a message cannot choose it (RFC 9421 §7.3.6).

use http::HeaderName;

/// The one signature label that is read and written.
pub const LABEL: &str = "sig1";

/// The `tag` parameter (RFC 9421 §2.3): this profile and its version, so that a
/// signature made for another application with the same key says nothing here.
pub const TAG: &str = "skep/1";

/// The derived components that every signature covers first, in this order.
///
/// Path and query are the bytes as received, neither decoded nor normalised:
/// what was verified is what is parsed afterwards. As RFC 9421 §2.2.7 asks, an
/// absent query is signed as a lone `?`, as is an empty one. `/info` and
/// `/info?` therefore share a signature; that is harmless because an engine
/// reads no parameter out of either.
///
/// `@authority` is not among them, because TLS-terminating proxies rewrite `Host`.
pub const DERIVED: [&str; 3] = ["@method", "@path", "@query"];

/// The headers that a signature covers, in this order, each exactly if the
/// request has it.
///
/// All of them change what a request means, so none may be added, removed or
/// changed on the way:
///
/// - `Content-Digest` stands for the body.
/// - `Content-Type` decides how the engine reads the body (`/build` takes a
///   Dockerfile or a tar by it).
/// - `Skep-Body: unsigned` says that the body is a stream that is not covered;
///   signed, it cannot be forged to have a body left unchecked.
/// - `Skep-Target` and `X-PortainerAgent-Target` choose the node, and
///   `X-PortainerAgent-ManagerOperation` sends the request to a manager.
/// - `Skep-On-Behalf-Of` names the caller for whom an agent speaks.
/// - `X-Registry-Auth` and `X-Registry-Config` decide as whom the engine pulls
///   and pushes.
/// - `Upgrade` turns a request into a raw two-way stream.
pub static COVERED_HEADERS: [HeaderName; 10] = [
    CONTENT_DIGEST,
    http::header::CONTENT_TYPE,
    SKEP_BODY,
    SKEP_TARGET,
    SKEP_ON_BEHALF_OF,
    HeaderName::from_static("x-portaineragent-target"),
    HeaderName::from_static("x-portaineragent-manageroperation"),
    HeaderName::from_static("x-registry-auth"),
    HeaderName::from_static("x-registry-config"),
    http::header::UPGRADE,
];

/// `Signature` (RFC 9421 §4.2).
pub const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// `Signature-Input` (RFC 9421 §4.1).
pub const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// `Content-Digest` (RFC 9530 §2).
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// `Skep-Body`, whose only value is [`UNSIGNED`].
pub const SKEP_BODY: HeaderName = HeaderName::from_static("skep-body");

/// `Skep-Target`: the node that is to answer.
pub const SKEP_TARGET: HeaderName = HeaderName::from_static("skep-target");

/// `Skep-On-Behalf-Of`: the principal for whom an agent forwards a request.
pub const SKEP_ON_BEHALF_OF: HeaderName = HeaderName::from_static("skep-on-behalf-of");

/// The value of `Skep-Body` on a request whose body is not covered.
pub const UNSIGNED: &str = "unsigned";
