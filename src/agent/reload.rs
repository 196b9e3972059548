//! A configuration that changes while the agent runs: who is let in, and with
//! what, is replaced; all else needs a restart.
//!
//! The file is looked at every few seconds, and at once on SIGHUP. One that is
//! wrong changes nothing: the old one stays, and the log says what is wrong.
//! Keys, secrets and lists that it names are looked at together with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use skep_filters::auth::NonceMemory;
use tokio::sync::watch;

use crate::config::{Config, KeyMaterial};
use crate::gateway::guard::Guard;
use crate::platform;
use crate::platform::tasks::blocking;
use crate::portainer::Portainer;
use crate::telemetry::audit::Audit;
use crate::trust::Trust;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What it takes to replace a guard.
pub(crate) struct Reload {
    /// The guard to replace.
    pub(crate) guard: Arc<ArcSwap<Guard>>,
    /// What it was made of.
    pub(crate) config: Config,
    /// The certificates and keys of the cluster.
    pub(crate) trust: Arc<Trust>,
    /// The nonces seen so far: what was used stays used.
    pub(crate) nonces: Arc<NonceMemory>,
    /// The Portainer servers, whose secret and key are read anew.
    pub(crate) portainer: Option<Arc<Portainer>>,
    /// The audit log, to be begun anew on SIGHUP.
    pub(crate) audit: Option<Arc<Audit>>,
    /// The files as they were when the guard was made, or before.
    pub(crate) stamp: Stamp,
}

/// What tells changed files from the same ones.
#[derive(Debug, PartialEq)]
pub(crate) struct Stamp(Vec<Option<(SystemTime, u64)>>);

impl Reload {
    /// Looks until told to stop.
    pub(crate) async fn run(self, stopped: watch::Receiver<bool>) {
        every_few_seconds(self, Self::look, stopped).await;
    }

    fn look(&mut self, asked: bool) {
        self.guard.load().authenticator.certificates.refresh();
        let now = Stamp::of(&self.config);
        if !asked && now == self.stamp {
            return;
        }
        // From before they are read. One that names other files is read twice.
        self.stamp = now;
        if let (true, Some(audit)) = (asked, &self.audit)
            && let Err(e) = audit.reopen()
        {
            tracing::error!("the audit log goes on in the old file: {e}");
        }
        match self.config.file.clone() {
            Some(file) => self.replace(&file),
            None => tracing::info!("there is no configuration file to read again"),
        }
        match self.portainer.as_ref().map(|portainer| portainer.reread()) {
            Some(Err(e)) => tracing::error!("auth.portainer: the old one stays in force: {e}"),
            Some(Ok(true)) => tracing::info!("auth.portainer: another secret or key is in force"),
            Some(Ok(false)) | None => {}
        }
    }

    fn replace(&mut self, file: &Path) {
        let changed = match Config::load(Some(file)) {
            Ok(changed) => changed,
            Err(e) => return tracing::error!("the old configuration stays in force:\n{e}"),
        };
        let now = self.config.with_guard_of(&changed);
        match Guard::new(&now, &self.trust, self.nonces.clone()) {
            Err(e) => tracing::error!("the old configuration stays in force: {e}"),
            Ok(guard) => {
                self.guard.store(Arc::new(guard));
                tracing::info!("{}: policies and identities are in force", file.display());
                if now != changed {
                    tracing::warn!("{}: other settings need a restart", file.display());
                }
                self.config = now;
            }
        }
    }
}

async fn every_few_seconds<T: Send + 'static>(
    mut of: T,
    look: fn(&mut T, asked: bool),
    mut stopped: watch::Receiver<bool>,
) {
    let mut told = platform::reload_signals();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = told.next() => true,
            _ = stopped.changed() => return,
        };
        // It reads files.
        of = blocking(move || {
            look(&mut of, asked);
            of
        })
        .await;
    }
}

impl Stamp {
    /// The files that say who is let in, as they are now.
    pub(crate) fn of(config: &Config) -> Self {
        let keys = config.auth.keys.iter().map(|key| match &key.material {
            KeyMaterial::PublicKey(path) | KeyMaterial::Secret(path) => path,
        });
        let servers = config
            .auth
            .portainer
            .iter()
            .flat_map(|server| server.files());
        let files = config.file.iter().chain(keys).chain(servers);
        let stamp = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        Self(files.map(stamp).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::tasks::{TaskError, Tasks};

    #[tokio::test]
    async fn a_look_that_panics_is_not_the_quiet_end_of_all_looks() {
        let (_stopping, stopped) = watch::channel(false);
        let mut tasks = Tasks::default();
        let looking = every_few_seconds((), |(), _| panic!("unreadable"), stopped);
        tasks.spawn("configuration", looking);
        let (error, _) = tasks.failed().await;
        assert!(matches!(error, TaskError::Panicked { task, .. } if task == "configuration"));
    }
}
