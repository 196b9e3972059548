//! Judges the ports that a container or a service publishes on the host.

use std::net::{IpAddr, Ipv4Addr};

use super::{Check, demand};
use crate::json::{Fields, Json, quoted};
use crate::policy::verdict::{Denied, Judged};

/// A port of a service.
const KNOWN: [&str; 5] = [
    "Name",
    "Protocol",
    "TargetPort",
    "PublishedPort",
    "PublishMode",
];

/// `HostConfig.PortBindings` and `PublishAllPorts`.
pub(super) fn container(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    if host.flag("PublishAllPorts")? {
        on(check, "")?;
    }
    for (_, bindings) in host.map("PortBindings")? {
        let bindings = match bindings {
            Json::Null => &[],
            Json::List(bindings) => bindings.as_slice(),
            _ => {
                return Err(Denied::shape(
                    "PortBindings has a value that is not a list".into(),
                ));
            }
        };
        // An engine adds a binding to an empty list (moby `handlePortBindingsBC`).
        if bindings.is_empty() {
            on(check, "")?;
        }
        for binding in bindings {
            let binding = Fields::of(binding, "PortBindings")?;
            check.knows(&binding, &["HostIp", "HostPort"])?;
            on(check, binding.text("HostIp")?)?;
        }
    }
    Ok(())
}

/// `EndpointSpec.Ports`: a service's ports are open on every address.
pub(super) fn service(check: &Check<'_>, endpoint: &Fields<'_>) -> Judged {
    check.knows(endpoint, &["Mode", "Ports"])?;
    for port in endpoint.list("Ports")? {
        check.knows(&Fields::of(port, "Ports")?, &KNOWN)?;
        on(check, "")?;
    }
    Ok(())
}

/// No address means all addresses.
fn on(check: &Check<'_>, address: &str) -> Judged {
    if check.must.publish_on.is_empty() {
        return Ok(());
    }
    let ip = match address {
        "" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        address => address.parse::<IpAddr>(),
    };
    let met = ip.is_ok_and(|ip| check.must.publish_on.contains(&ip));
    demand(met, "must.publish_on", || match address {
        "" => "a port on every address of the host".into(),
        address => format!("a port on the address {}", quoted(address)),
    })
}
