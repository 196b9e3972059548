//! Stacks as a Portainer server deploys them: on a Swarm by the docker CLI with the header for managers, and as Compose
//! through its own proxy, which only adds the signature.

use std::fs;

use super::cluster::Lab;
use super::command::{Task, task};
use super::compose;
use super::portainer::{DEPLOYED, ENTRY, SECRET, Server};
use super::portainer_proxy::signing_proxy;
use super::wait::eventually;

/// All kinds of objects that a stack can own. Not every kernel has virtual addresses.
const WHOLE: &str = r#"version: "3.7"
services:
  web:
    image: busybox
    command: sh -c "cat /run/secrets/pass /settings && exec sleep 86400"
    deploy: { endpoint_mode: dnsrr }
    networks: [back]
    secrets: [pass]
    configs: [ { source: settings, target: /settings } ]
  job:
    image: busybox
    command: sleep 86400
    deploy: { endpoint_mode: dnsrr }
    networks: [back]
networks:
  back: { driver: overlay }
secrets:
  pass: { file: ./pass }
configs:
  settings: { file: ./settings }
"#;

/// The same without its second service.
fn one_service() -> String {
    let (before, rest) = WHOLE.split_once("  job:\n").expect("two services");
    let (_, after) = rest.split_once("networks:\n  back").expect("a network");
    format!("{before}networks:\n  back{after}")
}

/// The docker CLI as a server calls it with `--tlsskipverify`.
fn docker(lab: &Lab, words: &str) -> Task {
    let folder = lab.file("server");
    let config = folder.join("config.json");
    if !config.exists() {
        fs::create_dir_all(&folder).expect("a folder of the test");
        let mut headers = serde_json::Map::new();
        for header in Server::new(SECRET).signed() {
            let (name, value) = header.split_once(": ").expect("a header");
            headers.insert(name.to_owned(), value.into());
        }
        headers.insert("X-PortainerAgent-ManagerOperation".to_owned(), "1".into());
        let json = serde_json::json!({ "HttpHeaders": headers }).to_string();
        fs::write(config, json).expect("a file of the test");
    }
    task("/usr/bin/docker", "--tls --tlscacert ''")
        .env("DOCKER_CONFIG", folder.display().to_string())
        .arg("--host")
        .arg(format!("tcp://{}:9001", lab.address(ENTRY)))
        .arg_each(words)
        .within(60)
}

/// A stack's services, networks, secrets and configs on a manager.
fn owned(lab: &Lab, stack: &str) -> [Vec<String>; 4] {
    ["service", "network", "secret", "config"].map(|kind| {
        let label = format!("label=com.docker.stack.namespace={stack}");
        let list = format!("{kind} ls --filter {label} --format {{{{.Name}}}}");
        lab.engine(1).sorted(&list)
    })
}

pub(crate) fn the_docker_cli_deploys_a_stack_through_a_worker(_: &Lab) {
    let lab = &*DEPLOYED;
    let stack = lab.file("app.yml");
    let yaml = "version: \"3.3\"\nservices:\n  app: { image: busybox, command: sleep 86400, deploy: { mode: global, endpoint_mode: dnsrr } }\n";
    fs::write(&stack, yaml).expect("a file of the test");
    docker(lab, "stack deploy --resolve-image never -c")
        .arg(stack.display().to_string())
        .arg("app")
        .ok();
    assert_eq!(
        docker(lab, "service ls --filter name=app_app --format {{.Name}}").ok(),
        "app_app"
    );
    docker(lab, "stack rm app").ok();
}

