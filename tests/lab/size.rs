//! The cost of an idle agent: its memory, and its image.

use super::cluster::{Lab, is_release};
use super::wait::eventually;

/// The image at most, in bytes.
const IMAGE: u64 = 17_000_000;

/// The memory in use at most, in KiB.
const MEMORY: u64 = 19 << 10;

/// How long an agent may take until it is idle and has returned what it took before, in seconds:
/// it returns memory two seconds after its start, and every 30 seconds from then on.
const SETTLING: u64 = 70;

pub(crate) fn the_image_and_an_idle_agent_are_small(lab: &Lab) {
    let image: u64 = lab
        .engine(1)
        .ok("image inspect --format {{.Size}} skep:latest")
        .parse()
        .expect("bytes");
    let node = |node| (node, lab.agent(node).memory("VmRSS"));
    let small = || {
        let memory: Vec<_> = lab.numbers().map(node).collect();
        match memory.iter().all(|(_, kib)| *kib <= MEMORY) || !is_release() {
            true => Ok(memory),
            false => Err(format!("nodes and KiB: {memory:?}")),
        }
    };
    let what = format!("idle agents use at most {MEMORY} KiB");
    let (after, memory) = eventually(SETTLING, &what, small);
    crate::say(&format!(
        "the image has {image} bytes; after {after:.1?}, idle agents use (node, KiB) {memory:?}"
    ));
    if is_release() {
        assert!(image <= IMAGE, "{image}");
    }
}
