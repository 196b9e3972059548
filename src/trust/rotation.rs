//! Keeps the leaves in use, and issues them again when they are due.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};

use super::error::TrustError;
use super::generation::Generation;
use super::leaf::{BACKDATED, Leaf, LeafNames};

/// The longest lifetime of a leaf, so that arithmetic with times cannot
/// overflow.
const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The leaves in use, replaced together while connections read them.
pub(super) struct Rotation {
    lifetime: Duration,
    current: ArcSwap<LeafSet>,
}

/// Leaves that were issued together, one per generation and in the same order.
pub(super) struct LeafSet {
    pub(super) leaves: Vec<Arc<Leaf>>,
    names: LeafNames,
    at: SystemTime,
}

impl Rotation {
    pub(super) fn start(
        generations: &[Arc<Generation>],
        names: LeafNames,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let lifetime = lifetime.min(MAX_LIFETIME);
        let leaves = LeafSet::issue(generations, names, lifetime, now)?;
        Ok(Self {
            lifetime,
            current: ArcSwap::from_pointee(leaves),
        })
    }

    pub(super) fn current(&self) -> Guard<Arc<LeafSet>> {
        self.current.load()
    }

    /// Issues all leaves again, and returns when that is due next.
    pub(super) fn rotate(
        &self,
        generations: &[Arc<Generation>],
        now: SystemTime,
    ) -> Result<SystemTime, TrustError> {
        let names = self.current().names.clone();
        self.replace(generations, names, now)?;
        Ok(now + self.lifetime / 2)
    }

    /// Issues all leaves again if the names differ from those in use.
    pub(super) fn rename(
        &self,
        generations: &[Arc<Generation>],
        names: LeafNames,
        now: SystemTime,
    ) -> Result<(), TrustError> {
        if self.current().names == names {
            return Ok(());
        }
        self.replace(generations, names, now)
    }

    /// Whether half of the leaves' life is over, or the clock was set back so
    /// far that the leaves are almost not valid yet. The first case includes a
    /// machine without a battery, whose clock starts in the past and jumps
    /// ahead.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        match now.duration_since(self.current().at) {
            Ok(age) => age >= self.lifetime / 2,
            Err(behind) => behind.duration() >= BACKDATED / 2,
        }
    }

    fn replace(
        &self,
        generations: &[Arc<Generation>],
        names: LeafNames,
        now: SystemTime,
    ) -> Result<(), TrustError> {
        let leaves = LeafSet::issue(generations, names, self.lifetime, now)?;
        self.current.store(Arc::new(leaves));
        Ok(())
    }
}

impl LeafSet {
    fn issue(
        generations: &[Arc<Generation>],
        names: LeafNames,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let leaves = generations
            .iter()
            .map(|generation| Leaf::issue(generation, &names, lifetime, now).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            leaves,
            names,
            at: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock;
    use crate::trust::tests::generation;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn leaves_are_due_at_half_life_and_when_the_clock_is_set_far_back() {
        let start = clock::wall();
        let rotation =
            Rotation::start(&[generation("a")], LeafNames::default(), 168 * HOUR, start).unwrap();
        for (now, due) in [
            (start, false),
            (start + 83 * HOUR, false),
            (start + 84 * HOUR, true),
            (start + 24 * 365 * HOUR, true),
            (start - HOUR, false),
            (start - 12 * HOUR, true),
            (SystemTime::UNIX_EPOCH, true),
        ] {
            assert_eq!(rotation.is_due(now), due, "{:?}", now.duration_since(start));
        }
    }

    #[test]
    fn a_rotation_returns_when_the_next_is_due() {
        let start = clock::wall();
        let generations = [generation("a")];
        let rotation =
            Rotation::start(&generations, LeafNames::default(), 168 * HOUR, start).unwrap();
        let later = start + 100 * HOUR;
        assert_eq!(
            rotation.rotate(&generations, later).unwrap(),
            later + 84 * HOUR
        );
        assert!(!rotation.is_due(later));
    }

    #[test]
    fn only_new_names_cause_new_leaves() {
        let now = clock::wall();
        let generations = [generation("a")];
        let rotation = Rotation::start(&generations, LeafNames::default(), HOUR, now).unwrap();
        let serial = || rotation.current().leaves[0].serial.clone();
        let first = serial();
        rotation
            .rename(&generations, LeafNames::default(), now)
            .unwrap();
        assert_eq!(serial(), first);
        let names = LeafNames {
            hostname: "node-1".into(),
            ..Default::default()
        };
        rotation.rename(&generations, names.clone(), now).unwrap();
        assert_ne!(serial(), first);
        rotation.rotate(&generations, now).unwrap();
        assert_eq!(rotation.current().names, names);
    }
}
