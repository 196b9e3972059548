//! Defines policies for well-known clients. Each allows the client's calls and
//! nothing else. They are data: [`Spec::to_yaml`] prints them.

use super::may::May;
use super::must::Must;
use super::redact::Redact;
use super::spec::Spec;
use crate::scalar::Size;

/// Sets the rest of a preset.
type Finish = fn(&mut Spec);

/// Name, `allow`, `deny`, and the rest.
type Preset = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    Finish,
);

static PRESETS: &[Preset] = &[
    // The Docker and Swarm providers. Routes come from labels, never from the environment.
    (
        "traefik",
        &[
            "ping",
            "events",
            "GET /containers/json",
            "GET /containers/*/json",
            "GET /services",
            "GET /tasks",
            "GET /networks",
            "GET /nodes/*",
        ],
        &[],
        without_env,
    ),
    // A Portainer server manages everything, and restricts its own users itself.
    // It asks for no ports of containers.
    ("portainer", &["*"], &["forward", "people.*"], |spec| {
        spec.may = Some(May::everything())
    }),
    // Recreates containers with a newer image and their old addresses. It removes them
    // first, so it may not touch those that it could not create again: grant their
    // mounts in `may`.
    (
        "watchtower",
        &[
            "ping",
            "GET /info",
            "GET /containers/json",
            "GET /containers/*/json",
            "POST /containers/create",
            "POST /containers/*/start",
            "POST /containers/*/stop",
            "POST /containers/*/kill",
            "POST /containers/*/rename",
            // For its own old container, which must not start again.
            "POST /containers/*/update",
            "DELETE /containers/*",
            "GET /images/json",
            "GET /images/*/json",
            "DELETE /images/*",
            "images.pull",
            "GET /distribution/*/json",
            "GET /networks/*",
            "POST /networks/*/connect",
            "POST /networks/*/disconnect",
        ],
        &[],
        |spec| {
            spec.may = Some(May {
                // It asks the registry of each image for a newer one.
                remote: true,
                subnets: vec!["*".into()],
                ..May::default()
            });
            spec.must = Some(Must {
                recreatable: true,
                ..Must::default()
            });
        },
    ),
    (
        "dozzle",
        &[
            "ping",
            "events",
            "GET /info",
            "GET /containers/json",
            "GET /containers/*/json",
            "GET /containers/*/stats",
            "containers.logs",
        ],
        &[],
        without_env,
    ),
    (
        "homepage",
        &[
            "ping",
            "GET /containers/json",
            "GET /containers/*/json",
            "GET /containers/*/stats",
            "GET /services",
            "GET /services/*",
            "GET /tasks",
        ],
        &[],
        without_env,
    ),
    (
        "diun",
        &[
            "ping",
            "GET /info",
            "GET /containers/json",
            "GET /containers/*/json",
            "GET /images/json",
            "GET /images/*/json",
            "GET /services",
        ],
        &[],
        without_env,
    ),
    // `docker_sd_configs`, `dockerswarm_sd_configs`, and the nodes' metrics.
    (
        "prometheus",
        &[
            "ping",
            "metrics",
            "GET /containers/json",
            // For the labels of a task's container.
            "GET /containers/*/json",
            "GET /networks",
            "GET /services",
            "GET /tasks",
            "GET /nodes",
        ],
        &[],
        without_env,
    ),
    // GitLab's and others' Docker executors: one network, one helper and one job container each.
    (
        "ci-runner",
        &[
            "ping",
            "events",
            "GET /info",
            "containers.read",
            "containers.logs",
            "containers.lifecycle",
            "POST /containers/create",
            "DELETE /containers/*",
            "attach",
            "exec",
            "images.read",
            "images.pull",
            "registry",
            "volumes.read",
            "POST /volumes/create",
            "DELETE /volumes/*",
            "networks.read",
            "POST /networks/create",
            "DELETE /networks/*",
            "POST /networks/*/connect",
            "POST /networks/*/disconnect",
        ],
        &[],
        |_| (),
    ),
    // Docker Compose, for projects that need nothing of the host: grant their mounts in
    // `may`. A build needs `build` in `allow`.
    (
        "compose",
        &[
            "ping",
            "events",
            "GET /info",
            "containers.read",
            "containers.logs",
            "containers.lifecycle",
            "containers.write",
            "containers.archive",
            "attach",
            "exec",
            "images.read",
            "images.pull",
            // `down --rmi` comes to it when the containers are gone.
            "DELETE /images/*",
            "registry",
            "volumes.read",
            "POST /volumes/create",
            "DELETE /volumes/*",
            "networks.read",
            "POST /networks/create",
            "DELETE /networks/*",
            "POST /networks/*/connect",
            "POST /networks/*/disconnect",
        ],
        &["POST /containers/prune"],
        |_| (),
    ),
    // Testcontainers without its reaper, which needs the engine's socket: set
    // TESTCONTAINERS_RYUK_DISABLED.
    (
        "testcontainers",
        &[
            "ping",
            "events",
            "GET /info",
            "containers.read",
            "containers.logs",
            "containers.lifecycle",
            "POST /containers/create",
            "DELETE /containers/*",
            "containers.archive",
            "attach",
            "exec",
            "images.read",
            "images.pull",
            "registry",
            "volumes.read",
            "POST /volumes/create",
            "DELETE /volumes/*",
            "networks.read",
            "POST /networks/create",
            "DELETE /networks/*",
            "POST /networks/*/connect",
            "POST /networks/*/disconnect",
        ],
        &[],
        |_| (),
    ),
    // An answer with a config contains its content.
    (
        "read-only",
        &["*.read", "*.logs", "ping", "events"],
        &["configs.read", "browse.read", "GET /skep/**"],
        without_env,
    ),
    // Works with its own containers, which have a label.
    (
        "ai-agent",
        &[
            "ping",
            "GET /info",
            "containers.read",
            "containers.logs",
            "containers.lifecycle",
            "POST /containers/create",
            "DELETE /containers/*",
            "attach",
            "exec",
            "images.read",
            "images.pull",
            "volumes.read",
            "POST /volumes/create",
            "DELETE /volumes/*",
            "networks.read",
            "POST /networks/create",
            "DELETE /networks/*",
        ],
        &[],
        |spec| {
            without_env(spec);
            spec.labels = [("skep.owner".to_owned(), "ai-agent".to_owned())].into();
            spec.must = Some(Must {
                no_new_privileges: true,
                memory: Some(Size(2 << 30)),
                cpus: Some(2.0),
                pids: Some(512),
                restart: vec!["no".into(), "on-failure".into()],
                publish_on: vec![std::net::Ipv4Addr::LOCALHOST.into()],
                ..Must::default()
            });
        },
    ),
];

/// The names of the presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, ..)| *name)
}

/// The preset of this name.
pub fn preset(name: &str) -> Option<Spec> {
    let (_, allow, deny, finish) = PRESETS.iter().find(|(own, ..)| *own == name)?;
    let mut spec = Spec::allowing(allow.iter().copied());
    spec.deny = deny.iter().map(|entry| (*entry).to_owned()).collect();
    finish(&mut spec);
    Some(spec)
}

fn without_env(spec: &mut Spec) {
    spec.redact = vec![Redact::Env, Redact::Secrets];
}
