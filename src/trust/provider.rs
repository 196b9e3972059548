//! Defines the program's only provider of cryptography.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// Passed at each use, so that the process-wide default has no effect.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
