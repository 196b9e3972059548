//! Debian's Docker Compose: an application on one node of a Swarm, through another node's agent.

use std::fs;

use super::cluster::{Lab, repository};
use super::command::{Task, task};

/// A worker.
const ENTRY: usize = 2;

/// An application of two services, one of which is built.
pub(crate) const FILE: &str = r#"version: "3.8"
services:
  db:
    image: busybox
    command: sleep 86400
    volumes: [data:/data]
  web:
    build: .
    image: shop-web
    command: sh -c "echo ready; exec sleep 86400"
    depends_on: [db]
    environment: { GREETING: hello }
    volumes: [data:/data]
volumes:
  data:
"#;

/// The installed form of Compose.
pub(crate) fn program() -> &'static str {
    let works = |words: &str| {
        let try_it = format!("{words} version >/dev/null 2>&1");
        task("sh", "-c").arg(try_it).within(60).run().code == 0
    };
    let mut forms = ["docker compose", "docker-compose"].into_iter();
    forms
        .find(|words| works(words))
        .expect("tests/prepare installs Compose")
}

fn compose(lab: &Lab, words: &str) -> Task {
    let socket = lab.docker(ENTRY).socket();
    let file = lab.file("shop").join("compose.yml");
    let command = format!("{} -p shop -f {} {words}", program(), file.display());
    task("sh", "-c")
        .arg(command)
        .env("DOCKER_HOST", format!("unix://{socket}"))
        // The classic builder, because BuildKit needs a plug-in.
        .env("DOCKER_BUILDKIT", "0")
        .env("COMPOSE_DOCKER_CLI_BUILD", "0")
        .within(120)
}

pub(crate) fn the_compose_file_is_valid(_: &Lab) {
    let file = repository().join("docker/compose.yml");
    let config = task("sh", "-c").arg(format!("{} -f {} config", program(), file.display()));
    let config = config.ok();
    assert!(config.contains("/var/run/docker.sock"), "{config}");
}

pub(crate) fn compose_builds_runs_and_removes_an_application(lab: &Lab) {
    let folder = lab.file("shop");
    fs::create_dir_all(&folder).expect("a folder of the test");
    fs::write(folder.join("compose.yml"), FILE).expect("a file of the test");
    let build = "FROM busybox\nRUN echo built > /built\n";
    fs::write(folder.join("Dockerfile"), build).expect("a file of the test");

    compose(lab, "up -d --build").ok();
    let all = lab
        .docker(1)
        .ok("ps --filter label=com.docker.compose.project=shop --format {{.Names}}");
    assert_eq!(
        all.lines().count(),
        2,
        "another agent lists them too: {all}"
    );
    let services = compose(lab, "ps --services").ok();
    assert!(
        services.contains("db") && services.contains("web"),
        "{services}"
    );
    let output = compose(
        lab,
        "exec -T web sh -c 'cat /built; echo $GREETING; echo kept > /data/file'",
    );
    assert_eq!(
        output.ok().split_whitespace().collect::<Vec<_>>(),
        ["built", "hello"]
    );
    assert_eq!(
        compose(lab, "exec -T db cat /data/file").ok().trim(),
        "kept"
    );
    compose(lab, "exec -T web ping -c 1 -W 5 db").ok();
    let logs = compose(lab, "logs web").ok();
    assert!(logs.contains("ready"), "{logs}");

    compose(lab, "up -d --scale web=2").ok();
    let webs = || {
        lab.docker(1)
            .ok("ps -q --filter label=com.docker.compose.service=web")
    };
    assert_eq!(webs().lines().count(), 2);
    compose(lab, "restart db").ok();
    compose(lab, "down --volumes --rmi local").ok();
    assert!(webs().is_empty());
    let left = lab
        .docker(1)
        .ok("volume ls -q --filter label=com.docker.compose.project=shop");
    assert!(left.is_empty(), "{left}");
}
