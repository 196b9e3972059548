//! Judges the ports that a container or a service publishes on the host.

use std::net::{IpAddr, Ipv4Addr};

use super::{Check, demand};
use crate::json::{Fields, Json, quoted};
use crate::policy::verdict::{Denied, Judged};

/// `HostConfig.PortBindings` and `PublishAllPorts`.
pub(super) fn container(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    if check.must.publish_on.is_empty() {
        return Ok(());
    }
    if host.flag("PublishAllPorts")? {
        on(check, "")?;
    }
    for (_, bindings) in host.map("PortBindings")? {
        let bindings = match bindings {
            // An engine adds a binding to an empty list (moby `handlePortBindingsBC`).
            Json::Null => &Vec::new(),
            Json::List(bindings) => bindings,
            _ => {
                return Err(Denied::shape(
                    "PortBindings has a value that is not a list".into(),
                ));
            }
        };
        if bindings.is_empty() {
            on(check, "")?;
        }
        for binding in bindings {
            on(check, Fields::of(binding, "PortBindings")?.text("HostIp")?)?;
        }
    }
    Ok(())
}

/// `EndpointSpec.Ports`: a service's ports are open on every address.
pub(super) fn service(check: &Check<'_>, endpoint: &Fields<'_>) -> Judged {
    if check.must.publish_on.is_empty() || endpoint.list("Ports")?.is_empty() {
        return Ok(());
    }
    on(check, "")
}

/// No address means all addresses.
fn on(check: &Check<'_>, address: &str) -> Judged {
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
