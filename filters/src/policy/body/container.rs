//! Judges new containers and changes to them.

use super::limits::{self, When};
use super::{Check, address, demand, host, image, labels, mounts, network, security, user};
use crate::json::{Fields, Json};
use crate::policy::verdict::Judged;

/// The fields of a new container's body that engines of API 1.24 to 1.56 have,
/// beside those of a `HostConfig`.
const KNOWN: &[&str] = &[
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "HostConfig",
    "NetworkingConfig",
    // Until API 1.51.
    "MacAddress",
    // Sent by old clients, and read by no engine.
    "PortSpecs",
    "PublishService",
    "Cpuset",
    // The query has the name and the platform; some clients repeat them.
    "Name",
    "Platform",
];

/// `POST /containers/create`.
pub(super) fn create(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let container = Fields::of(body, "body")?;
    let known: Vec<_> = KNOWN.iter().chain(host::KNOWN).copied().collect();
    check.knows(&container, &known)?;
    let host_config = container.object("HostConfig")?;
    // Engines before 25.0 take a `HostConfig`'s fields out of the body itself
    // where there is no `HostConfig` (runconfig `ContainerConfigWrapper`).
    host::judge(check, &container)?;
    limits::host(check, &container, When::IfGiven)?;

    settings(check, &container, &host_config)?;
    network::endpoints(check, &container.object("NetworkingConfig")?)
}

/// A container as an engine describes it, as if it were to be created again.
pub(in crate::policy) fn again(check: &Check<'_>, inspect: &Json<'_>) -> Judged {
    let inspect = Fields::of(inspect, "container")?;
    let container = inspect.object("Config")?;
    check.knows(&container, KNOWN)?;
    settings(check, &container, &inspect.object("HostConfig")?)?;
    let networks = inspect.object("NetworkSettings")?;
    network::attachments(check, &networks, "Networks")
}

/// The settings in the body of a create, and in its `HostConfig`.
fn settings(check: &Check<'_>, container: &Fields<'_>, host_config: &Fields<'_>) -> Judged {
    check.knows(host_config, host::KNOWN)?;
    host::judge(check, host_config)?;
    mounts::volumes_of_image(check, container)?;
    limits::host(check, host_config, When::Always)?;
    security::confined(check, host_config)?;
    let read_only = !check.must.read_only || host_config.flag("ReadonlyRootfs")?;
    demand(read_only, "must.read_only", || {
        "HostConfig.ReadonlyRootfs is not on".into()
    })?;
    host::restart(check, host_config)?;

    image::judge(check, "Image", container.text("Image")?)?;
    user::judge(check, "User", container.text("User")?)?;
    labels::judge(check, container)?;
    address::mac(check, container.text("MacAddress")?)
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
