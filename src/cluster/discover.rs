//! Resolves the configured names to the addresses of the other agents, again in
//! every round.
//!
//! No failure here is fatal. A name that does not resolve leaves its addresses
//! as they were, and the next round tries again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::Name;
use pingora::lb::discovery::ServiceDiscovery;
use pingora::lb::{Backend, Extensions};
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::{Error, ErrorType};
use tokio::time::Instant;

use super::members::Members;
use super::own_service::OwnService;
use crate::config::Discover;
use crate::upstream::client::MAX_AGENTS;

/// Resolves what the configuration names.
pub(crate) struct Discovery {
    sources: Vec<Discover>,
    own: Arc<OwnService>,
    members: Arc<Members>,
    port: u16,
    resolver: Option<TokioResolver>,
    /// The last addresses of each source: a brief failure must not remove the
    /// members behind it.
    last: Mutex<BTreeMap<usize, Vec<SocketAddr>>>,
    /// What failed in the last round, which the log has already.
    failed: Mutex<Option<String>>,
}

impl Discovery {
    /// Resolves these sources or, without any, the tasks of our own service.
    /// `port` stands in where a source names none. `members` that answer, or
    /// did recently, stay discovered in any case.
    pub(crate) fn new(
        sources: Vec<Discover>,
        own: Arc<OwnService>,
        members: Arc<Members>,
        port: u16,
    ) -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            // Docker's DNS answers with a time to live of ten minutes.
            options.cache_size = 0;
            options.attempts = 1;
            options.timeout = std::time::Duration::from_secs(2);
            builder.build()
        });
        let resolver = resolver.map_err(|e| tracing::warn!("no DNS: {e}")).ok();
        Self {
            sources,
            own,
            members,
            port,
            resolver,
            last: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    async fn addresses(&self) -> Result<BTreeSet<SocketAddr>, String> {
        let mut found = BTreeSet::new();
        let mut failures = Vec::new();
        let mut known = 0;
        let own;
        let sources = if self.sources.is_empty() {
            own = self
                .own
                .tasks()
                .await
                .map(|name| Discover::Dns { name, port: None });
            own.as_slice()
        } else {
            &self.sources[..]
        };
        for (n, source) in sources.iter().enumerate() {
            let resolved = self.resolve(source).await;
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            match resolved {
                Ok(addresses) => drop(last.insert(n, addresses)),
                Err(e) => failures.push(e),
            }
            if let Some(addresses) = last.get(&n) {
                known += 1;
                found.extend(addresses);
            }
        }
        let failures = (!failures.is_empty()).then(|| failures.join("; "));
        self.log(failures.as_deref());
        if let Some(failures) = failures.filter(|_| known == 0) {
            return Err(failures);
        }
        Ok(found.into_iter().take(MAX_AGENTS).collect())
    }

    async fn resolve(&self, source: &Discover) -> Result<Vec<SocketAddr>, String> {
        match source {
            Discover::Static(addresses) => Ok(addresses.clone()),
            Discover::Dns { name, port } => {
                let ips = self.ips(name).await?;
                let port = port.unwrap_or(self.port);
                Ok(ips.into_iter().map(|ip| (ip, port).into()).collect())
            }
            Discover::Srv { name } => self.services(name).await,
            Discover::Swarm { port } => {
                let port = port.unwrap_or(self.port);
                let ips = self.members.swarm_addresses();
                Ok(ips.into_iter().map(|ip| (ip, port).into()).collect())
            }
        }
    }

    async fn ips(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = self.resolver()?.lookup_ip(absolute(name)?).await;
        let found = found.map_err(|e| format!("{name}: {e}"))?;
        Ok(found.iter().collect())
    }

    async fn services(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
        let found = self.resolver()?.srv_lookup(absolute(name)?).await;
        let found = found.map_err(|e| format!("{name}: {e}"))?;
        let mut addresses = Vec::new();
        for record in found.answers() {
            if let hickory_resolver::proto::rr::RData::SRV(srv) = &record.data {
                let target = srv.target.to_utf8();
                let ips = self.ips(&target).await?;
                addresses.extend(ips.into_iter().map(|ip| SocketAddr::from((ip, srv.port))));
            }
        }
        Ok(addresses)
    }

    fn resolver(&self) -> Result<&TokioResolver, String> {
        let none = || "the host has no usable resolver configuration".to_owned();
        self.resolver.as_ref().ok_or_else(none)
    }
}

/// A fully qualified name, so that the host's search domains do not apply.
/// Service names may have underscores, which host names must not.
fn absolute(name: &str) -> Result<Name, String> {
    let mut parsed = Name::from_ascii(name).map_err(|e| format!("{name}: {e}"))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

impl Discovery {
    /// Logs a failure once, and its end.
    fn log(&self, failures: Option<&str>) {
        let mut before = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failures {
            Some(now) if before.as_deref() == Some(now) => {}
            Some(now) => tracing::warn!("discovery: {now}"),
            None if before.is_some() => tracing::info!("discovery: all names have addresses now"),
            None => {}
        }
        *before = failures.map(str::to_owned);
    }
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let addresses = self.addresses().await;
        let mut addresses = addresses.map_err(|e| Error::explain(ErrorType::InternalError, e))?;
        // When a node that was cut off comes back, Docker's DNS can also lose
        // the tasks of others for a minute. Agents that answer stay.
        addresses.extend(self.members.recent(Instant::now()));
        let backend = |address| Backend {
            addr: PeerAddress::Inet(address),
            weight: 1,
            ext: Extensions::new(),
        };
        Ok((addresses.into_iter().map(backend).collect(), HashMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_with_an_underscore_is_accepted() {
        let name = absolute("tasks.skep_agent").unwrap();
        assert_eq!(name.to_ascii(), "tasks.skep_agent.");
    }
}
