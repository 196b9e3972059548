//! Bounds the copies of images to this node: one at a time for each image, and a
//! few at once.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::name_locks::{NameLock, NameLocks};

/// The most copies at once. Each is as fast as the network or the disk, so more of
/// them would not be done sooner.
const AT_ONCE: usize = 2;

/// The copies to this node.
pub(crate) struct Copies {
    images: NameLocks,
    places: Semaphore,
}

/// The right to copy one image, until it is dropped.
pub(crate) struct Turn<'a> {
    _image: NameLock<'a>,
}

impl Default for Copies {
    fn default() -> Self {
        Self {
            images: NameLocks::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }
}

impl Copies {
    /// Waits until no other request copies the image with this id.
    pub(crate) async fn turn(&self, id: &str) -> Turn<'_> {
        let _image = self.images.lock(id).await;
        Turn { _image }
    }

    /// Waits for a place among all copies; `None` if the agent ends.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }
}
