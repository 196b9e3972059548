//! Chooses the manager that answers soonest, and describes those that do not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Cluster;
use super::members::Member;

/// A manager is preferred while its agent answers probes in so many times the time of
/// the quickest, or while nobody notices the difference.
const QUICK: u32 = 4;
const UNNOTICED: Duration = Duration::from_millis(100);

/// How long the other managers come before one that took too long.
const SLOW: Duration = Duration::from_secs(10);

impl Cluster {
    /// A manager that answered its last probe, chosen round robin among those that
    /// answer soon.
    pub(crate) fn manager(&self) -> Option<Arc<Member>> {
        let mut ready = self.others();
        ready.retain(|m| m.manager && m.is_ready());
        let took = |m: &Arc<Member>| self.members.last_took(&m.id).unwrap_or_default();
        let good = ready.iter().filter(|m| self.is_prompt(m));
        let quickest = good.clone().map(took).min().unwrap_or_default();
        let most = (quickest * QUICK).max(quickest + UNNOTICED);
        let mut best: Vec<_> = good.filter(|m| took(m) <= most).collect();
        if best.is_empty() {
            best = ready.iter().collect();
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        best.get(turn % best.len().max(1)).map(|m| (*m).clone())
    }

    /// Whether another manager than this one may answer sooner.
    pub(crate) fn has_other_manager(&self, than: &Member) -> bool {
        let mut others = self.others().into_iter();
        others.any(|m| m.manager && m.id != than.id && m.is_ready() && self.is_prompt(&m))
    }

    /// Records that a manager took too long for a call. For a while the others come
    /// first.
    pub(crate) fn was_slow(&self, id: &str) {
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.retain(|_, since| since.elapsed() < SLOW);
        slow.insert(id.to_owned(), Instant::now());
    }

    fn is_prompt(&self, member: &Member) -> bool {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let is_slow = slow.get(&member.id).is_some_and(|t| t.elapsed() < SLOW);
        !is_slow && !self.is_doubtful(member)
    }

    /// Since when a node does not answer, and what follows, for a message.
    pub(crate) fn outlook(&self, member: &Member) -> String {
        let now = self.members.get(&member.id);
        let away = now.filter(|m| m.is_away()).map(|m| m.entered.elapsed());
        let since = match away {
            Some(time) => format!("; it has been away for {} s", time.as_secs()),
            None => String::new(),
        };
        format!("{since}; skep goes on asking it, and `skep nodes` shows when it answers")
    }

    /// The name and state of every known manager, for a message.
    pub(crate) fn managers_in_words(&self) -> String {
        let managers = self.all().into_iter().filter(|m| m.manager);
        let words: Vec<_> = managers
            .map(|m| format!("{} ({}): {}", m.name(), m.id, m.state))
            .collect();
        if words.is_empty() {
            "none was ever found; is the agent running on every manager?".to_owned()
        } else {
            words.join(", ")
        }
    }
}
