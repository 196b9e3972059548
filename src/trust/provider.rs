//! The one provider of cryptography of the program.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// Named at each use, so that no default of the whole process decides.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
