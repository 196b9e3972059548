//! Judges access to devices of the host.

use super::{Check, host_path, listed};
use crate::json::{Fields, Json, quoted};
use crate::policy::verdict::Judged;

pub(super) fn judge(check: &Check<'_>, host: &Fields<'_>) -> Judged {
    for device in host.list("Devices")? {
        let device = Fields::of(device, "Devices")?;
        host_path::device(check, device.text("PathOnHost")?)?;
    }
    let rules = host.texts("DeviceCgroupRules")?;
    check.grant(
        rules.is_empty() || check.may.device_rules,
        "may.device_rules",
        || {
            format!(
                "DeviceCgroupRules asks for {}",
                quoted(rules.first().unwrap_or(&""))
            )
        },
    )?;
    for request in host.list("DeviceRequests")? {
        let request = Fields::of(request, "DeviceRequests")?;
        let driver = match request.text("Driver")? {
            "" => "default",
            driver => driver,
        };
        // Podman takes paths of devices for ids.
        for id in request.texts("DeviceIDs")? {
            if id.contains('/') && !id.contains('=') {
                host_path::device(check, id.split(':').next().unwrap_or(id))?;
            }
        }
        let granted = listed(&check.may.device_requests, driver);
        check.grant(granted, "may.device_requests", || {
            format!("DeviceRequests asks for the driver {}", quoted(driver))
        })?;
    }
    Ok(())
}

/// `GenericResources` of a service: devices that nodes offer by kind.
pub(super) fn generic(check: &Check<'_>, resources: &Fields<'_>) -> Judged {
    for resource in resources.list("GenericResources")? {
        let resource = Fields::of(resource, "GenericResources")?;
        check.knows(&resource, &["NamedResourceSpec", "DiscreteResourceSpec"])?;
        for form in ["NamedResourceSpec", "DiscreteResourceSpec"] {
            if matches!(resource.get(form), Json::Null) {
                continue;
            }
            let kind = resource.object(form)?.text("Kind")?;
            let granted = listed(&check.may.device_requests, kind);
            check.grant(granted, "may.device_requests", || {
                format!("GenericResources asks for {}", quoted(kind))
            })?;
        }
    }
    Ok(())
}
