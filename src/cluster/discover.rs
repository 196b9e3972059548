//! Resolves the configured names to the addresses of the other agents, again in
//! every round.
//!
//! No failure here is fatal. A name that does not resolve leaves its addresses
//! as they were, and the next round tries again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::Name;
use tokio::time::Instant;

use super::members::Members;
use super::own_service::OwnService;
use crate::config::Discover;
use crate::upstream::client::MAX_AGENTS;

/// The addresses that were found.
#[derive(Default)]
pub(crate) struct Discovered {
    pub(crate) addresses: BTreeSet<SocketAddr>,
    /// Absent before the first time.
    pub(crate) at: Option<Instant>,
}

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

    /// The addresses of agents. Those that answer, or did recently, are among them: when
    /// a node that was cut off comes back, Docker's DNS can also lose the tasks of others
    /// for a minute.
    ///
    /// # Errors
    /// If no name has ever had an address.
    pub(crate) async fn addresses(&self) -> Result<BTreeSet<SocketAddr>, String> {
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
        if found.len() > MAX_AGENTS {
            failures.push(format!(
                "the names have {} addresses, and an agent works with at most {MAX_AGENTS} others: \
                 nodes are missing from all answers; divide the Swarm, or give each part of it \
                 its own service of agents",
                found.len()
            ));
        }
        let failures = (!failures.is_empty()).then(|| failures.join("; "));
        self.log(failures.as_deref());
        if let Some(failures) = failures.filter(|_| known == 0) {
            return Err(failures);
        }
        let mut found: BTreeSet<_> = found.into_iter().take(MAX_AGENTS).collect();
        found.extend(self.members.recent(Instant::now()));
        Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::calls;
    use crate::config;
    use crate::upstream::engine::Engine;

    /// So many addresses.
    fn many(count: u32) -> Discover {
        let address = |n| SocketAddr::from((std::net::Ipv4Addr::from_bits((10 << 24) + n), 9001));
        Discover::Static((0..count).map(address).collect())
    }

    #[tokio::test]
    async fn ten_thousand_addresses_are_taken_and_more_are_an_error() {
        let (client, _) = calls();
        let engine = Engine::new(&config::Engine::Socket("/nonexistent".into()));
        let own = Arc::new(OwnService::new(client, Arc::new(engine.unwrap())));
        let most = u32::try_from(MAX_AGENTS).unwrap();
        assert!(most >= 10_000);
        for (sources, found, is_error) in [
            (vec![many(most)], MAX_AGENTS, false),
            (vec![many(most + 1)], MAX_AGENTS, true),
            (vec![many(most / 2), many(most)], MAX_AGENTS, false),
        ] {
            let members = Arc::new(Members::default());
            let discovery = Discovery::new(sources, own.clone(), members, 9001);
            assert_eq!(discovery.addresses().await.unwrap().len(), found);
            let failed = discovery.failed.lock().unwrap();
            assert_eq!(failed.is_some(), is_error, "{failed:?}");
        }
    }

    #[test]
    fn a_service_name_with_an_underscore_is_accepted() {
        let name = absolute("tasks.skep_agent").unwrap();
        assert_eq!(name.to_ascii(), "tasks.skep_agent.");
    }
}
