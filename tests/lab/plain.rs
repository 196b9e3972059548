//! skep in the place of a socket proxy: a stock docker CLI in a container of the same network, without TLS.

use std::fs;

use super::cluster::Lab;
use super::command::Task;
use super::standalone::STANDALONE;
use super::wait::eventually;

/// The engine's socket, and the variables of Tecnativa's compose example.
const PROXY: &str = "--volume /var/run/docker.sock:/var/run/docker.sock:ro --env CONTAINERS=1 --env POST=0 \
                     --env LOG_LEVEL=info";

/// The host's own docker CLI and its libraries.
const CLI: &str = "--volume /usr:/usr:ro --volume /lib:/lib:ro --volume /lib64:/lib64:ro";

/// `docker` in a container of this network; `options` are those of the container.
fn docker(lab: &Lab, options: &str, command: &str) -> Task {
    let engine = lab.engine(1);
    let run = engine.cmd("run --rm --network sockets --env DOCKER_HOST=tcp://socket-proxy:2375");
    let run = run.arg_each(CLI).arg_each(options).arg("busybox");
    run.arg_each("/usr/bin/docker").arg_each(command).within(60)
}

pub(crate) fn a_docker_cli_in_a_container_finds_skep_where_a_socket_proxy_was(_: &Lab) {
    let lab = &*STANDALONE;
    let engine = lab.engine(1);
    engine.ok("network create --internal sockets");
    let run = engine.cmd("run --detach --read-only --name socket-proxy --network sockets");
    run.arg_each(PROXY).arg("skep:latest").ok();
    eventually(30, "the agent answers", || {
        match docker(lab, "", "ps --format {{.Names}}").run() {
            done if done.code == 0 && done.text().contains("socket-proxy") => Ok(()),
            done => Err(done.to_string()),
        }
    });
    docker(lab, "", "version").ok();
    for command in [
        "volume ls",
        "volume create made",
        "rm --force socket-proxy",
        "pull busybox",
    ] {
        let refusal = docker(lab, "", command).run().refused();
        assert!(
            refusal.contains("the policy \"environment\" of local:environment"),
            "{command}: {refusal}"
        );
    }
    // A container of another network does not reach it by its address either.
    let address = "inspect --format {{.NetworkSettings.Networks.sockets.IPAddress}} socket-proxy";
    let address = engine.ok(address);
    let wget = format!(
        "run --rm busybox timeout 3 wget -q -O - http://{}:2375/_ping",
        address.trim()
    );
    assert_ne!(engine.cmd(&wget).run().code, 0);
    engine.ok("rm --force socket-proxy");
    engine.ok("network rm sockets");
}

pub(crate) fn a_published_port_without_tls_stops_the_start(_: &Lab) {
    let lab = &*STANDALONE;
    let engine = lab.engine(1);
    let run = |name: &str, publish: &str| {
        let run = engine.cmd("run --detach").arg_each("--name").arg(name);
        let run = run.arg("--publish").arg(publish).arg_each(PROXY);
        run.arg("skep:latest").ok()
    };
    run("published", "2375:2375");
    eventually(30, "the agent ends", || {
        let log = engine.cmd("logs published").run();
        let text = format!("{}{}", log.text(), log.err);
        match text.contains("publishes its port (0.0.0.0:2375") {
            true => Ok(()),
            false => Err(text),
        }
    });
    assert_ne!(engine.ok("wait published").trim(), "0");
    engine.ok("rm published");
    // As in Tecnativa's example: this host alone reaches it.
    run("local", "127.0.0.1:2375:2375");
    eventually(30, "the agent answers on the loopback", || {
        match lab.lab("exec 1 docker -H tcp://127.0.0.1:2375 ps").run() {
            done if done.code == 0 && done.text().contains("local") => Ok(()),
            done => Err(done.to_string()),
        }
    });
    engine.ok("rm --force local");
}

