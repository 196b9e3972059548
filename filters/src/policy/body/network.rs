//! Judges new networks, and connections to networks.

use super::{Check, endpoint_settings, labels, listed, namespaces};
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

/// `POST /networks/create`.
pub(super) fn create(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let network = Fields::of(body, "body")?;
    let ipam = network.object("IPAM")?;
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
    labels::judge(check, &network)
}

/// `POST /networks/{id}/connect`; the network's name is judged by the head.
pub(super) fn connect(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let connect = Fields::of(body, "body")?;
    endpoint_settings::judge(check, connect.get("EndpointConfig"))
}

/// `NetworkingConfig` of a new container.
pub(super) fn endpoints(check: &Check<'_>, container: &Fields<'_>) -> Judged {
    let config = container.object("NetworkingConfig")?;
    for (name, settings) in config.map("EndpointsConfig")? {
        namespaces::named_network(check, "EndpointsConfig", name)?;
        endpoint_settings::judge(check, settings)?;
    }
    Ok(())
}
