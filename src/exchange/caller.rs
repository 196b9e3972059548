//! A caller that has proved who it is.

use skep_filters::auth::{BodyBinding, Principal};

/// A caller who has proved who it is.
pub(crate) struct Caller {
    /// Who.
    pub(crate) principal: Principal,
    /// What the signature says of the body.
    pub(crate) body: BodyBinding,
    /// Whether the caller may send streams that no digest covers.
    pub(crate) unsigned_streams: bool,
}