pub(crate) fn a_container_is_known_by_its_name_or_its_service(_: &Lab) {
    let lab = &*STANDALONE;
    let engine = lab.engine(1);
    engine.ok("network create --subnet 172.29.7.0/24 sockets");
    let etc = lab.file("plain");
    fs::create_dir_all(&etc).expect("a folder of the test");
    let config = "listen:\n  - address: 0.0.0.0:2375\n    plain: true\n    networks: [172.29.7.0/24]\n    \
                  callers:\n      - { container: boss, policy: maker }\n      \
                  - { service: traefik, policy: traefik }\n\
                  cluster: { mode: off }\n\
                  policies: { maker: { allow: [volumes.read, containers.write, containers.lifecycle, ping] } }\n";
    fs::write(etc.join("skep.yaml"), config).expect("a file of the test");
    let run = engine.cmd("run --detach --read-only --name socket-proxy --network sockets");
    let run = run.arg_each(PROXY).arg("--volume");
    let run = run.arg(format!("{}:/etc/skep:ro", etc.display()));
    run.arg_each("skep:latest serve --config /etc/skep/skep.yaml")
        .ok();
    eventually(30, "the agent answers", || {
        match docker(lab, "--name boss", "volume ls").run() {
            done if done.code == 0 => Ok(()),
            done => Err(done.to_string()),
        }
    });
    let traefik = "--label com.docker.compose.service=traefik";
    docker(lab, traefik, "ps").ok();
    let refusal = docker(lab, traefik, "volume ls").run().refused();
    assert!(
        refusal.contains("\"traefik\" of local:traefik"),
        "{refusal}"
    );
    let refusal = docker(lab, "--name other", "volume ls").run().refused();
    assert!(refusal.contains("the container other"), "{refusal}");
    // Who may create containers does not become another caller by it.
    for create in [
        "create --label com.docker.compose.service=traefik busybox",
        "create --name boss busybox",
    ] {
        let refusal = docker(lab, "--name boss", create).run().refused();
        assert!(refusal.contains("only an admin may give it"), "{refusal}");
    }
    engine.ok("rm --force socket-proxy");
    engine.ok("network rm sockets");
}

pub(crate) fn a_manager_of_a_swarm_needs_no_secret_for_it(lab: &Lab) {
    let engine = lab.engine(1);
    let run = engine
        .cmd("run --detach --name socket-proxy")
        .arg_each(PROXY);
    run.arg("skep:latest").ok();
    eventually(30, "the agent listens", || {
        let log = engine.cmd("logs socket-proxy").run();
        let text = format!("{}{}", log.text(), log.err);
        match text.contains("listening on tcp://") {
            true => Ok(()),
            false => Err(text),
        }
    });
    let wget = "exec 1 curl -s -o /dev/null -w %{http_code}";
    let address = engine.ok("inspect --format {{.NetworkSettings.IPAddress}} socket-proxy");
    let get = |path: &str| {
        let url = format!("http://{}:2375{path}", address.trim());
        lab.lab(wget).arg(url).ok()
    };
    assert_eq!(get("/containers/json"), "200");
    assert_eq!(get("/services"), "403");
    engine.ok("rm --force socket-proxy");
}

pub(crate) fn ps_shows_where_a_published_port_really_is(lab: &Lab) {
    lab.engine(2)
        .ok("run --detach --name published --publish 18080:80 busybox sleep 86400");
    let address = lab.address(2);
    for entry in lab.numbers() {
        let ps = lab
            .skep("ps --filter name=published --to")
            .arg(lab.url(entry));
        let table = ps.ok();
        let [_, row] = table.lines().collect::<Vec<_>>()[..] else {
            panic!("{table}");
        };
        let node = lab.engine(2).ok("info --format {{.Name}}");
        assert!(row.starts_with(node.trim()), "{table}");
        assert!(row.contains(&format!("{address}:18080->80/tcp")), "{table}");
    }
    lab.engine(2).ok("rm --force published");
}
