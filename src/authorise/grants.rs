//! Finds the rights of each identity, and counts its requests for its limits.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use skep_filters::auth::{Client, OnBehalfOf, Principal};

use crate::authorise::limit::Limiter;
use crate::config::{Config, Grant, People, SecretSource};
use crate::exchange::called::Permit;
use crate::exchange::caller::Caller;
use crate::exchange::reject::Reject;

/// The name of all Portainer servers, which share one grant and its limits.
const SERVERS: &str = "portainer";

/// The grants of all identities.
pub(crate) struct Grants {
    admin: Arc<Grant>,
    /// By the name that [`identity`] gives them.
    others: HashMap<String, Arc<Grant>>,
    limiter: Limiter,
}

impl Grants {
    /// The grants of a configuration, and of the people whom it does not name itself.
    pub(crate) fn new(config: &Config, people: &People) -> Self {
        // Whoever may inspect the agent's container would read it there.
        let is_in_environment = matches!(
            config.cluster.portainer_secret,
            Some(SecretSource::Given(_))
        );
        let persons = people.persons.iter().flat_map(|person| {
            let key = person.public_key.map(|_| format!("key:{}", person.name));
            let names = [Some(format!("cert:{}", person.name)), key];
            names
                .into_iter()
                .flatten()
                .map(|name| (name, &person.grant))
        });
        let others: HashMap<_, _> = persons
            .chain(identities(config))
            .map(|(name, grant)| {
                let grant = grant.clone();
                let grant = match is_in_environment {
                    true => grant.hiding_agents_secret(),
                    false => grant,
                };
                (name, Arc::new(grant))
            })
            .collect();
        let named = others.iter().map(|(name, grant)| (name.as_str(), &**grant));
        Self {
            limiter: Limiter::new(named),
            admin: Arc::new(Grant::admin()),
            others,
        }
    }

    /// Lets keys with these ids ask whether the agent lives, and nothing else.
    pub(crate) fn with_health_checks(mut self, ids: impl Iterator<Item = String>) -> Self {
        if let Some(grant) = Grant::health().map(Arc::new) {
            let named = ids.map(|id| (format!("key:{id}"), grant.clone()));
            self.others.extend(named);
        }
        self
    }

    /// The rights of a caller from this address, if it has one. The client of
    /// another agent is judged by this node's configuration; a name that it does
    /// not know has no rights.
    ///
    /// # Errors
    /// If the identity is not known here, or may not call from that address.
    pub(crate) fn grant(
        &self,
        caller: &Caller,
        from: Option<IpAddr>,
    ) -> Result<&Arc<Grant>, Reject> {
        let grant = self
            .of(caller)
            .ok_or_else(|| Reject::UnknownIdentity(caller.name.clone()))?;
        // The other agent has checked the address of its client.
        if caller.is_peer() || grant.covers(from) {
            return Ok(grant);
        }
        Err(Reject::WrongNetwork(caller.name.clone()))
    }

    /// When the rights of a caller began, if it has any.
    pub(crate) fn since(&self, caller: &Caller) -> Option<u64> {
        self.of(caller).map(|grant| grant.since)
    }

    fn of(&self, caller: &Caller) -> Option<&Arc<Grant>> {
        match &caller.principal {
            Principal::Client(client) => self.of_client(client),
            Principal::Peer { on_behalf_of, .. } => match on_behalf_of {
                OnBehalfOf::Agent => Some(&self.admin),
                // Sockets belong to one machine, and so may the names of its
                // users: the agent of that machine has judged the request.
                OnBehalfOf::Client(client @ Client::Local { .. }) => {
                    self.of_client(client).or(Some(&self.admin))
                }
                OnBehalfOf::Client(client) => self.of_client(client),
            },
        }
    }

    /// Counts a request among the open ones of its caller, until the permit is
    /// dropped. A request that passes through two agents counts at the first.
    ///
    /// # Errors
    /// If the caller has reached one of its limits.
    pub(crate) fn acquire(&self, caller: &Caller, grant: &Grant) -> Result<Permit, Reject> {
        match &caller.principal {
            Principal::Client(Client::Operator { .. }) | Principal::Peer { .. } => {
                Ok(Permit::default())
            }
            Principal::Client(client) => self.limiter.acquire(&identity(client), grant.limits),
        }
    }

    fn of_client(&self, client: &Client) -> Option<&Arc<Grant>> {
        match client {
            Client::Operator { .. } => Some(&self.admin),
            Client::Portainer { .. }
            | Client::Key { .. }
            | Client::Certificate { .. }
            | Client::Local { .. } => self.others.get(&*identity(client)),
        }
    }
}

/// The name under which the configuration grants rights to a client.
fn identity(client: &Client) -> Cow<'static, str> {
    match client {
        // Each server has its own key; the configuration has one grant for all.
        Client::Portainer { .. } => SERVERS.into(),
        Client::Operator { .. }
        | Client::Key { .. }
        | Client::Certificate { .. }
        | Client::Local { .. } => client.to_string().into(),
    }
}

/// All identities of the configuration, by the name that [`identity`] gives them.
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
        .chain(config.plain.iter().flat_map(|plain| plain.identities()))
        .map(|one| (format!("local:{}", one.name), &one.grant));
    let servers = config.auth.portainer.iter();
    let servers = servers.map(|server| (SERVERS.to_owned(), &server.grant));
    keys.chain(certificates).chain(local).chain(servers)
}
