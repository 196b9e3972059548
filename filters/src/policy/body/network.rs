//! Judges new networks, and connections to networks.

use super::{Check, address, endpoint_settings, labels, listed, namespaces};
use crate::json::{Fields, Json, quoted};
use crate::policy::verdict::Judged;

/// Options without an effect on other interfaces of the host.
const HARMLESS: [&str; 8] = [
    "com.docker.network.driver.mtu",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.container_iface_prefix",
    "com.docker.network.driver.overlay.vxlanid_list",
    "com.docker.network.enable_ipv4",
    "com.docker.network.enable_ipv6",
    "encrypted",
];

const KNOWN: [&str; 14] = [
    "Name",
    "Driver",
    "Scope",
    "EnableIPv4",
    "EnableIPv6",
    "IPAM",
    "Internal",
    "Attachable",
    "Ingress",
    "ConfigOnly",
    "ConfigFrom",
    "Options",
    "Labels",
    // Until API 1.43.
    "CheckDuplicate",
];

/// `POST /networks/create`.
pub(super) fn create(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let network = Fields::of(body, "body")?;
    check.knows(&network, &KNOWN)?;
    let ipam = network.object("IPAM")?;
    check.knows(&ipam, &["Driver", "Options", "Config"])?;
    let drivers = [
        (network.text("Driver")?, ["", "bridge", "overlay"]),
        (ipam.text("Driver")?, ["", "default", "null"]),
    ];
    for (driver, own) in drivers {
        let granted = own.contains(&driver) || listed(&check.may.network_drivers, driver);
        check.grant(granted, "may.network_drivers", || {
            format!("the network driver {}", quoted(driver))
        })?;
    }
    for (option, _) in network.map("Options")?.iter().chain(ipam.map("Options")?) {
        let granted =
            HARMLESS.contains(&option.as_ref()) || listed(&check.may.network_options, option);
        check.grant(granted, "may.network_options", || {
            format!("the network option {}", quoted(option))
        })?;
    }
    address::pools(check, &ipam)?;
    let from = network.object("ConfigFrom")?;
    check.knows(&from, &["Network"])?;
    let from = from.text("Network")?;
    let special = [
        ("Ingress", network.flag("Ingress")?),
        ("ConfigOnly", network.flag("ConfigOnly")?),
        // Its pools and options are not in this body.
        ("ConfigFrom", !from.is_empty()),
    ];
    for (field, is_on) in special {
        check.grant(!is_on || check.may.ingress, "may.ingress", || {
            format!("a network with {field}")
        })?;
    }
    labels::judge(check, &network)
}

/// `DELETE /networks/{id}` by its name; whether an id is that of the ingress
/// network is asked of an engine.
pub(super) fn remove(check: &Check<'_>, name: &str) -> Judged {
    let granted = name != "ingress" || check.may.ingress;
    check.grant(granted, "may.ingress", || "the ingress network".into())
}

/// `POST /networks/{id}/connect`; the network's name is judged by the head.
pub(super) fn connect(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let connect = Fields::of(body, "body")?;
    check.knows(&connect, &["Container", "EndpointConfig", "Force"])?;
    endpoint_settings::judge(check, connect.get("EndpointConfig"))
}

/// `NetworkingConfig` of a new container.
pub(super) fn endpoints(check: &Check<'_>, config: &Fields<'_>) -> Judged {
    check.knows(config, &["EndpointsConfig"])?;
    attachments(check, config, "EndpointsConfig")
}

/// The networks of a container in the field of this name.
pub(super) fn attachments(check: &Check<'_>, fields: &Fields<'_>, name: &str) -> Judged {
    for (name, settings) in fields.map(name)? {
        namespaces::named_network(check, "EndpointsConfig", name)?;
        endpoint_settings::judge(check, settings)?;
    }
    Ok(())
}
