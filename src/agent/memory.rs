//! Gives memory back to the system.
//!
//! The program's allocator (mimalloc, chosen in `main.rs`) looks through what it
//! could return only when memory of an arena is freed, and then only at what has
//! been free for 100 ms (`mi_arenas_try_purge`). Without a free of our own, an idle
//! agent would keep what its last burst of requests took.
//!
//! What a thread has taken meanwhile is not returned. So the 19 MiB that deriving
//! keys takes at the start never come from an arena, see `trust/stretch.rs`.

/// What is huge to the allocator, in bytes: more than its largest pages hold.
const HUGE: usize = 20 << 20;

/// Has the allocator return what has been free for a while.
pub(crate) fn trim_heap() {
    // Never touched: it takes addresses for a moment, and no memory.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HUGE)));
}
