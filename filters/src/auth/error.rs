//! Lists the reasons why a request, or a key, is refused.
//!
//! The messages are for the operator's log. Callers get
//! [`AuthError::public_reason`] and [`AuthError::public_message`]. No message
//! contains a secret, a signature or a nonce.

/// Why a request was not authenticated.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthError {
    /// A required header is missing.
    #[error("the request is not signed: it has no {0} header")]
    Missing(&'static str),

    /// A header does not have the form of this profile; the text says which.
    #[error("{0}")]
    Malformed(&'static str),

    /// The request needs another list of signed components.
    #[error("the signature must cover exactly ({required}), in this order")]
    NotCovered {
        /// The component list that was expected.
        required: String,
    },

    /// The request does not name the cluster that it is for.
    #[error(
        "the signature does not name the cluster: send Skep-Audience and sign it, as profile skep/2 says; docs/security.md shows how, and the newest docs/sign.sh does it"
    )]
    NoAudience,

    /// The request is for another cluster.
    #[error(
        "key `{key_id}` signed this request for another cluster: Skep-Audience is not the digest of the public key of this cluster's CA; is the file of the CA, or the secret, that of this cluster?"
    )]
    OtherAudience {
        /// The key that signed it.
        key_id: String,
    },

    /// The key is not known, or was removed.
    #[error("no key has the id `{key_id}`: is it in the configuration of this agent?")]
    UnknownKey {
        /// The id that the request named.
        key_id: String,
    },

    /// This key did not make this signature over this request.
    #[error(
        "the signature does not match under key `{key_id}`: another secret, or the method, path, query or a signed header was changed on the way"
    )]
    BadSignature {
        /// The id that the request named.
        key_id: String,
    },

    /// The key derives from the cluster's secret, and the operator's rights do not.
    #[error(
        "the key that derives from the cluster's secret has no rights here: the operator has a key of its own, with the id `operator-key`, or none (cluster.operator_key_file, cluster.operator)"
    )]
    FormerOperator,

    /// The time of the request is outside the window, or before the time from which
    /// the agent remembers requests.
    #[error(
        "the request is stamped {created} and the clock here says {now} (seconds since 1970): the request is too old or too far ahead, or this clock was set back"
    )]
    TimestampSkew {
        /// The `created` parameter.
        created: u64,
        /// The agent's own time.
        now: u64,
    },

    /// A request with a valid signature was received before.
    #[error("a request signed by key `{key_id}` was received twice: sign each retry anew")]
    Replay {
        /// The key that signed it.
        key_id: String,
    },

    /// The body does not match its digest.
    #[error("the body is not the one that was signed: it was changed on the way, or cut off")]
    DigestMismatch,

    /// No digest covers the body, and this request needs one.
    #[error("the body is not signed: {0}")]
    UnsignedBody(&'static str),

    /// The memory for the nonces of one key is full.
    #[error(
        "the replay memory of key `{key_id}` is full ({quota} requests): slow down, or give its users keys of their own"
    )]
    Overloaded {
        /// The key that signed them.
        key_id: String,
        /// The most nonces that are remembered per key.
        quota: usize,
    },
}

impl AuthError {
    /// A short token for logs and metric labels.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Malformed(_) => "malformed",
            Self::NotCovered { .. } => "not-covered",
            Self::NoAudience => "no-audience",
            Self::OtherAudience { .. } => "other-audience",
            Self::UnknownKey { .. } => "unknown-key",
            Self::BadSignature { .. } => "bad-signature",
            Self::FormerOperator => "former-operator",
            Self::TimestampSkew { .. } => "timestamp-skew",
            Self::Replay { .. } => "replay",
            Self::DigestMismatch => "digest-mismatch",
            Self::UnsignedBody(_) => "unsigned-body",
            Self::Overloaded { .. } => "overloaded",
        }
    }

    /// The token for the answer: as [`AuthError::reason`], but an unknown key
    /// reads as a bad signature, so that callers without a key cannot find out
    /// which key ids exist.
    #[must_use]
    pub fn public_reason(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "bad-signature",
            error => error.reason(),
        }
    }

    /// The message for the answer, under the same rule as [`AuthError::public_reason`].
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::UnknownKey { .. } | Self::BadSignature { .. } => {
                "the signature is not valid for this key id and this request: check the key id and \
                 secret, and whether a proxy changed the method, path, query or a signed header"
                    .to_owned()
            }
            error => error.to_string(),
        }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::Malformed(_) => http::StatusCode::BAD_REQUEST,
            Self::Overloaded { .. } => http::StatusCode::SERVICE_UNAVAILABLE,
            _ => http::StatusCode::UNAUTHORIZED,
        }
    }
}

/// Why a key was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// The id has a forbidden character, or is too long or empty.
    #[error(
        "`{0}` is not a key id: use 1 to 64 letters, digits, `.`, `_`, `@` and `-`, beginning with a letter or digit"
    )]
    Id(String),

    /// Two keys have the same id.
    #[error("two keys have the id `{0}`")]
    Duplicate(String),

    /// The secret is too short.
    #[error("the secret of key `{id}` has {length} bytes; it needs at least {minimum} random ones")]
    ShortSecret {
        /// The key's id.
        id: String,
        /// The length of the secret, in bytes.
        length: usize,
        /// The least length, in bytes.
        minimum: usize,
    },

    /// The private key is not an Ed25519 key.
    #[error("the private key of `{id}` is not an Ed25519 key")]
    NotEd25519 {
        /// The key's id.
        id: String,
    },

    /// The Ed25519 public key or seed is not 32 bytes long.
    #[error("an Ed25519 public key or seed is 32 bytes; that of key `{id}` has {length}")]
    Ed25519Length {
        /// The key's id.
        id: String,
        /// The length, in bytes.
        length: usize,
    },
}
