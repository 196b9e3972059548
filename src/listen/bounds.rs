//! Bounds the memory of an agent, as one sum that fits the limit of the shipped
//! files. `docs/operating.md` shows it, and `tests/bounds.rs` compares the three.
//!
//! [`places`](super::places) bounds the connections, [`memory`](super::memory) the
//! requests in progress with everything that they hold.

/// The limit of the shipped compose and stack files, in bytes.
pub const LIMIT: usize = 256 << 20;

/// The program without connections: its code, keys, caches and the allocator's
/// reserve.
pub const BASE: usize = 40 << 20;

/// The most connections whose client has not authenticated a request yet.
pub const UNPROVEN: usize = 1024;

/// The most connections of authenticated callers.
pub const CALLERS: usize = 768;

/// The places kept for other agents, the operator and health checks.
pub const RESERVED: usize = 768;

/// All connections.
pub const CONNECTIONS: usize = UNPROVEN + CALLERS + RESERVED;

/// The most memory of one that has no request in progress: it sends the first 4 KiB of
/// a head slowly. One that waits for a request needs 16 KiB.
pub const EACH_CONNECTION: usize = 44 << 10;

/// Unfinished heads beyond the first 4 KiB of each.
pub const HEADS: usize = 24 << 20;

/// The part of it for what is beyond the first 64 KiB of the heads of clients that have
/// not authenticated a request yet.
pub const LONG_HEADS: usize = HEADS / 4;

/// The requests in progress: held bodies, lists, and the buffers of streams.
pub const REQUESTS: usize = 80 << 20;

/// The part of it that is kept for other agents, the operator and health checks.
pub const REQUESTS_RESERVED: usize = REQUESTS / 4;

/// The part that one caller may use while no other does; see [`memory`](super::memory).
pub const REQUESTS_OF_ONE: usize = (REQUESTS - REQUESTS_RESERVED) / 2;

/// A request in progress costs as much, whatever it holds: its state, and the
/// buffers of two connections.
pub const EACH_REQUEST: usize = 64 << 10;

/// The length of a head that [`EACH_REQUEST`] covers.
pub const ORDINARY_HEAD: usize = 8 << 10;

/// A longer head costs the rest of its length as it came, parsed, and sent on.
pub const HEAD_FACTOR: usize = 3;

/// A held body costs its own length, and three times as much while it is parsed.
pub const BODY_FACTOR: usize = 4;

/// A list costs the answers of the nodes and the merged one.
pub const LIST_FACTOR: usize = 2;

/// The sum; it fits [`LIMIT`].
pub const SUM: usize = BASE + CONNECTIONS * EACH_CONNECTION + HEADS + REQUESTS;

const _: () = assert!(SUM <= LIMIT);

/// File descriptors that are not those of connections: files, listeners, and unused
/// connections to other agents.
const OTHER_FILES: usize = 256;

/// A connection takes two descriptors, and its request another one for the engine.
const FILES_EACH: usize = 3;

/// The connections that fit a limit of file descriptors.
pub(crate) fn connections(files: usize) -> usize {
    let fit = files.saturating_sub(OTHER_FILES) / FILES_EACH;
    fit.clamp(64, CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_file_descriptors_allow_fewer_connections() {
        assert_eq!(connections(1024), 256);
        assert_eq!(connections(1 << 20), CONNECTIONS);
        assert_eq!(connections(0), 64);
        for files in [1024, 2048, 4096, 65_536] {
            assert!(connections(files) * FILES_EACH < files);
        }
    }
}
