//! Reads the names of PCI vendors and devices from the list that most systems
//! have (`pci.ids`): vendors at the start of a line, their devices after a tab.

use std::collections::{HashMap, HashSet};

/// The names of some ids, which are four lower-case hexadecimal digits.
#[derive(Debug, Default)]
pub(super) struct PciIds {
    vendors: HashMap<String, String>,
    devices: HashMap<(String, String), String>,
}

impl PciIds {
    /// Reads the names of these vendors and devices, and no others: the list
    /// is long.
    pub(super) fn parse(list: &str, wanted: &HashSet<(String, String)>) -> Self {
        let mut ids = Self::default();
        let mut vendor = None;
        for line in list.lines() {
            if line.starts_with("C ") {
                // Classes follow, which look like vendors.
                break;
            }
            if line.starts_with('#') || line.starts_with("\t\t") {
                continue;
            }
            if let Some((id, name)) = line.strip_prefix('\t').and_then(entry) {
                let Some(vendor) = &vendor else { continue };
                let key = (String::clone(vendor), id);
                if wanted.contains(&key) {
                    ids.devices.insert(key, name);
                }
            } else if let Some((id, name)) = entry(line) {
                let is_wanted = wanted.iter().any(|(vendor, _)| *vendor == id);
                vendor = is_wanted.then(|| id.clone());
                if is_wanted {
                    ids.vendors.insert(id, name);
                }
            }
        }
        ids
    }

    pub(super) fn vendor(&self, id: &str) -> Option<&str> {
        self.vendors.get(id).map(String::as_str)
    }

    pub(super) fn device(&self, vendor: &str, id: &str) -> Option<&str> {
        let key = (vendor.to_owned(), id.to_owned());
        self.devices.get(&key).map(String::as_str)
    }
}

fn entry(line: &str) -> Option<(String, String)> {
    let (id, name) = line.split_once("  ")?;
    let is_id = id.len() == 4 && id.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| (id.to_ascii_lowercase(), name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_vendor_and_device() {
        let list = "# comment\n1af4  Red Hat, Inc.\n\t1000  Virtio network device\n\
                    \t\t1af4 0001  A subsystem\n8086  Intel Corporation\n\t1237  440FX\n\
                    C 02  Network controller\n\t00  Ethernet controller\n";
        let pair = |v: &str, d: &str| (v.to_owned(), d.to_owned());
        let wanted = [pair("1af4", "1000"), pair("8086", "ffff")].into();
        let ids = PciIds::parse(list, &wanted);
        assert_eq!(ids.vendor("1af4"), Some("Red Hat, Inc."));
        assert_eq!(ids.device("1af4", "1000"), Some("Virtio network device"));
        assert_eq!(ids.vendor("8086"), Some("Intel Corporation"));
        assert_eq!(ids.device("8086", "1237"), None);
        assert_eq!(ids.device("1af4", "0001"), None);
        assert_eq!(ids.vendor("ffff"), None);
    }
}
