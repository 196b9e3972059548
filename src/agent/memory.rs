//! Gives memory back to the system.
//!
//! The program's allocator (mimalloc, chosen in `main.rs`) looks through what it
//! could return only when something huge is freed. Without that, what deriving
//! the keys took at the start would be held for as long as the agent is idle.

/// What is huge to the allocator, in bytes: more than its largest pages hold.
const HUGE: usize = 20 << 20;

/// Has the allocator return what has been free for a while.
pub(crate) fn trim_heap() {
    // Never touched: it takes addresses for a moment, and no memory.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(HUGE)));
}
