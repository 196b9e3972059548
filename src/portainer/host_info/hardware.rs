//! Reads the host's PCI devices and disks from `/sys`.

use std::collections::HashSet;

use serde::Serialize;

use super::pci_ids::PciIds;
use crate::api::metrics::disk::{SECTOR, is_disk};
use crate::api::metrics::sources::Sources;

/// Where distributions keep the names of PCI ids.
const NAMES: [&str; 3] = [
    "/usr/share/misc/pci.ids",
    "/usr/share/hwdata/pci.ids",
    "/usr/share/pci.ids",
];

/// In Portainer's form.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Hardware {
    #[serde(rename = "PCIDevices")]
    pci_devices: Vec<Device>,
    #[serde(rename = "PhysicalDisks")]
    physical_disks: Vec<PhysicalDisk>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Device {
    vendor: String,
    name: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PhysicalDisk {
    vendor: String,
    /// Bytes.
    size: u64,
}

/// Reads all that `/sys` has; missing files are empty.
pub(super) fn read(sources: &Sources) -> Hardware {
    let id = |path: &str| {
        let text = sources.text(path)?;
        text.trim().strip_prefix("0x").map(str::to_ascii_lowercase)
    };
    let slots = sources.names("/sys/bus/pci/devices");
    let devices: Vec<_> = slots
        .iter()
        .map(|slot| format!("/sys/bus/pci/devices/{slot}"))
        .filter_map(|at| Some((id(&format!("{at}/vendor"))?, id(&format!("{at}/device"))?)))
        .collect();
    let disks: Vec<_> = sources
        .names("/sys/block")
        .into_iter()
        .filter_map(|name| disk(sources, &name))
        .collect();
    let mut wanted: HashSet<_> = devices.iter().cloned().collect();
    // Virtual disks name their vendor by its PCI id.
    let vendors = disks.iter().filter_map(|d| d.vendor.strip_prefix("0x"));
    wanted.extend(vendors.map(|id| (id.to_owned(), String::new())));
    let ids = NAMES.iter().find_map(|path| sources.text(path));
    let ids = PciIds::parse(&ids.unwrap_or_default(), &wanted);
    Hardware {
        pci_devices: devices
            .iter()
            .map(|(vendor, device)| Device {
                vendor: ids.vendor(vendor).unwrap_or(vendor).to_owned(),
                name: ids.device(vendor, device).unwrap_or(device).to_owned(),
            })
            .collect(),
        physical_disks: disks
            .into_iter()
            .map(|disk| {
                let id = disk.vendor.strip_prefix("0x");
                let vendor = id.and_then(|id| ids.vendor(id));
                PhysicalDisk {
                    vendor: vendor.unwrap_or(&disk.vendor).to_owned(),
                    ..disk
                }
            })
            .collect(),
    }
}

/// A physical disk; `None` for one that consists of other disks.
fn disk(sources: &Sources, name: &str) -> Option<PhysicalDisk> {
    let at = format!("/sys/block/{name}");
    if !is_disk(name) || !sources.path(&format!("{at}/device")).exists() {
        return None;
    }
    let sectors: u64 = sources.text(&format!("{at}/size"))?.trim().parse().ok()?;
    let vendor = sources.text(&format!("{at}/device/vendor"));
    let vendor = vendor.map(|vendor| vendor.trim().to_owned());
    (sectors > 0).then(|| PhysicalDisk {
        vendor: vendor
            .filter(|v| !v.is_empty())
            .unwrap_or_else(|| "unknown".to_owned()),
        size: sectors.saturating_mul(SECTOR),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_is_reported_in_portainers_form() {
        let host = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = host.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/bus/pci/devices/0000:00:01.0/vendor", "0x1AF4\n");
        write("sys/bus/pci/devices/0000:00:01.0/device", "0x1000\n");
        write("sys/bus/pci/devices/0000:00:02.0/vendor", "0xffff\n");
        write("sys/bus/pci/devices/0000:00:02.0/device", "0x0001\n");
        write("sys/bus/pci/devices/0000:00:03.0/vendor", "broken");
        write("sys/block/sda/size", "8\n");
        write("sys/block/sda/device/vendor", "ATA     \n");
        write("sys/block/vda/size", "16\n");
        write("sys/block/vda/device/vendor", "0x1af4\n");
        write("sys/block/nvme0n1/size", "2\n");
        write("sys/block/nvme0n1/device/model", "x\n");
        write("sys/block/loop0/size", "8\n");
        write("sys/block/dm-0/size", "8\n");
        write(
            "usr/share/misc/pci.ids",
            "1af4  Red Hat, Inc.\n\t1000  Virtio network device\n",
        );
        let found = read(&Sources::beneath(host.path()));
        let expected = serde_json::json!({
            "PCIDevices": [
                { "Vendor": "Red Hat, Inc.", "Name": "Virtio network device" },
                { "Vendor": "ffff", "Name": "0001" },
            ],
            "PhysicalDisks": [
                { "Vendor": "unknown", "Size": 1024 },
                { "Vendor": "ATA", "Size": 4096 },
                { "Vendor": "Red Hat, Inc.", "Size": 8192 },
            ],
        });
        assert_eq!(serde_json::to_value(found).unwrap(), expected);
    }
}
