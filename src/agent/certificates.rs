//! Makes the cluster's keys and the certificates of this agent, and reads those of
//! the operator.

use std::sync::Arc;

use crate::agent::error::StartError;
use crate::cluster::identity::Identity;
use crate::config::{Config, ListenTls};
use crate::platform::clock;
use crate::platform::tasks::blocking;
use crate::trust::{LeafNames, Secret, Trust, TrustError, UserCertificate};

/// The keys and certificates of an agent.
pub(super) struct Certified {
    pub(super) trust: Arc<Trust>,
    /// The operator's own certificate of each listener with TLS, in their order.
    pub(super) own: Vec<Option<Arc<UserCertificate>>>,
    /// The configured names of this node.
    pub(super) names: Vec<String>,
}

/// Derives the keys from the secrets, and issues the certificates.
///
/// # Errors
/// If they cannot be made, or a configured certificate cannot be used.
pub(super) async fn make(
    config: &Config,
    me: &Identity,
    secrets: Vec<Secret>,
) -> Result<Certified, StartError> {
    let listen = config.listen.iter();
    let names: Vec<_> = listen.flat_map(|one| one.tls.names.clone()).collect();
    let leaf = leaf_names(me, &names);
    let lifetime = config.cluster.certificate_lifetime;
    let derive = move || Trust::new(&secrets, leaf, lifetime, clock::wall());
    let mut trust = blocking(derive).await?;
    let mut own = Vec::new();
    for listen in &config.listen {
        let certificate = user_certificate(&listen.tls)?;
        if let Some(certificate) = &certificate {
            trust = trust.with_user_certificate(certificate.clone());
        }
        own.push(certificate);
    }
    for generation in trust.generations() {
        tracing::info!("cluster {}", generation.fingerprint());
    }
    Ok(Certified {
        trust: Arc::new(trust),
        own,
        names,
    })
}

/// Issues the certificates anew, for the names that the node has now.
///
/// # Errors
/// As [`Trust::rename`].
pub(super) fn rename(trust: &Trust, me: &Identity, names: &[String]) -> Result<(), TrustError> {
    trust.rename(leaf_names(me, names), clock::wall())
}

/// The names in the certificates of this node.
fn leaf_names(me: &Identity, names: &[String]) -> LeafNames {
    LeafNames {
        node_id: Some(me.node_id.clone()).filter(|id| !id.is_empty()),
        hostname: me.hostname.clone(),
        ips: me.address.parse().into_iter().collect(),
        names: names.to_vec(),
    }
}

fn user_certificate(tls: &ListenTls) -> Result<Option<Arc<UserCertificate>>, StartError> {
    Ok(match &tls.certificate {
        Some((certificate, key)) => Some(Arc::new(UserCertificate::load(certificate, key)?)),
        None => None,
    })
}
