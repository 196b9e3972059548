//! What a rule does with the requests that match it.

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lets through.
    Allow,
    /// Refuses.
    Deny,
}

impl Effect {
    /// As in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}
