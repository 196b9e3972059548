//! Counts the memory that requests in progress hold, of all callers together and of
//! each one, and refuses more.
//!
//! A request takes a share at its start, and more as bytes of a body or of a list
//! arrive. An announced length counts for nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bounds;

/// Why a request gets no more memory.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Exhausted {
    /// The caller's other requests hold its part.
    #[error("the open requests of {0} hold as much memory as one caller may use")]
    Caller(Arc<str>),
    /// All requests together hold everything.
    #[error("the open requests hold all memory that this agent may use; try again later")]
    All,
}

/// The memory of one agent.
#[derive(Debug)]
pub(crate) struct Memory {
    all: usize,
    callers: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: usize,
    callers: usize,
    by_caller: HashMap<Arc<str>, usize>,
}

/// The account of one caller.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    memory: Arc<Memory>,
    /// `None` for a caller that has the reserve.
    caller: Option<Arc<str>>,
}

/// Memory in use until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    account: Account,
    bytes: usize,
}

impl Memory {
    fn new(all: usize, reserve: usize) -> Self {
        Self {
            all,
            callers: all.saturating_sub(reserve),
            used: Mutex::default(),
        }
    }

    /// The account of a caller; `None` for one that has the reserve.
    pub(crate) fn account(self: &Arc<Self>, caller: Option<&str>) -> Account {
        Account {
            memory: self.clone(),
            caller: caller.map(Into::into),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(bounds::REQUESTS, bounds::REQUESTS_RESERVED)
    }
}

impl Account {
    /// A share of nothing, which may grow.
    pub(crate) fn open(&self) -> Share {
        Share {
            account: self.clone(),
            bytes: 0,
        }
    }

    /// Takes memory.
    ///
    /// # Errors
    /// If the caller, or all together, would use more than they may.
    pub(crate) fn take(&self, bytes: usize) -> Result<Share, Exhausted> {
        let mut share = self.open();
        share.grow(bytes)?;
        Ok(share)
    }
}

impl Share {
    /// Takes more.
    ///
    /// # Errors
    /// As [`Account::take`]; the share keeps what it has.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Exhausted> {
        let memory = &self.account.memory;
        let mut used = memory.lock();
        if more > memory.all.saturating_sub(used.all) {
            return Err(Exhausted::All);
        }
        if let Some(caller) = &self.account.caller {
            let has = used.by_caller.get(caller).copied().unwrap_or_default();
            let free = memory.callers.saturating_sub(used.callers);
            let Some(left) = free.checked_sub(more) else {
                return Err(Exhausted::All);
            };
            // No more than is free afterwards: the first caller gets half of the memory,
            // the next one half of the rest, and some is always left.
            if has + more > left {
                return Err(Exhausted::Caller(caller.clone()));
            }
            used.callers += more;
            *used.by_caller.entry(caller.clone()).or_default() += more;
        }
        used.all += more;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.account.memory.lock();
        used.all -= self.bytes;
        if let Some(caller) = &self.account.caller {
            used.callers -= self.bytes;
            if let Some(has) = used.by_caller.get_mut(caller) {
                *has -= self.bytes;
                if *has == 0 {
                    used.by_caller.remove(caller);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_leaves_memory_for_others_and_callers_leave_the_reserve() {
        let memory = Arc::new(Memory::new(100, 20));
        let account = |name| memory.account(Some(name));
        let ci = account("key:ci").take(40).unwrap();
        let refused = account("key:ci").take(1).unwrap_err();
        assert_eq!(refused, Exhausted::Caller("key:ci".into()));
        let mut web = account("key:web").take(10).unwrap();
        web.grow(10).unwrap();
        assert_eq!(
            web.grow(1).unwrap_err(),
            Exhausted::Caller("key:web".into())
        );
        assert_eq!(account("key:x").take(21).unwrap_err(), Exhausted::All);
        let other = account("key:other").take(10).unwrap();
        let agent = memory.account(None);
        let reserve = agent.take(30).unwrap();
        assert_eq!(agent.take(1).unwrap_err(), Exhausted::All);
        drop((ci, web, other, reserve));
        assert!(account("key:ci").take(40).is_ok());
        let used = memory.lock();
        assert_eq!((used.all, used.callers), (0, 0));
        assert!(used.by_caller.is_empty());
    }

    #[test]
    fn a_share_that_is_refused_takes_nothing() {
        let memory = Arc::new(Memory::new(20, 0));
        let account = memory.account(Some("key:ci"));
        let mut share = account.take(6).unwrap();
        assert!(share.grow(usize::MAX).is_err());
        assert!(share.grow(5).is_err());
        assert!(share.grow(4).is_ok());
    }
}
