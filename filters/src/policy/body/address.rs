//! Judges the addresses that a body chooses, instead of leaving them to the engine.
//!
//! A pool that overlaps a network of the host takes the host off that network,
//! and an address on the host's network takes that of another machine.

use std::borrow::Cow;
use std::net::IpAddr;

use super::Check;
use crate::json::{Fields, Json, quoted, text_of};
use crate::policy::verdict::{Denied, Judged};

/// Addresses of an endpoint. Engines fill in all but the first two, but other
/// engines with Docker's API take them from the body.
const OF_ENDPOINT: [&str; 6] = [
    "IPv4Address",
    "IPv6Address",
    "IPAddress",
    "GlobalIPv6Address",
    "Gateway",
    "IPv6Gateway",
];

/// Whether a policy may grant this: a network, an address, or a MAC address.
pub(crate) fn is_grant(text: &str) -> bool {
    Network::parse(text).is_some() || mac_of(text).is_some()
}

/// `IPAM.Config` of a new network.
pub(super) fn pools(check: &Check<'_>, ipam: &Fields<'_>) -> Judged {
    for pool in ipam.list("Config")? {
        let pool = Fields::of(pool, "IPAM.Config")?;
        check.knows(
            &pool,
            &[
                "Subnet",
                "IPRange",
                "Gateway",
                "AuxiliaryAddresses",
                "AuxAddress",
            ],
        )?;
        for field in ["Subnet", "IPRange", "Gateway"] {
            network(check, field, pool.text(field)?)?;
        }
        for field in ["AuxiliaryAddresses", "AuxAddress"] {
            of_map(check, field, pool.map(field)?)?;
        }
    }
    Ok(())
}

/// The addresses in the settings of an endpoint.
pub(super) fn endpoint(check: &Check<'_>, settings: &Fields<'_>) -> Judged {
    let ipam = settings.object("IPAMConfig")?;
    check.knows(&ipam, &["IPv4Address", "IPv6Address", "LinkLocalIPs"])?;
    for field in OF_ENDPOINT {
        network(check, field, ipam.text(field)?)?;
        network(check, field, settings.text(field)?)?;
    }
    for address in ipam.texts("LinkLocalIPs")? {
        network(check, "LinkLocalIPs", address)?;
    }
    mac(check, settings.text("MacAddress")?)
}

/// A MAC address of a container.
pub(super) fn mac(check: &Check<'_>, address: &str) -> Judged {
    if address.is_empty() {
        return Ok(());
    }
    let wanted = mac_of(address);
    let granted = check
        .may
        .subnets
        .iter()
        .any(|grant| grant == "*" || wanted.is_some() && mac_of(grant) == wanted);
    check.grant(granted, "may.subnets", || {
        format!("MacAddress asks for {}", quoted(address))
    })
}

fn of_map(check: &Check<'_>, field: &str, addresses: &[(Cow<'_, str>, Json<'_>)]) -> Judged {
    addresses.iter().try_for_each(|(_, address)| {
        let address = text_of(address)
            .ok_or_else(|| Denied::shape(format!("{field} has a value that is not a string")))?;
        network(check, field, address)
    })
}

/// An address or a network.
fn network(check: &Check<'_>, field: &str, text: &str) -> Judged {
    if text.is_empty() {
        return Ok(());
    }
    let wanted = Network::parse(text);
    let granted = check.may.subnets.iter().any(|grant| {
        grant == "*"
            || match (&wanted, Network::parse(grant)) {
                (Some(wanted), Some(grant)) => grant.contains(wanted),
                _ => false,
            }
    });
    check.grant(granted, "may.subnets", || {
        format!("{field} asks for {}", quoted(text))
    })
}

/// An address with the length of its prefix.
#[derive(Debug)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        // An IPv4 address that is written as IPv6 has two readings.
        let address: IpAddr = address.parse().ok()?;
        let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(prefix) if prefix.len() < 4 && prefix.bytes().all(|b| b.is_ascii_digit()) => {
                prefix.parse().ok()?
            }
            Some(_) => return None,
        };
        (!mapped && prefix <= longest).then_some(Self { address, prefix })
    }

    fn contains(&self, other: &Self) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => u128::from(v6),
        };
        let differ = bits(self.address) ^ bits(other.address);
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.prefix <= other.prefix
            && (self.prefix == 0 || differ >> (128 - self.prefix) == 0)
    }
}

/// The digits of a MAC address in one of the forms that Go's `ParseMAC` reads.
fn mac_of(text: &str) -> Option<String> {
    let digits: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | '-' | '.'))
        .collect();
    let separators = text.len() - digits.len();
    let is_mac = digits.len() == 12
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
        && matches!(separators, 2 | 5);
    is_mac.then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_lies_within_it() {
        for (grant, wanted, expected) in [
            ("10.20.0.0/16", "10.20.3.0/24", true),
            ("10.20.0.0/16", "10.20.0.0/16", true),
            ("10.20.0.0/16", "10.20.255.255", true),
            ("10.20.0.0/16", "10.20.0.0/15", false),
            ("10.20.0.0/16", "10.21.0.1", false),
            ("10.20.0.0/16", "0.0.0.0/0", false),
            ("0.0.0.0/0", "10.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd00:1::/64", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "10.0.0.1", false),
        ] {
            let read = |text| Network::parse(text).unwrap();
            assert_eq!(
                read(grant).contains(&read(wanted)),
                expected,
                "{grant} {wanted}"
            );
        }
    }

    #[test]
    fn texts_with_two_readings_are_not_addresses() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.01",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            " 10.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1%eth0",
            "x",
        ] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_mac_address_is_read_in_every_notation() {
        for text in ["02:42:ac:11:00:02", "02-42-AC-11-00-02", "0242.ac11.0002"] {
            assert_eq!(mac_of(text).as_deref(), Some("0242ac110002"), "{text}");
        }
        for text in ["", "02:42", "0242ac110002", "02:42:ac:11:00:0g", "*"] {
            assert_eq!(mac_of(text), None, "{text}");
        }
    }
}
