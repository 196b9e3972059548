//! The engine of this node: whether it can be reached, what it is, and its Swarm.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use skep_filters::endpoint::ApiVersion;
use tokio::time::timeout;

use super::finding::{Finding, Subject};
use crate::cluster::identity::{self, EngineFacts, Identity};
use crate::config::{self, ClusterMode, Config};
use crate::platform;
use crate::upstream::client::{Budget, Client};
use crate::upstream::engine::Engine;
use crate::upstream::request;

/// How long the engine may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The largest `/version`.
const LIMIT: usize = 1 << 20;

/// The oldest API version that skep speaks.
const OLDEST_API: ApiVersion = ApiVersion::new(1, 24);

/// The releases that the tests run.
const TESTED: std::ops::RangeInclusive<u32> = 20..=29;

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "Components", default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "Name", default)]
    name: String,
}

/// What was found, and the node as its engine describes it, if that answers.
pub(super) async fn check(config: &Config) -> (Vec<Finding>, Option<Identity>) {
    let mut findings = Vec::new();
    match &config.engine {
        config::Engine::Socket(path) => match at_socket(path).await {
            Ok(found) => findings.extend(found),
            Err(finding) => return (vec![finding], None),
        },
        config::Engine::Tcp { host, tls, .. } => findings.extend(at_port(host, tls.is_some())),
        config::Engine::Pipe(_) => {}
    }
    let engine = match Engine::new(&config.engine) {
        Ok(engine) => engine,
        Err(e) => {
            let remedy = "correct engine.tls, or the file";
            findings.push(Finding::error(Subject::Engine, e.to_string(), remedy));
            return (findings, None);
        }
    };
    let client = Client::new();
    match timeout(DEADLINE, identity::read(&client, &engine)).await {
        Ok(Ok(me)) => {
            let is_podman = is_podman(&client, &engine).await;
            let facts = me.engine.iter();
            findings.extend(facts.flat_map(|facts| version(&engine, facts, is_podman)));
            findings.push(swarm(config, &me));
            (findings, Some(me))
        }
        Ok(Err(reason)) => {
            findings.push(unusable(&engine, &reason));
            (findings, None)
        }
        Err(_) => {
            let found = format!("{} does not answer within {DEADLINE:?}", engine.address());
            let remedy = "if `docker info` on the node hangs too, restart the engine";
            findings.push(Finding::error(Subject::Engine, found, remedy));
            (findings, None)
        }
    }
}

/// Whether something listens at the socket, and who else may use it.
async fn at_socket(path: &Path) -> Result<Vec<Finding>, Finding> {
    let shown = path.display();
    if let Err(e) = platform::bound_name(path).await {
        let found = format!("cannot open {shown}: {e}");
        return Err(Finding::error(Subject::Engine, found, no_socket(path, &e)));
    }
    if !platform::writable_by_others(path) {
        return Ok(Vec::new());
    }
    let found = format!("every user of this machine may use {shown}, and so is root");
    let remedy = format!("chmod 0660 {shown}; give it a group for those who may");
    Ok(vec![Finding::warning(Subject::Engine, found, remedy)])
}

fn no_socket(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "run this as root, or as a member of the socket's group (`ls -l {shown}`); in a \
             container, give the agent's user that group"
        ),
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there any more: `systemctl status docker`".to_owned()
        }
        _ => {
            let others: Vec<_> = elsewhere().into_iter().filter(|p| p.exists()).collect();
            match others.first() {
                Some(other) => format!(
                    "there is a socket at {}: name it, `engine: unix://{}`",
                    other.display(),
                    other.display()
                ),
                None => {
                    "start the engine (`systemctl start docker`), or mount its socket into the \
                         agent's container"
                        .to_owned()
                }
            }
        }
    }
}

/// Where engines without root, and Podman, have their sockets.
fn elsewhere() -> Vec<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let own = folder("XDG_RUNTIME_DIR").into_iter();
    let own = own.flat_map(|own| [own.join("docker.sock"), own.join("podman/podman.sock")]);
    let home = folder("HOME").map(|home| home.join(".docker/run/docker.sock"));
    let fixed = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    own.chain(home).chain(fixed).collect()
}

/// A port without TLS gives root to everyone who reaches it.
fn at_port(host: &str, has_tls: bool) -> Option<Finding> {
    let is_local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if has_tls || is_local {
        return None;
    }
    let found = format!("the engine's port at {host} has no TLS");
    let remedy = "whoever reaches it is root there: use its socket, or engine.tls";
    Some(Finding::warning(Subject::Engine, found, remedy))
}

async fn is_podman(client: &Client, engine: &Engine) -> bool {
    let asked = async {
        let peer = engine.peer().await.ok()?;
        let head = request::get("/version").ok()?;
        let answer = client.fetch(&peer, head, &Budget::one(LIMIT)).await.ok()?;
        serde_json::from_slice::<Version>(&answer.body).ok()
    };
    let version = timeout(DEADLINE, asked).await.ok().flatten();
    let components = version.map(|version| version.components);
    let mut names = components.iter().flatten().map(|part| part.name.as_str());
    names.any(|name| name.starts_with("Podman"))
}

