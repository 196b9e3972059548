//! Applies changes of the configuration while the agent runs: those of
//! authentication and policies. All other settings need a restart.
//!
//! A task checks the file every few seconds, and at once on SIGHUP, together with
//! the keys, secrets and lists that the file names. A faulty file changes nothing:
//! the old configuration stays in force, and the log has the errors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use skep_filters::auth::NonceMemory;
use tokio::sync::watch;

use crate::agent::plain::Doors;
use crate::cluster::Cluster;
use crate::config::{Config, KeyMaterial};
use crate::gateway::guard::{Guard, GuardError};
use crate::people::Keeper;
use crate::platform;
use crate::platform::tasks::blocking;
use crate::portainer::Portainer;
use crate::telemetry::audit::Audit;
use crate::trust::Trust;

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_secs(2);

/// Replaces the guard when its files change.
pub(crate) struct Reload {
    pub(crate) guard: Arc<ArcSwap<Guard>>,
    /// The configuration of the current guard.
    pub(crate) config: Config,
    /// Its users are callers too.
    pub(crate) people: Arc<Keeper>,
    /// Tells open requests to look whether their callers still have rights.
    pub(crate) rights: watch::Sender<u64>,
    pub(crate) trust: Arc<Trust>,
    /// Shared with the next guard, so that used nonces stay used.
    pub(crate) nonces: Arc<NonceMemory>,
    /// Its secret and key are read again.
    pub(crate) portainer: Option<Arc<Portainer>>,
    /// Reopened on SIGHUP.
    pub(crate) audit: Option<Arc<Audit>>,
    /// Their networks change with the configuration.
    pub(crate) doors: Doors,
    /// It guards the marks of the callers there.
    pub(crate) cluster: Arc<Cluster>,
    /// Taken before the files of the current guard were read.
    pub(crate) stamp: Stamp,
}

/// The modification times and sizes of all files, which reveal a change.
#[derive(Debug, PartialEq)]
pub(crate) struct Stamp(Vec<Option<(SystemTime, u64)>>);

impl Reload {
    /// Checks the files until `stopped` changes.
    pub(crate) async fn run(self, stopped: watch::Receiver<bool>) {
        let people = self.people.changes();
        every_few_seconds(self, Self::check, people, stopped).await;
    }

    fn check(&mut self, cause: Cause) {
        if cause == Cause::People {
            return self.renew();
        }
        let forced = cause == Cause::Signal;
        if self.guard.load().authenticator.certificates.refresh() {
            self.tell();
        }
        let now = Stamp::of(&self.config);
        if !forced && now == self.stamp {
            return;
        }
        // Taken before the files are read, so that no change goes unnoticed. A
        // configuration that names new files is read twice.
        self.stamp = now;
        if let (true, Some(audit)) = (forced, &self.audit)
            && let Err(e) = audit.reopen()
        {
            tracing::error!("cannot reopen the audit log, which continues in the old file: {e}");
        }
        match self.config.file.clone() {
            Some(file) => self.replace(&file),
            None => tracing::info!("no configuration file to reload"),
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
        match guard(&now, &self.people, &self.trust, self.nonces.clone()) {
            Err(e) => tracing::error!("the old configuration stays in force: {e}"),
            Ok(guard) => {
                self.cluster.set_marks(now.marks());
                self.doors.set_networks(&now.plain);
                self.people.set_config(&now);
                self.guard.store(Arc::new(guard));
                self.tell();
                tracing::info!("{}: policies and identities are in force", file.display());
                if now != changed {
                    tracing::warn!("{}: other settings need a restart", file.display());
                }
                self.config = now;
            }
        }
    }
}

impl Reload {
    /// Takes the people whom the list now has.
    fn renew(&self) {
        match guard(&self.config, &self.people, &self.trust, self.nonces.clone()) {
            Err(e) => tracing::error!("the list of people is not in force: {e}"),
            Ok(guard) => {
                self.guard.store(Arc::new(guard));
                self.tell();
            }
        }
    }

    /// Has open requests look whether their callers still have rights.
    fn tell(&self) {
        self.rights
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The callers of a configuration, and the people.
///
/// # Errors
/// As [`Guard::new`].
pub(super) fn guard(
    config: &Config,
    people: &Keeper,
    trust: &Trust,
    nonces: Arc<NonceMemory>,
) -> Result<Guard, GuardError> {
    let people = people.people(config);
    for fault in &people.faults {
        tracing::error!("the list of people: {fault}");
    }
    Guard::new(config, &people, trust, nonces)
}

/// Why the files are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Time,
    Signal,
    /// There is another version of the list of people.
    People,
}

async fn every_few_seconds<T: Send + 'static>(
    mut state: T,
    check: fn(&mut T, Cause),
    mut people: watch::Receiver<u64>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut signals = platform::reload_signals();
    loop {
        let cause = tokio::select! {
            () = tokio::time::sleep(INTERVAL) => Cause::Time,
            () = signals.next() => Cause::Signal,
            Ok(()) = people.changed() => Cause::People,
            _ = stopped.changed() => return,
        };
        // The check reads files.
        state = blocking(move || {
            check(&mut state, cause);
            state
        })
        .await;
    }
}

impl Stamp {
    /// Reads the times and sizes of the configuration and the files it names.
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
    async fn a_check_that_panics_ends_the_task_with_an_error() {
        let (_stopping, stopped) = watch::channel(false);
        let mut tasks = Tasks::default();
        let (_changing, people) = watch::channel(0);
        let looking = every_few_seconds((), |(), _| panic!("unreadable"), people, stopped);
        tasks.spawn("configuration", looking);
        let (error, _) = tasks.failed().await;
        assert!(matches!(error, TaskError::Panicked { task, .. } if task == "configuration"));
    }
}
