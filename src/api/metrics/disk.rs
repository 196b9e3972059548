//! Parses `/proc/diskstats`: reads and writes of disks.

use serde::Serialize;

/// The kernel's unit in bytes, for disks with any size of sectors.
pub(crate) const SECTOR: u64 = 512;

/// Counters of one disk, since the host started.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Disk {
    pub(crate) device: String,
    pub(crate) reads: u64,
    pub(crate) read_bytes: u64,
    pub(crate) writes: u64,
    pub(crate) written_bytes: u64,
    /// The time during which it was busy.
    pub(crate) busy_seconds: f64,
}

/// Whether a block device is a disk: no loop device, no memory, no removable
/// medium.
pub(crate) fn is_disk(device: &str) -> bool {
    let not = ["loop", "ram", "zram", "fd", "sr"];
    !not.iter().any(|kind| {
        let number = device.strip_prefix(kind);
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Reads the whole disks of `/proc/diskstats`, without partitions.
pub(crate) fn parse(diskstats: &str, is_whole: impl Fn(&str) -> bool) -> Vec<Disk> {
    let disk = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(2);
        let device = words.next()?.to_owned();
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        let &[reads, _, read, _, writes, _, written, _, _, busy, ..] = numbers.as_slice() else {
            return None;
        };
        (is_disk(&device) && is_whole(&device)).then(|| Disk {
            device,
            reads,
            read_bytes: read.saturating_mul(SECTOR),
            writes,
            written_bytes: written.saturating_mul(SECTOR),
            busy_seconds: busy as f64 / 1000.0,
        })
    };
    diskstats.lines().filter_map(disk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_disks_are_read() {
        let stats = "   7       0 loop0 1 0 2 3 0 0 0 0 0 4 3 0 0 0 0\n\
                     \x20 8       0 sda 100 5 2000 30 40 6 5000 70 0 1500 100 0 0 0 0 0 0\n\
                     \x20 8       1 sda1 90 5 1900 30 40 6 5000 70 0 80 100 0 0 0 0 0 0\n\
                     \x20259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11\n\
                     \x20 9       0 short 1 2\n";
        let disks = parse(stats, |device| device != "sda1");
        let names: Vec<_> = disks.iter().map(|d| &*d.device).collect();
        assert_eq!(names, ["sda", "nvme0n1"]);
        let expected = Disk {
            device: "sda".to_owned(),
            reads: 100,
            read_bytes: 2000 * 512,
            writes: 40,
            written_bytes: 5000 * 512,
            busy_seconds: 1.5,
        };
        assert_eq!(disks[0], expected);
    }

    #[test]
    fn loop_devices_and_memory_are_not_disks() {
        for (device, is) in [
            ("sda", true),
            ("vda", true),
            ("nvme0n1", true),
            ("dm-0", true),
            ("md127", true),
            ("mmcblk0", true),
            ("loop12", false),
            ("ram0", false),
            ("zram0", false),
            ("sr0", false),
            ("fd0", false),
        ] {
            assert_eq!(is_disk(device), is, "{device}");
        }
    }
}
