//! Returns memory to the system.
//!
//! The program's allocator (mimalloc, chosen in `main.rs`) collects the memory
//! that it can return only when memory of an arena is freed, and then only what has
//! been free for 100 ms (`mi_arenas_try_purge`). Without such a free, an idle agent
//! would keep the memory of its last burst of requests.
//!
//! Memory that a thread has taken meanwhile is not returned. So the 19 MiB that
//! deriving the keys takes at the start never come from an arena, see
//! `trust/stretch.rs`.

/// The size of a huge block, in bytes: larger than the allocator's largest pages.
const HUGE: usize = 20 << 20;

/// Makes the allocator return memory that has been free for a while.
pub(crate) fn trim_heap() {
    // Never written to: it takes addresses for a moment, and no memory.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HUGE)));
}
