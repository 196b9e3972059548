//! The engine's identity: `/_ping`, `/version` and `/info`.

use std::io;

use serde_json::{Value, json};

use super::config::Config;
use super::exchange::{After, Exchange};

/// moby's error for an unsupported API version (`versionMiddleware`).
pub(super) fn unsupported(x: &Exchange<'_>) -> Option<String> {
    let numbers = |version: &str| {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let (
        asked,
        Config {
            api_min,
            api_version,
            ..
        },
    ) = (x.version()?, &*x.config);
    let (version, least, most) = (numbers(asked)?, numbers(api_min)?, numbers(api_version)?);
    if version < least {
        Some(format!(
            "client version {asked} is too old. Minimum supported API version is {api_min}, \
             please upgrade your client to a newer version"
        ))
    } else if version > most {
        Some(format!(
            "client version {asked} is too new. Maximum supported API version is {api_version}"
        ))
    } else {
        None
    }
}

pub(super) async fn ping(x: &mut Exchange<'_>) -> io::Result<After> {
    x.drain().await?;
    let body = if x.method == "HEAD" { "" } else { "OK" };
    let role = match (x.config.in_swarm, x.config.manager) {
        (false, _) => "inactive",
        (true, false) => "active/worker",
        (true, true) => "active/manager",
    };
    let fields = format!(
        "Builder-Version: 2\r\nCache-Control: no-cache, no-store, must-revalidate\r\n\
         Content-Length: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Pragma: no-cache\r\nSwarm: {role}\r\n",
        body.len()
    );
    let mut bytes = x.answer_head(200, &fields);
    bytes.extend_from_slice(body.as_bytes());
    x.link.send(&bytes).await?;
    Ok(x.after())
}

pub(super) async fn version(x: &mut Exchange<'_>) -> io::Result<After> {
    let Config {
        version,
        api_version,
        api_min,
        ..
    } = &*x.config;
    let body = json!({
        "Platform": { "Name": "" },
        "Components": [{
            "Name": "Engine",
            "Version": version,
            "Details": {
                "ApiVersion": api_version,
                "MinAPIVersion": api_min,
                "Os": "linux",
                "Arch": "amd64",
            },
        }],
        "Version": version,
        "ApiVersion": api_version,
        "MinAPIVersion": api_min,
        "Os": "linux",
        "Arch": "amd64",
    });
    x.json(200, &body).await
}

pub(super) async fn info(x: &mut Exchange<'_>) -> io::Result<After> {
    let config = &*x.config;
    let containers = config.rows("containers");
    let count = |state: &str| containers.iter().filter(|c| c["State"] == state).count();
    let body = json!({
        "ID": format!("engine-of-{}", config.name),
        "Name": config.name,
        "Containers": containers.len(),
        "ContainersRunning": count("running"),
        "ContainersPaused": count("paused"),
        "ContainersStopped": containers.len() - count("running") - count("paused"),
        "Images": config.rows("images").len(),
        "Driver": "overlay2",
        "DriverStatus": [],
        "ServerVersion": config.version,
        "OSType": "linux",
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
        "Architecture": "x86_64",
        "NCPU": 2,
        "MemTotal": 4_294_967_296_u64,
        "DockerRootDir": "/var/lib/docker",
        "Labels": [],
        "Warnings": null,
        "Swarm": swarm(config),
    });
    x.json(200, &body).await
}

fn swarm(config: &Config) -> Value {
    if !config.in_swarm {
        return json!({
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        });
    }
    // A manager lists itself among the managers.
    let own = config
        .manager
        .then(|| (config.id.clone(), format!("{}:2377", config.address)));
    let managers = own.iter().chain(&config.managers);
    let managers: Vec<Value> = managers
        .map(|(id, address)| json!({ "NodeID": id, "Addr": address }))
        .collect();
    let mut swarm = json!({
        "NodeID": config.id,
        "NodeAddr": config.address,
        "LocalNodeState": "active",
        "ControlAvailable": config.manager,
        "Error": "",
        "RemoteManagers": managers,
    });
    if config.manager {
        swarm["Managers"] = json!(managers.len());
        swarm["Nodes"] = json!(config.rows("nodes").len().max(managers.len()));
        swarm["Cluster"] = json!({ "ID": "bedcluster000000000000000", "Version": { "Index": 11 } });
    }
    swarm
}
