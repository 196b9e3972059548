//! The compose examples of three socket proxies, with skep's image in the place of theirs and nothing else changed. A
//! stock docker CLI stands for the tool that uses them.

use std::fs;
use std::path::PathBuf;

use super::cluster::Lab;
use super::command::{Done, Task, task};
use super::compose::program;
use super::standalone::STANDALONE;
use super::wait::eventually;

/// A container with the host's docker CLI and its libraries, instead of the tool of the example.
const TOOL: &str = r#"
    image: busybox
    command: sleep 86400
    stop_signal: KILL
    volumes: ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"]
"#;

/// Tecnativa's variables, in the form of the compose files that its users write: a read-only socket, a network of its
/// own, and the port on the loopback as in its example of `docker run`. Without that example's `privileged`, because
/// the machine of the lab may not have all capabilities itself.
const TECNATIVA: &str = r#"services:
  dockerproxy:
    image: skep:latest
    container_name: dockerproxy
    environment:
      CONTAINERS: 1
      SERVICES: 0
      TASKS: 0
      POST: 0
      LOG_LEVEL: info
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
    ports:
      - 127.0.0.1:2375:2375
    networks: [socket]
  tool:TOOL
    depends_on: [dockerproxy]
    environment: { DOCKER_HOST: "tcp://dockerproxy:2375" }
    networks: [socket]
networks:
  socket: {}
"#;

/// The README of LinuxServer's image: all variables, read-only, `/run` as a tmpfs.
const LINUXSERVER: &str = r#"services:
  socket-proxy:
    image: skep:latest
    container_name: socket-proxy
    environment:
      - ALLOW_START=0
      - ALLOW_STOP=0
      - ALLOW_RESTARTS=1
      - AUTH=0
      - BUILD=0
      - COMMIT=0
      - CONFIGS=0
      - CONTAINERS=1
      - DISABLE_IPV6=0
      - DISTRIBUTION=0
      - EVENTS=1
      - EXEC=0
      - IMAGES=0
      - INFO=0
      - LOG_LEVEL=info
      - NETWORKS=0
      - NODES=0
      - PING=1
      - PLUGINS=0
      - POST=0
      - SECRETS=0
      - SERVICES=0
      - SESSION=0
      - SWARM=0
      - SYSTEM=0
      - TASKS=0
      - TZ=Etc/UTC
      - VERSION=1
      - VOLUMES=0
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
    networks: [socket]
    restart: unless-stopped
    tmpfs:
      - /run
    security_opt:
      - no-new-privileges=true
    read_only: true
  tool:TOOL
    environment: { DOCKER_HOST: "tcp://socket-proxy:2375" }
    networks: [socket]
networks:
  socket: {}
"#;

/// wollomatic's example for Dozzle: arguments, an unprivileged user with the group of the engine's socket, an internal
/// network, and only the service `dozzle` may connect.
const WOLLOMATIC: &str = r#"services:
  dockerproxy:
    image: skep:latest
    command:
      - '-loglevel=info'
      - '-allowfrom=dozzle'
      - '-listenip=0.0.0.0'
      - '-allowGET=/v1\..{2}/(containers/.*|events)|/_ping'
      - '-allowHEAD=/_ping'
      - '-watchdoginterval=300'
      - '-stoponwatchdog'
      - '-shutdowngracetime=10'
    restart: unless-stopped
    read_only: true
    mem_limit: 64M
    cap_drop:
      - ALL
    security_opt:
      - no-new-privileges
    user: 65534:GROUP
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock:ro
    networks:
      - docker-proxynet
  dozzle:TOOL
    depends_on:
      - dockerproxy
    environment: { DOCKER_HOST: "tcp://dockerproxy:2375" }
    networks:
      - docker-proxynet
      - dozzle
  other:TOOL
    environment: { DOCKER_HOST: "tcp://dockerproxy:2375" }
    networks:
      - docker-proxynet
networks:
  docker-proxynet:
    internal: true
    attachable: false
  dozzle:
    driver: bridge
    attachable: false
"#;

/// The same in wollomatic's variables.
const WOLLOMATIC_VARIABLES: &str = r#"    environment:
      - SP_LOGLEVEL=info
      - SP_ALLOWFROM=dozzle
      - SP_LISTENIP=0.0.0.0
      - 'SP_ALLOW_GET=/v1\..{2}/(containers/.*|events)|/_ping'
      - SP_ALLOW_HEAD=/_ping
      - SP_WATCHDOGINTERVAL=300
      - SP_STOPONWATCHDOG=true
      - SP_SHUTDOWNGRACETIME=10
"#;

/// An example that is up.
struct Example<'l> {
    lab: &'l Lab,
    project: &'static str,
    file: PathBuf,
}

impl<'l> Example<'l> {
    fn up(lab: &'l Lab, project: &'static str, text: &str) -> Self {
        let file = lab.file(&format!("{project}.yml"));
        let group = lab.lab("exec 1 stat -c %g /var/run/docker.sock").ok();
        let text = text
            .replace("TOOL", TOOL.trim_end())
            .replace("GROUP", &group);
        fs::write(&file, text).expect("a file of the test");
        let example = Self { lab, project, file };
        example.compose("up --detach").ok();
        example
    }

