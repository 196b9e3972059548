//! Parses `/proc/meminfo`, and the agent's own share in `/proc/self/status`.

use serde::Serialize;

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    pub(super) total: u64,
    pub(super) available: u64,
    pub(super) free: u64,
    pub(super) buffers: u64,
    pub(super) cached: u64,
    pub(super) swap_total: u64,
    pub(super) swap_free: u64,
}

/// Reads `/proc/meminfo`; `None` if it has no total.
pub(super) fn parse(meminfo: &str) -> Option<Memory> {
    let free = field(meminfo, "MemFree").unwrap_or_default();
    Some(Memory {
        total: field(meminfo, "MemTotal")?,
        // Kernels before 3.14 do not report it.
        available: field(meminfo, "MemAvailable").unwrap_or(free),
        free,
        buffers: field(meminfo, "Buffers").unwrap_or_default(),
        cached: field(meminfo, "Cached").unwrap_or_default(),
        swap_total: field(meminfo, "SwapTotal").unwrap_or_default(),
        swap_free: field(meminfo, "SwapFree").unwrap_or_default(),
    })
}

/// The resident bytes in a process's `status`.
pub(super) fn resident(status: &str) -> Option<u64> {
    field(status, "VmRSS")
}

/// A line `Name:   123 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?.strip_prefix(':')?;
        let kilobytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kilobytes.checked_mul(1024)
    };
    text.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_become_bytes() {
        let meminfo = "MemTotal:       16000 kB\nMemFree:         2000 kB\n\
                       MemAvailable:    8000 kB\nBuffers:          100 kB\nCached:         4000 kB\n\
                       SwapCached:         7 kB\nSwapTotal:       1000 kB\nSwapFree:         900 kB\n\
                       HugePages_Total:       0\n";
        let memory = parse(meminfo).unwrap();
        assert_eq!(memory.total, 16000 * 1024);
        assert_eq!(memory.available, 8000 * 1024);
        assert_eq!(memory.cached, 4000 * 1024);
        assert_eq!(memory.swap_free, 900 * 1024);
        let old = parse("MemTotal: 10 kB\nMemFree: 5 kB\n").unwrap();
        assert_eq!(old.available, 5 * 1024);
    }

    #[test]
    fn text_that_is_not_meminfo_yields_nothing() {
        for not in [
            "",
            "MemTotal",
            "MemTotal: x kB",
            "MemTotal: 18446744073709551615 kB",
        ] {
            assert_eq!(parse(not), None, "{not:?}");
        }
    }

    #[test]
    fn the_resident_memory_is_read() {
        assert_eq!(
            resident("Name:\tskep\nVmRSS:\t   9000 kB\n"),
            Some(9000 * 1024)
        );
        assert_eq!(resident("Name:\tskep\n"), None);
    }
}
