//! Judges services: the containers that a Swarm creates.

use super::{
    Check, capability, demand, devices, endpoint_settings, honours, host, image, labels, limits,
    listed, log, lookup, mounts, namespaces, ports, security, user,
};
use crate::endpoint::ApiVersion;
use crate::json::{Fields, Json, quoted, text_of};
use crate::policy::verdict::Judged;

const KNOWN_CONTAINER: [&str; 28] = [
    "Image",
    "Labels",
    "Command",
    "Args",
    "Hostname",
    "Env",
    "Dir",
    "User",
    "Groups",
    "Privileges",
    "Init",
    "StopSignal",
    "TTY",
    "OpenStdin",
    "ReadOnly",
    "Mounts",
    "StopGracePeriod",
    "Healthcheck",
    "Hosts",
    "DNSConfig",
    "Secrets",
    "Configs",
    "Isolation",
    "Sysctls",
    "CapabilityAdd",
    "CapabilityDrop",
    "Ulimits",
    "OomScoreAdj",
];

const KNOWN_TASK: [&str; 10] = [
    "ContainerSpec",
    "PluginSpec",
    "NetworkAttachmentSpec",
    "Resources",
    "RestartPolicy",
    "Placement",
    "Networks",
    "LogDriver",
    "ForceUpdate",
    "Runtime",
];

/// The version of the API in which services have `ReadOnly`.
const READ_ONLY: ApiVersion = ApiVersion::new(1, 28);

const KNOWN_RESOURCES: [&str; 4] = ["Limits", "Reservations", "SwapBytes", "MemorySwappiness"];

/// Of `Limits` and `Reservations`.
const KNOWN_AMOUNTS: [&str; 4] = ["NanoCPUs", "MemoryBytes", "Pids", "GenericResources"];

const KNOWN_UPDATE: [&str; 6] = [
    "Parallelism",
    "Delay",
    "FailureAction",
    "Monitor",
    "MaxFailureRatio",
    "Order",
];

const KNOWN_PLACEMENT: [&str; 4] = ["Constraints", "Preferences", "MaxReplicas", "Platforms"];

const KNOWN_RESTART: [&str; 4] = ["Condition", "Delay", "MaxAttempts", "Window"];

const KNOWN_SERVICE: [&str; 8] = [
    "Name",
    "Labels",
    "TaskTemplate",
    "Mode",
    "UpdateConfig",
    "RollbackConfig",
    "EndpointSpec",
    // Before API 1.44.
    "Networks",
];

/// `POST /services/create` and `/services/{id}/update`.
pub(super) fn spec(check: &Check<'_>, body: &Json<'_>) -> Judged {
    let service = Fields::of(body, "body")?;
    check.knows(&service, &KNOWN_SERVICE)?;
    for field in ["UpdateConfig", "RollbackConfig"] {
        check.knows_in(&service, field, &KNOWN_UPDATE)?;
    }
    labels::judge(check, &service)?;
    ports::service(check, &service.object("EndpointSpec")?)?;
    networks(check, &service)?;
    task(check, &service.object("TaskTemplate")?)
}

fn task(check: &Check<'_>, task: &Fields<'_>) -> Judged {
    check.knows(task, &KNOWN_TASK)?;
    check.knows_in(task, "Placement", &KNOWN_PLACEMENT)?;
    check.knows_in(task, "RestartPolicy", &KNOWN_RESTART)?;
    // A plugin runs as root on every node.
    let runtime = task.text("Runtime")?;
    let is_plugin = !matches!(runtime, "" | "container") || !task.get("PluginSpec").is_empty();
    check.grant(!is_plugin || check.may.plugins, "may.plugins", || {
        "a service of engine plugins".into()
    })?;
    lookup::image(check, task.object("PluginSpec")?.text("remote")?)?;
    networks(check, task)?;
    log::judge(check, &task.object("LogDriver")?, "Name", "Options")?;
    let resources = task.object("Resources")?;
    check.knows(&resources, &KNOWN_RESOURCES)?;
    for field in ["Limits", "Reservations"] {
        let amounts = resources.object(field)?;
        check.knows(&amounts, &KNOWN_AMOUNTS)?;
        devices::generic(check, &amounts)?;
    }
    limits::service(check, &resources)?;
    container(check, &task.object("ContainerSpec")?)
}

fn container(check: &Check<'_>, container: &Fields<'_>) -> Judged {
    check.knows(container, &KNOWN_CONTAINER)?;
    image::judge(check, "Image", container.text("Image")?)?;
    user::judge(check, "User", container.text("User")?)?;
    host::groups(check, &container.texts("Groups")?)?;
    capability::added(check, &container.texts("CapabilityAdd")?)?;
    mounts::mounts(check, container, mounts::Owner::Service)?;
    check.knows_in(
        container,
        "DNSConfig",
        &["Nameservers", "Search", "Options"],
    )?;
    mounts::templates(check, container)?;
    references(check, container)?;
    let sysctls = container.map("Sysctls")?.iter();
    security::sysctls(check, sysctls.map(|(name, _)| name.as_ref()))?;
    security::privileges(check, &container.object("Privileges")?)?;
    let read_only = !check.must.read_only || container.flag("ReadOnly")?;
    demand(read_only, "must.read_only", || {
        "ContainerSpec.ReadOnly is not on".into()
    })?;
    if check.must.read_only {
        honours(check, "must.read_only", "ContainerSpec.ReadOnly", READ_ONLY)?;
    }
    let avoids_oom = container.int("OomScoreAdj")? < 0;
    check.grant(!avoids_oom || check.may.oom, "may.oom", || {
        "a negative OomScoreAdj".into()
    })
}

/// Swarm secrets and configs by the names that the body gives them. Managers go by
/// their ids: whether an id has that name is asked of a manager.
fn references(check: &Check<'_>, container: &Fields<'_>) -> Judged {
    for secret in container.list("Secrets")? {
        let name = Fields::of(secret, "Secrets")?.text("SecretName")?;
        check.grant(listed(&check.may.secrets, name), "may.secrets", || {
            format!("a service with the secret {}", quoted(name))
        })?;
    }
    for config in container.list("Configs")? {
        let name = Fields::of(config, "Configs")?.text("ConfigName")?;
        check.grant(listed(&check.may.configs, name), "may.configs", || {
            format!("a service with the config {}", quoted(name))
        })?;
    }
    let privileges = container.object("Privileges")?;
    let config = privileges.object("CredentialSpec")?.text("Config")?;
    let granted = config.is_empty() || !check.may.configs.is_empty();
    check.grant(granted, "may.configs", || {
        format!(
            "a credential specification from the config {}",
            quoted(config)
        )
    })
}

/// `Networks`, of the task or, as before API 1.25, of the service.
fn networks(check: &Check<'_>, fields: &Fields<'_>) -> Judged {
    for network in fields.list("Networks")? {
        let attachment = Fields::of(network, "Networks")?;
        namespaces::named_network(check, "Networks", attachment.text("Target")?)?;
        endpoint_settings::judge(check, network)?;
        let options = attachment.map("DriverOpts")?.iter();
        let options = options.filter_map(|(_, value)| text_of(value));
        mounts::template(check, "Networks.DriverOpts", options)?;
    }
    Ok(())
}
