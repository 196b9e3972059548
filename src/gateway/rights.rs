//! Ends what a caller has open when the caller loses its rights: a user is disabled or
//! removed, a certificate revoked, an identity taken out of the configuration.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::proxy::Session;
use skep_filters::auth::{Client, OnBehalfOf, Principal};
use tokio::sync::watch;

use crate::authenticate;
use crate::exchange::caller::Caller;
use crate::gateway::guard::Guard;
use crate::trust::ClientCertificate;

/// The rights with which a request began.
#[derive(Clone)]
pub(super) struct Rights {
    caller: Arc<Caller>,
    since: u64,
    shown: Option<ClientCertificate>,
}

impl Rights {
    /// The rights of a caller; `None` for agents and the operator, who keep theirs.
    pub(super) fn of(session: &Session, caller: &Arc<Caller>, since: u64) -> Option<Self> {
        let client = match &caller.principal {
            Principal::Client(client) => client,
            Principal::Peer { on_behalf_of, .. } => match on_behalf_of {
                OnBehalfOf::Client(client) => client,
                OnBehalfOf::Agent => return None,
            },
        };
        let shown = match (client, caller.is_peer()) {
            (Client::Operator { .. }, _) => return None,
            (Client::Certificate { .. }, false) => authenticate::client_certificate(session),
            _ => None,
        };
        Some(Self {
            caller: caller.clone(),
            since,
            shown: shown.cloned(),
        })
    }

    /// Resolves when a guard does not admit the caller any more.
    pub(super) async fn end(self, guard: Arc<ArcSwap<Guard>>, mut changes: watch::Receiver<u64>) {
        loop {
            changes.borrow_and_update();
            let keeps = guard
                .load()
                .keeps(&self.caller, self.since, self.shown.as_ref());
            if !keeps {
                return;
            }
            if changes.changed().await.is_err() {
                // The agent stops.
                std::future::pending::<()>().await;
            }
        }
    }
}
