//! A caller that has proved who it is.

use skep_filters::auth::{BodyBinding, Principal};

/// A caller who has proved who it is.
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What the signature says of the body.
    pub body: BodyBinding,
    /// Whether the caller may send streams that no digest covers.
    pub unsigned_streams: bool,
}