pub(crate) fn a_stack_is_created_pruned_and_removed_with_all_its_objects(_: &Lab) {
    let lab = &*DEPLOYED;
    let folder = lab.file("shop-stack");
    fs::create_dir_all(&folder).expect("a folder of the test");
    let file = folder.join("stack.yml");
    for (name, text) in [("pass", "hunter2"), ("settings", "a: b")] {
        fs::write(folder.join(name), text).expect("a file of the test");
    }
    let deploy = |yaml: &str| {
        fs::write(&file, yaml).expect("a file of the test");
        let deploy = "stack deploy --prune --with-registry-auth --resolve-image never -c";
        docker(lab, deploy)
            .arg(file.display().to_string())
            .arg("shop")
            .ok();
    };
    let names = |all: &[&str]| all.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let rest = || {
        [
            names(&["shop_back"]),
            names(&["shop_pass"]),
            names(&["shop_settings"]),
        ]
    };

    deploy(WHOLE);
    let [services, others @ ..] = owned(lab, "shop");
    assert_eq!(services, names(&["shop_job", "shop_web"]));
    assert_eq!(others, rest());
    let runs = || {
        let counts = lab
            .engine(1)
            .ok("service ls --filter name=shop_web --format {{.Replicas}}");
        (counts == "1/1").then_some(()).ok_or(counts)
    };
    eventually(60, "the service reads its secret and its config", runs);

    deploy(&one_service());
    let [services, others @ ..] = owned(lab, "shop");
    assert_eq!(services, names(&["shop_web"]));
    assert_eq!(others, rest());

    docker(lab, "stack rm shop").ok();
    // A network waits for the tasks in it.
    let gone = || {
        let left = owned(lab, "shop");
        let none = left.iter().all(Vec::is_empty);
        none.then_some(()).ok_or(format!("{left:?}"))
    };
    eventually(60, "no object of the stack is left", gone);
}

pub(crate) fn a_failed_login_gets_the_engines_error(_: &Lab) {
    let lab = &*DEPLOYED;
    let login = docker(
        lab,
        "login --username u --password hunter2 registry.invalid",
    );
    let error = login.run().refused();
    assert!(error.contains("lookup registry.invalid"), "{error}");
    let account = r#"{"username":"u","password":"hunter2","serveraddress":"registry.invalid"}"#;
    let manager = ["X-PortainerAgent-ManagerOperation: 1"];
    let auth = Server::new(SECRET).post(lab, "/v1.41/auth", account, &manager);
    assert_eq!(auth.status, 500, "{auth:?}");
    assert!(
        auth.message().contains("lookup registry.invalid"),
        "{auth:?}"
    );
    assert!(auth.header("skep-node").ends_with(" node1"), "{auth:?}");
}

/// A client that uses the signing proxy as its engine.
fn through(proxy: &str, client: Task) -> Task {
    client
        .env("DOCKER_HOST", format!("tcp://{proxy}"))
        // The classic builder, because BuildKit needs a plug-in.
        .env("DOCKER_BUILDKIT", "0")
        .env("COMPOSE_DOCKER_CLI_BUILD", "0")
        .within(120)
}

pub(crate) fn the_docker_cli_runs_and_builds_through_a_proxy_that_only_signs(_: &Lab) {
    let lab = &*DEPLOYED;
    let proxy = signing_proxy(lab);
    let config = lab.file("no-config").display().to_string();
    let docker = |words: &str| {
        let docker = task("/usr/bin/docker", words);
        through(&proxy, docker.env("DOCKER_CONFIG", &config))
    };
    let output = docker("run --rm busybox echo hello").ok();
    assert_eq!(output, "hello");
    docker("build -t signed -")
        .input("FROM busybox\nRUN echo built > /built\n")
        .ok();
    assert_eq!(docker("run --rm signed cat /built").ok(), "built");
    docker("rmi signed").ok();
}

pub(crate) fn compose_works_through_a_proxy_that_only_signs(_: &Lab) {
    let lab = &*DEPLOYED;
    let proxy = signing_proxy(lab);
    let project = lab.file("shop-compose");
    fs::create_dir_all(&project).expect("a folder of the test");
    let file = project.join("compose.yml");
    fs::write(&file, compose::FILE).expect("a file of the test");
    let build = "FROM busybox\nRUN echo built > /built\n";
    fs::write(project.join("Dockerfile"), build).expect("a file of the test");
    let compose = |words: &str| {
        let command = format!(
            "{} -p signed -f {} {words}",
            compose::program(),
            file.display()
        );
        through(&proxy, task("sh", "-c").arg(command))
    };
    compose("up -d --build").ok();
    let services = compose("ps --services").ok();
    assert!(
        services.contains("db") && services.contains("web"),
        "{services}"
    );
    let logs = || {
        let logs = compose("logs web").ok();
        logs.contains("ready").then_some(()).ok_or(logs)
    };
    eventually(20, "the service says that it is ready", logs);
    let running = lab
        .engine(ENTRY)
        .ok("ps -q --filter label=com.docker.compose.project=signed");
    assert_eq!(running.lines().count(), 2, "{running}");
    compose("down --volumes --rmi local").ok();
    let left = lab
        .engine(ENTRY)
        .ok("ps -aq --filter label=com.docker.compose.project=signed");
    assert!(left.is_empty(), "{left}");
}
