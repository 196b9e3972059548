//! Stands in for the crate of this name. Pingora links it to compress answers, and has
//! no feature to leave it out; skep passes bodies on as they are. So the program is
//! smaller, and there is less code to trust.
//!
//! Should anything switch compression on, each write fails.

/// The compressors of streams.
pub mod stream {
    pub mod write;
}
