//! Judges new containers and changes to them.

use super::limits::{self, When};
use super::{Check, demand, host, image, labels, network, security, user};
use crate::json::{Fields, Json};
use crate::policy::verdict::Judged;

/// `POST /containers/create`.
pub(super) fn create(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let container = Fields::of(body, "body")?;
    let host_config = container.object("HostConfig")?;
    // Engines before 25.0 take a `HostConfig`'s fields out of the body itself
    // where there is no `HostConfig` (runconfig `ContainerConfigWrapper`).
    host::judge(check, &container)?;
    limits::host(check, &container, When::IfGiven)?;

    check.knows(&host_config, host::KNOWN)?;
    host::judge(check, &host_config)?;
    limits::host(check, &host_config, When::Always)?;
    security::confined(check, &host_config)?;
    let read_only = !check.must.read_only || host_config.flag("ReadonlyRootfs")?;
    demand(read_only, "must.read_only", || {
        "HostConfig.ReadonlyRootfs is not on".into()
    })?;
    host::restart(check, &host_config)?;

    image::judge(check, "Image", container.text("Image")?)?;
    user::judge(check, "User", container.text("User")?)?;
    labels::judge(check, &container)?;
    network::endpoints(check, &container)
}

/// `POST /containers/{id}/update`: resources and the restart policy.
pub(super) fn update(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let update = Fields::of(body, "body")?;
    check.knows(&update, host::KNOWN)?;
    host::judge(check, &update)?;
    limits::host(check, &update, When::IfGiven)?;
    if update.get("RestartPolicy").is_empty() {
        return Ok(());
    }
    host::restart(check, &update)
}
