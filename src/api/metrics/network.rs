//! Parses `/proc/net/dev`: traffic of network interfaces.

use serde::Serialize;

/// Counters of one interface, since it came up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Network {
    pub(super) device: String,
    pub(super) received_bytes: u64,
    pub(super) receive_errors: u64,
    pub(super) receive_drops: u64,
    pub(super) sent_bytes: u64,
    pub(super) send_errors: u64,
    pub(super) send_drops: u64,
}

/// Reads `/proc/net/dev` without the interfaces inside the host: the loopback, and
/// containers' `veth` interfaces, which are many and come and go.
pub(super) fn parse(dev: &str) -> Vec<Network> {
    let interface = |line: &str| {
        let (device, numbers) = line.split_once(':')?;
        let device = device.trim().to_owned();
        let numbers: Vec<u64> = numbers
            .split_ascii_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let &[
            received,
            _,
            errors,
            drops,
            _,
            _,
            _,
            _,
            sent,
            _,
            send_errors,
            send_drops,
            ..,
        ] = numbers.as_slice()
        else {
            return None;
        };
        let inner = device == "lo" || device.starts_with("veth");
        (!inner).then_some(Network {
            device,
            received_bytes: received,
            receive_errors: errors,
            receive_drops: drops,
            sent_bytes: sent,
            send_errors,
            send_drops,
        })
    };
    dev.lines().filter_map(interface).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_without_those_of_containers() {
        let dev = "Inter-|   Receive                                                |  Transmit\n \
                   face |bytes    packets errs drop fifo frame compressed multicast|bytes\n    \
                   lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n  \
                   eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n\
                   veth12ab: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                   docker0:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n  \
                   short: 1 2 3\n";
        let found = parse(dev);
        let names: Vec<_> = found.iter().map(|n| &*n.device).collect();
        assert_eq!(names, ["eth0", "docker0"]);
        let expected = Network {
            device: "eth0".to_owned(),
            received_bytes: 1000,
            receive_errors: 1,
            receive_drops: 2,
            sent_bytes: 2000,
            send_errors: 3,
            send_drops: 4,
        };
        assert_eq!(found[0], expected);
        assert_eq!(found[1].sent_bytes, 8);
    }
}
