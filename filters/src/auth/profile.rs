//! Lists the constants of the profile: the components that a signature covers, their
//! order, and the parameters, with the reasons. `base` and `params` turn them into
//! bytes.
//!
//! A signed request looks like this:
//!
//! ```text
//! POST /v1.47/containers/create?name=web HTTP/1.1
//! Content-Type: application/json
//! Content-Digest: sha-256=:…:
//! Skep-Audience: 9f86d081…
//! Signature-Input: sig1=("@method" "@path" "@query" "skep-audience" "content-digest" "content-type");created=1767225600;nonce="…";keyid="ci";tag="skep/2"
//! Signature: sig1=:…:
//! ```
//!
//! `nonce` is 128 random bits as 32 lower-case hexadecimal digits, new for
//! every request. There is no `alg`: the algorithm belongs to the key, so that
//! a message cannot choose it (RFC 9421 §7.3.6).

use http::HeaderName;

/// The only signature label.
pub const LABEL: &str = "sig1";

/// The `tag` parameter (RFC 9421 §2.3): this profile and its version, so that a
/// signature made for another application with the same key is not valid here.
pub const TAG: &str = "skep/2";

/// The `tag` of the first version of the profile. It is the same without
/// `Skep-Audience`, so that its signatures are valid at every cluster that has the key.
/// A verifier accepts it only if its configuration says so.
pub const TAG_WITHOUT_AUDIENCE: &str = "skep/1";

/// The derived components that every signature covers first, in this order.
///
/// Path and query are the bytes as received, neither decoded nor normalised, so
/// the verified bytes are those that are parsed afterwards. RFC 9421 §2.2.7 signs
/// an absent query as a lone `?`, like an empty one. `/info` and `/info?`
/// therefore share a signature, which is harmless: neither has a parameter.
///
/// `@authority` is not among them, because TLS-terminating proxies rewrite `Host`.
pub const DERIVED: [&str; 3] = ["@method", "@path", "@query"];

/// The headers that a signature covers, in this order. It covers each if and only
/// if the request has it.
///
/// Version 2 needs the first: `Skep-Audience` names the cluster, so that no other
/// cluster with the same key accepts the request.
///
/// The others change what a request means, so none may be added, removed or
/// changed on the way:
///
/// - `Content-Digest` stands for the body.
/// - `Content-Type` decides how the engine reads the body (`/build` takes a
///   Dockerfile or a tar by it).
/// - `Skep-Body: unsigned` says that the body is a stream that is not covered.
///   It is signed so that it cannot be added to avoid the check of a body.
/// - `Skep-Target` and `X-PortainerAgent-Target` choose the node, and
///   `X-PortainerAgent-ManagerOperation` sends the request to a manager.
/// - `Skep-On-Behalf-Of` names the caller for which an agent asks.
/// - `X-Registry-Auth` and `X-Registry-Config` are the credentials with which the
///   engine pulls and pushes.
/// - `Upgrade` turns a request into a raw two-way stream.
pub static COVERED_HEADERS: [HeaderName; 11] = [
    SKEP_AUDIENCE,
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

/// `Skep-Audience`: the cluster that the request is for, as an
/// [`Audience`](super::Audience).
pub const SKEP_AUDIENCE: HeaderName = HeaderName::from_static("skep-audience");

/// `Skep-Body`, whose only value is [`UNSIGNED`].
pub const SKEP_BODY: HeaderName = HeaderName::from_static("skep-body");

/// `Skep-Target`: the node that should answer.
pub const SKEP_TARGET: HeaderName = HeaderName::from_static("skep-target");

/// `Skep-On-Behalf-Of`: the principal for which an agent forwards a request.
pub const SKEP_ON_BEHALF_OF: HeaderName = HeaderName::from_static("skep-on-behalf-of");

/// `Skep-Request-Id`: the id of a request in the logs. An agent passes it on to
/// other agents, whose certificates vouch for it, and puts it on answers.
pub const SKEP_REQUEST_ID: HeaderName = HeaderName::from_static("skep-request-id");

/// The value of `Skep-Body` on a request whose body is not covered.
pub const UNSIGNED: &str = "unsigned";
