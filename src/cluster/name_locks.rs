//! Lets one request at a time give a container a name, so that two requests for
//! one name cannot both find it free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The names that open requests of this agent are about to give.
#[derive(Default)]
pub(crate) struct NameLocks(Mutex<HashMap<String, Lock>>);

/// A name that this request alone may give, until it is dropped.
pub(crate) struct NameLock<'a> {
    locks: &'a NameLocks,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl NameLocks {
    /// Waits until no other request holds the name.
    pub(crate) async fn lock(&self, name: &str) -> NameLock<'_> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(name.to_owned()).or_default().clone()
        };
        // Made before the wait: it cleans up if the client leaves meanwhile.
        let mut held = NameLock {
            locks: self,
            name: name.to_owned(),
            guard: None,
        };
        held.guard = Some(lock.lock_owned().await);
        held
    }
}

impl Drop for NameLock<'_> {
    fn drop(&mut self) {
        self.guard.take();
        let mut locks = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |lock: &Lock| Arc::strong_count(lock) == 1;
        if locks.get(&self.name).is_some_and(is_free) {
            locks.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_name_is_held_by_one_request_at_a_time() {
        let locks = NameLocks::default();
        let first = locks.lock("web").await;
        let other = locks.lock("db").now_or_never();
        assert!(other.is_some(), "another name is free");
        assert!(locks.lock("web").now_or_never().is_none());
        let waits = locks.lock("web");
        drop(first);
        drop(waits.await);
        drop(other);
        assert!(locks.0.lock().unwrap().is_empty(), "nothing is left behind");
    }
}
