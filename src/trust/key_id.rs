//! Names the two HMAC keys that every generation derives.

use super::generation::Generation;

impl Generation {
    /// The id of the key that agents sign their requests to each other with.
    pub fn agent_key_id(&self) -> String {
        format!("agent-{}", self.fingerprint())
    }

    /// The id of the operator's key.
    pub fn operator_key_id(&self) -> String {
        format!("operator-{}", self.fingerprint())
    }

    /// The id of the operator's key where it is good for health checks only.
    pub(crate) fn health_key_id(&self) -> String {
        format!("health-{}", self.fingerprint())
    }
}