fn version(engine: &Engine, facts: &EngineFacts, is_podman: bool) -> Vec<Finding> {
    let EngineFacts {
        version,
        api_min,
        api_max,
    } = facts;
    let kind = if is_podman { "Podman " } else { "" };
    let found = format!(
        "{kind}{version} at {}, API {api_min} to {api_max}",
        engine.address()
    );
    let too_old = facts.range().is_some_and(|range| range.max < OLDEST_API);
    if too_old {
        let remedy = format!("update it: skep speaks API {OLDEST_API} and newer");
        return vec![Finding::error(Subject::Engine, found, remedy)];
    }
    let mut findings = vec![Finding::fine(Subject::Engine, found)];
    if is_podman {
        findings.push(Finding::warning(
            Subject::Engine,
            "this is Podman: policies judge what Docker's engine reads in a body",
            "give only trusted callers a policy that creates containers",
        ));
        return findings;
    }
    let major = version.split('.').next().and_then(|text| text.parse().ok());
    if !major.is_some_and(|major: u32| TESTED.contains(&major)) {
        findings.push(Finding::warning(
            Subject::Version,
            format!("nobody has tested skep with engine {version}"),
            "engines from 20.10 to 29 are tested",
        ));
    }
    findings
}

fn swarm(config: &Config, me: &Identity) -> Finding {
    match (config.cluster.mode, me.swarm) {
        (ClusterMode::On, false) => Finding::error(
            Subject::Swarm,
            "cluster.mode is on, and the engine is not part of a Swarm",
            "`docker swarm init` or `docker swarm join` on this node, or cluster.mode: off",
        ),
        (_, false) => Finding::fine(Subject::Swarm, "none: the agent answers for this engine"),
        (_, true) => {
            let role = if me.manager { "manager" } else { "worker" };
            let found = format!("{} is a {role}, {}", me.name(), me.node_id);
            Finding::fine(Subject::Swarm, found)
        }
    }
}

/// The engine answers, but not with who it is.
fn unusable(engine: &Engine, reason: &str) -> Finding {
    let found = format!("{}: {reason}", engine.address());
    if reason.contains("Swarm state is locked") {
        return Finding::error(Subject::Swarm, found, "`docker swarm unlock` on this node");
    }
    if reason.contains("Swarm state is") {
        let remedy = "wait until the engine has joined; `docker info` shows its Swarm's error";
        return Finding::error(Subject::Swarm, found, remedy);
    }
    let remedy = "is this a Docker engine? `docker info` on the node has to work";
    Finding::error(Subject::Engine, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: &str, api_min: &str, api_max: &str) -> EngineFacts {
        let [version, api_min, api_max] = [version, api_min, api_max].map(str::to_owned);
        EngineFacts {
            version,
            api_min,
            api_max,
        }
    }

    #[test]
    fn engines_that_nobody_tested_and_those_that_are_too_old_are_named() {
        let engine = Engine::new(&config::Engine::Socket("/s".into())).unwrap();
        for (version_, max, is_podman, expected) in [
            ("26.1.5", "1.45", false, vec!["ok engine"]),
            ("20.10.24+dfsg1", "1.41", false, vec!["ok engine"]),
            (
                "19.03.5",
                "1.40",
                false,
                vec!["ok engine", "warning version"],
            ),
            ("1.11.2", "1.23", false, vec!["error engine"]),
            ("dev", "1.51", false, vec!["ok engine", "warning version"]),
            ("4.3.1", "1.41", true, vec!["ok engine", "warning engine"]),
        ] {
            let found = version(&engine, &facts(version_, "1.12", max), is_podman);
            let kinds: Vec<_> = found.iter().map(Finding::kind).collect();
            assert_eq!(kinds, expected, "{version_}");
        }
    }

    #[test]
    fn a_port_without_tls_is_named_except_on_the_loopback() {
        for (host, has_tls, is_named) in [
            ("10.0.0.1", false, true),
            ("10.0.0.1", true, false),
            ("127.0.0.1", false, false),
            ("::1", false, false),
            ("localhost", false, false),
            ("engine", false, true),
        ] {
            assert_eq!(at_port(host, has_tls).is_some(), is_named, "{host}");
        }
    }

    #[test]
    fn a_socket_that_cannot_be_opened_has_a_remedy_of_its_own() {
        let path = Path::new("/run/docker.sock");
        let remedy = |kind: io::ErrorKind| no_socket(path, &kind.into());
        assert!(remedy(io::ErrorKind::PermissionDenied).contains("group"));
        assert!(remedy(io::ErrorKind::ConnectionRefused).contains("systemctl status"));
    }

    #[test]
    fn a_swarm_that_is_locked_or_missing_is_an_error() {
        let engine = Engine::new(&config::Engine::Socket("/s".into())).unwrap();
        for (reason, expected) in [
            ("its Swarm state is locked, and …", "error swarm"),
            ("its Swarm state is pending, and …", "error swarm"),
            ("GET /info was answered 404", "error engine"),
        ] {
            assert_eq!(unusable(&engine, reason).kind(), expected, "{reason}");
        }
        let alone = Identity::default();
        let mut config = Config::default();
        assert_eq!(swarm(&config, &alone).kind(), "ok swarm");
        config.cluster.mode = ClusterMode::On;
        assert_eq!(swarm(&config, &alone).kind(), "error swarm");
    }
}
