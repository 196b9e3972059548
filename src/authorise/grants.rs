//! What each identity may do, and how much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use skep_filters::auth::Principal;

use crate::authorise::limit::Limiter;
use crate::config::{Config, Grant};
use crate::exchange::Permit;
use crate::exchange::reject::Reject;

/// All Portainer servers together, as their limits count them.
const SERVERS: &str = "portainer";

/// The grants of all identities.
pub(crate) struct Grants {
    admin: Arc<Grant>,
    portainer: Option<Arc<Grant>>,
    /// By the text form of the principal.
    others: HashMap<String, Arc<Grant>>,
    limiter: Limiter,
}

impl Grants {
    /// The grants of a configuration.
    pub(crate) fn new(config: &Config) -> Self {
        let others: HashMap<_, _> = identities(config)
            .map(|(name, grant)| (name, Arc::new(grant.clone())))
            .collect();
        let portainer = config.auth.portainer.as_ref();
        let portainer = portainer.map(|server| Arc::new(server.grant.clone()));
        let named = others.iter().map(|(name, grant)| (name.as_str(), &**grant));
        let servers = portainer.iter().map(|grant| (SERVERS, &**grant));
        let limiter = Limiter::new(named.chain(servers));
        Self {
            limiter,
            admin: Arc::new(Grant::admin()),
            portainer,
            others,
        }
    }

    /// What a caller may do; `name` is its text form, and `from` its address, if it
    /// has one. Of another
    /// agent's request, whoever stands behind it is judged by this node's
    /// configuration; where that does not know the name, nothing is allowed.
    ///
    /// # Errors
    /// If the identity is not known here, or not good from there.
    pub(crate) fn grant(
        &self,
        who: &Principal,
        name: &str,
        from: Option<IpAddr>,
    ) -> Result<&Arc<Grant>, Reject> {
        let grant = match who {
            Principal::Peer {
                on_behalf_of: Some(behind),
                ..
            } => self.by_name(behind),
            Principal::Operator { .. } | Principal::Peer { .. } => Some(&self.admin),
            Principal::Portainer { .. } => self.portainer.as_ref(),
            Principal::Key { .. } | Principal::Certificate { .. } | Principal::Local { .. } => {
                self.others.get(name)
            }
        };
        let unknown = || Reject::UnknownIdentity(name.to_owned());
        let grant = grant.ok_or_else(unknown)?;
        // Where the caller of another agent calls from was seen there.
        if matches!(who, Principal::Peer { .. }) || grant.covers(from) {
            return Ok(grant);
        }
        Err(Reject::WrongNetwork(name.to_owned()))
    }

    /// A place among the requests that a caller may have open. It is held until
    /// it is dropped. Of what agents ask each other, the first one counts.
    ///
    /// # Errors
    /// If the caller has used up what it may.
    pub(crate) fn acquire(
        &self,
        who: &Principal,
        name: &str,
        grant: &Grant,
    ) -> Result<Permit, Reject> {
        match who {
            Principal::Operator { .. } | Principal::Peer { .. } => Ok(Permit::default()),
            Principal::Portainer { .. } => self.limiter.acquire(SERVERS, grant.limits),
            Principal::Key { .. } | Principal::Certificate { .. } | Principal::Local { .. } => {
                self.limiter.acquire(name, grant.limits)
            }
        }
    }

    fn by_name(&self, name: &str) -> Option<&Arc<Grant>> {
        match name.split_once(':')? {
            ("operator", _) => Some(&self.admin),
            ("portainer", _) => self.portainer.as_ref(),
            // A socket is of one machine, and so may be who is called what
            // there: that machine's agent has judged.
            ("local", _) => self.others.get(name).or(Some(&self.admin)),
            _ => self.others.get(name),
        }
    }
}

/// Everybody whom the configuration names, in the text form of the principal.
pub(crate) fn identities(config: &Config) -> impl Iterator<Item = (String, &Grant)> {
    let keys = config.auth.keys.iter();
    let keys = keys.map(|key| (format!("key:{}", key.id), &key.grant));
    let certificates = config.auth.certificates.iter();
    let certificates = certificates
        .flat_map(|all| &all.identities)
        .map(|one| (format!("cert:{}", one.name), &one.grant));
    let sockets = config.sockets.iter();
    let local = sockets
        .flat_map(|socket| {
            let users = socket.users.iter().map(|user| &user.identity);
            users.chain(&socket.others)
        })
        .map(|one| (format!("local:{}", one.name), &one.grant));
    keys.chain(certificates).chain(local)
}
