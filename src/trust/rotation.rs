//! Keeps the leaves fresh: which are in use, and when they are due to be minted again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};

use super::error::TrustError;
use super::generation::Generation;
use super::leaf::{BACKDATED, Leaf, LeafNames};

/// Keeps arithmetic with times far from overflowing; nobody should want more.
const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The leaves in use, replaced as a whole while connections read them.
pub(super) struct Rotation {
    lifetime: Duration,
    current: ArcSwap<Minted>,
}

/// Leaves that were minted together: one per generation, in the same order.
pub(super) struct Minted {
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
        let minted = Minted::mint(generations, names, lifetime, now)?;
        Ok(Self {
            lifetime,
            current: ArcSwap::from_pointee(minted),
        })
    }

    pub(super) fn current(&self) -> Guard<Arc<Minted>> {
        self.current.load()
    }

    /// Mints all leaves anew, and says when that is due again.
    pub(super) fn rotate(
        &self,
        generations: &[Arc<Generation>],
        now: SystemTime,
    ) -> Result<SystemTime, TrustError> {
        let names = self.current().names.clone();
        self.replace(generations, names, now)?;
        Ok(now + self.lifetime / 2)
    }

    /// Mints all leaves anew if the names differ from those in use.
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

    /// At half of the leaves' life, or as soon as the clock was set back by so much that the leaves are about
    /// to be not yet valid. A machine without a battery starts in the past and jumps ahead: that is the first case.
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
        let minted = Minted::mint(generations, names, self.lifetime, now)?;
        self.current.store(Arc::new(minted));
        Ok(())
    }
}

impl Minted {
    fn mint(
        generations: &[Arc<Generation>],
        names: LeafNames,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, TrustError> {
        let leaves = generations
            .iter()
            .map(|generation| Leaf::mint(generation, &names, lifetime, now).map(Arc::new))
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
    use crate::trust::tests::generation;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn leaves_are_due_at_half_life_and_when_the_clock_is_set_far_back() {
        let start = SystemTime::now();
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
    fn a_rotation_says_when_the_next_is_due() {
        let start = SystemTime::now();
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
    fn new_names_mint_new_leaves_and_known_names_do_not() {
        let now = SystemTime::now();
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