    fn compose(&self, words: &str) -> Task {
        let command = format!(
            "{} -p {} -f {} {words}",
            program(),
            self.project,
            self.file.display()
        );
        let socket = self.lab.engine(1).socket();
        let compose = task("sh", "-c").arg(command).within(120);
        compose.env("DOCKER_HOST", format!("unix://{socket}"))
    }

    /// The docker CLI in a service of the example.
    fn docker(&self, service: &str, words: &str) -> Done {
        self.compose(&format!("exec -T {service} /usr/bin/docker {words}"))
            .run()
    }

    /// Waits until the proxy answers a tool's first call.
    fn answers(&self, service: &str) {
        eventually(60, "the proxy answers", || {
            match self.docker(service, "ps --format {{.Names}}") {
                done if done.code == 0 => Ok(()),
                done => {
                    let logs = self.compose("logs").run();
                    Err(format!("{done}\n{logs}"))
                }
            }
        });
    }

    #[track_caller]
    fn refuses(&self, service: &str, words: &str) {
        let refusal = self.docker(service, words).refused();
        assert!(
            refusal.contains("the policy \"environment\""),
            "{words}: {refusal}"
        );
    }

    fn down(self) {
        self.compose("down --volumes").ok();
    }
}

pub(crate) fn tecnativas_example_needs_another_image_only(_: &Lab) {
    let lab = &*STANDALONE;
    let example = Example::up(lab, "tecnativa", TECNATIVA);
    example.answers("tool");
    let listed = example.docker("tool", "ps --format {{.Names}}").ok();
    assert!(listed.contains("dockerproxy"), "{listed}");
    example.docker("tool", "version").ok();
    example.docker("tool", "inspect dockerproxy").ok();
    for words in [
        "volume ls",
        "images",
        "stop dockerproxy",
        "pull busybox",
        "exec dockerproxy true",
    ] {
        example.refuses("tool", words);
    }
    // On the host, as in its example.
    lab.lab("exec 1 docker -H tcp://127.0.0.1:2375 ps").ok();
    example.down();
}

pub(crate) fn linuxservers_example_needs_another_image_only(_: &Lab) {
    let lab = &*STANDALONE;
    let example = Example::up(lab, "linuxserver", LINUXSERVER);
    example.answers("tool");
    example.docker("tool", "version").ok();
    example.docker("tool", "logs socket-proxy").ok();
    for words in [
        "volume ls",
        "images",
        "rm --force socket-proxy",
        "create busybox",
        "start socket-proxy",
    ] {
        example.refuses("tool", words);
    }
    // ALLOW_RESTARTS, without POST.
    lab.engine(1)
        .ok("run --detach --name restarted --stop-signal KILL busybox sleep 86400");
    example.docker("tool", "restart restarted").ok();
    lab.engine(1).ok("rm --force restarted");
    let log = example.compose("logs socket-proxy").ok();
    assert!(log.contains("TZ has no effect"), "{log}");
    example.down();
}

fn check_wollomatic(example: &Example<'_>) {
    example.answers("dozzle");
    let id = example.compose("ps -q dozzle").ok();
    example.docker("dozzle", &format!("logs {id}")).ok();
    for words in [
        "volume ls",
        "images",
        &format!("stop {id}"),
        &format!("exec {id} true"),
    ] {
        example.refuses("dozzle", words);
    }
    // Another service of the same network.
    let refusal = example.docker("other", "ps").refused();
    assert!(
        refusal.contains("no policy") || refusal.contains("the container"),
        "{refusal}"
    );
}

pub(crate) fn wollomatics_example_needs_another_image_only(_: &Lab) {
    let lab = &*STANDALONE;
    let example = Example::up(lab, "wollomatic", WOLLOMATIC);
    check_wollomatic(&example);
    example.down();

    let (before, rest) = WOLLOMATIC.split_once("    command:\n").expect("arguments");
    let (_, after) = rest.split_once("    restart:").expect("the rest");
    let text = format!("{before}{WOLLOMATIC_VARIABLES}    restart:{after}");
    let example = Example::up(lab, "wollomatic-variables", &text);
    check_wollomatic(&example);
    example.down();
}

/// An allowlist that cannot be kept as it is stops the start, and says what to do.
pub(crate) fn a_variable_without_a_meaning_here_stops_the_start(_: &Lab) {
    let lab = &*STANDALONE;
    let engine = lab.engine(1);
    for (options, named) in [
        (
            "--env SP_ALLOW_GET=/containers/web/json skep:latest",
            "SP_ALLOW_GET",
        ),
        (
            "--env SP_PROXYCONTAINERNAME=a skep:latest",
            "SP_PROXYCONTAINERNAME",
        ),
        (
            "--env CONTAINERS=perhaps --env PING=1 skep:latest",
            "CONTAINERS",
        ),
        ("skep:latest -listenip=0.0.0.0 -verbose", "-verbose"),
    ] {
        let socket = "--volume /var/run/docker.sock:/var/run/docker.sock:ro";
        let run = engine.cmd("run --rm").arg_each(socket).arg_each(options);
        let refusal = run.run().refused();
        assert!(
            refusal.contains(&format!("{named}: ")),
            "{options}: {refusal}"
        );
    }
}
