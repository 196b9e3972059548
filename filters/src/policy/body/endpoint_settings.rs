//! Judges the settings of a container on a network.

use super::{Check, address, security};
use crate::json::{Fields, Json, same_field, text_of};
use crate::policy::verdict::{Denied, Judged};

/// Kernel parameters of one interface (engine 28.0): `net.ipv4.conf.IFNAME.x=1,…`.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// libnetwork's own name of `MacAddress`.
const MAC_ADDRESS: &str = "com.docker.network.endpoint.macaddress";

const KNOWN: [&str; 18] = [
    "IPAMConfig",
    "Links",
    "Aliases",
    "DriverOpts",
    "GwPriority",
    "NetworkID",
    "EndpointID",
    "Gateway",
    "IPAddress",
    "MacAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "DNSNames",
    // Of a service.
    "Target",
    // Some clients repeat the name.
    "Name",
    "NetworkName",
];

/// One `EndpointSettings` or `NetworkAttachmentConfig`.
pub(super) fn judge(check: &Check<'_>, settings: &Json<'_>) -> Judged {
    let settings = Fields::of(settings, "EndpointSettings")?;
    check.knows(&settings, &KNOWN)?;
    let linked = !settings.texts("Links")?.is_empty();
    check.grant(!linked || check.may.share, "may.share", || {
        "Links shares another container".into()
    })?;
    address::endpoint(check, &settings)?;
    for (name, value) in settings.map("DriverOpts")? {
        let value =
            text_of(value).ok_or_else(|| Denied::shape("an option is not a string".into()))?;
        if same_field(name, MAC_ADDRESS) {
            address::mac(check, value)?;
        }
        if same_field(name, SYSCTLS) {
            let names = value
                .split(',')
                .map(|pair| pair.split('=').next().unwrap_or(pair).trim());
            security::sysctls(check, names.filter(|name| !name.is_empty()))?;
        }
    }
    Ok(())
}
