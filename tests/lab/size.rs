//! What an agent costs that nobody asks anything.

use super::cluster::{Lab, is_release};

/// The image at most, in bytes.
const IMAGE: u64 = 15_000_000;

/// The memory in use at most, in KiB.
const MEMORY: u64 = 15 << 10;

pub(crate) fn the_image_and_an_idle_agent_are_small(lab: &Lab) {
    let image: u64 = lab
        .engine(1)
        .ok("image inspect --format {{.Size}} skep:latest")
        .parse()
        .expect("bytes");
    let memory: Vec<_> = lab
        .numbers()
        .map(|node| lab.agent(node).memory("VmRSS"))
        .collect();
    crate::say(&format!(
        "the image has {image} bytes; idle agents use {memory:?} KiB"
    ));
    if is_release() {
        assert!(image <= IMAGE, "{image}");
        assert!(memory.iter().all(|kib| *kib <= MEMORY), "{memory:?}");
    }
}
