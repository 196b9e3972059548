//! Lists the reason words of refusals, one for each kind, as the log, the audit log
//! and docs/operating.md have them.

use std::fmt;

/// The reason word of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A signature is not valid; the word says why.
    Signature(&'static str),
    /// `agent-route`
    AgentRoute,
    /// `ambiguous`
    Ambiguous,
    /// `apart`
    NoCommonNode,
    /// `body-incomplete`
    BodyIncomplete,
    /// `body-too-long`
    BodyTooLong,
    /// `browse`
    Browse,
    /// `busy`
    Busy,
    /// `certificate-expired`
    CertificateExpired,
    /// `certificate-list`
    CertificateList,
    /// `certificate-revoked`
    CertificateRevoked,
    /// `certificate-unknown`
    CertificateUnknown,
    /// `caller-unknown`
    CallerUnknown,
    /// `client`
    Client,
    /// `console`
    Console,
    /// `cross-origin`
    CrossOrigin,
    /// `denied`
    Denied,
    /// `engine`
    Engine,
    /// `forward`
    Forward,
    /// `image-not-copied`
    ImageNotCopied,
    /// `internal`
    Internal,
    /// `invitation`
    Invitation,
    /// `media-type`
    MediaType,
    /// `name-taken`
    NameTaken,
    /// `no-manager`
    NoManager,
    /// `no-such`
    NoSuch,
    /// `nobody`
    NoNodeAnswered,
    /// `node`
    Node,
    /// `not-an-agent`
    NotAnAgent,
    /// `not-everywhere`
    PartiallyDone,
    /// `not-found`
    NotFound,
    /// `not-served`
    NotServed,
    /// `on-missing-node`
    OnMissingNode,
    /// `out-of-scope`
    OutOfScope,
    /// `parameter`
    Parameter,
    /// `partial`
    Partial,
    /// `path`
    Path,
    /// `people`
    People,
    /// `people-unknown`
    PeopleUnknown,
    /// `rights-ended`
    RightsEnded,
    /// `several-nodes`
    SeveralNodes,
    /// `signed-without-tls`
    SignedWithoutTls,
    /// `target`
    Target,
    /// `too-many`
    TooMany,
    /// `unknown-identity`
    UnknownIdentity,
    /// `unredacted`
    Unredacted,
    /// `user-disabled`
    UserDisabled,
    /// `user-unknown`
    UserUnknown,
    /// `wrong-network`
    WrongNetwork,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Signature(word) => word,
            Self::AgentRoute => "agent-route",
            Self::Ambiguous => "ambiguous",
            Self::NoCommonNode => "apart",
            Self::BodyIncomplete => "body-incomplete",
            Self::BodyTooLong => "body-too-long",
            Self::Browse => "browse",
            Self::Busy => "busy",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateList => "certificate-list",
            Self::CertificateRevoked => "certificate-revoked",
            Self::CertificateUnknown => "certificate-unknown",
            Self::CallerUnknown => "caller-unknown",
            Self::Client => "client",
            Self::Console => "console",
            Self::CrossOrigin => "cross-origin",
            Self::Denied => "denied",
            Self::Engine => "engine",
            Self::Forward => "forward",
            Self::ImageNotCopied => "image-not-copied",
            Self::Internal => "internal",
            Self::Invitation => "invitation",
            Self::MediaType => "media-type",
            Self::NameTaken => "name-taken",
            Self::NoManager => "no-manager",
            Self::NoSuch => "no-such",
            Self::NoNodeAnswered => "nobody",
            Self::Node => "node",
            Self::NotAnAgent => "not-an-agent",
            Self::PartiallyDone => "not-everywhere",
            Self::NotFound => "not-found",
            Self::NotServed => "not-served",
            Self::OnMissingNode => "on-missing-node",
            Self::OutOfScope => "out-of-scope",
            Self::Parameter => "parameter",
            Self::Partial => "partial",
            Self::Path => "path",
            Self::People => "people",
            Self::PeopleUnknown => "people-unknown",
            Self::RightsEnded => "rights-ended",
            Self::SeveralNodes => "several-nodes",
            Self::SignedWithoutTls => "signed-without-tls",
            Self::Target => "target",
            Self::TooMany => "too-many",
            Self::UnknownIdentity => "unknown-identity",
            Self::Unredacted => "unredacted",
            Self::UserDisabled => "user-disabled",
            Self::UserUnknown => "user-unknown",
            Self::WrongNetwork => "wrong-network",
        }
    }

    /// Whether the caller's policy refused the request.
    pub(crate) fn is_denial(self) -> bool {
        matches!(
            self,
            Self::Denied | Self::NoSuch | Self::OutOfScope | Self::Parameter
        )
    }

    /// Whether the caller has not proved its identity.
    pub(crate) fn is_unauthenticated(self) -> bool {
        matches!(
            self,
            Self::Signature(_)
                | Self::CertificateUnknown
                | Self::Invitation
                | Self::PeopleUnknown
                | Self::UserDisabled
                | Self::CertificateExpired
                | Self::CertificateRevoked
                | Self::CertificateList
                | Self::CrossOrigin
                | Self::CallerUnknown
                | Self::SignedWithoutTls
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
