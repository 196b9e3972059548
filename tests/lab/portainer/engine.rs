//! Requests that a Portainer server sends to one node's engine for its users.

use serde_json::Value;

use super::cluster::Lab;
use super::portainer::{DEPLOYED, SECRET, Server};

const TARGET: &str = "X-PortainerAgent-Target: node3";

fn is_running(server: &Server, lab: &Lab) -> bool {
    let inspect = server.ask(lab, "GET", "/containers/web3/json", &[]);
    assert_eq!(inspect.status, 200, "{inspect:?}");
    inspect.json()["State"]["Running"] == true
}

pub(crate) fn an_action_runs_on_the_containers_node(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    // With the target from a list, and with the id alone.
    for target in [&[TARGET][..], &[]] {
        for (action, runs) in [("stop?t=0", false), ("start", true), ("restart?t=0", true)] {
            let path = format!("/v1.41/containers/web3/{action}");
            let done = server.post(lab, &path, "", target);
            assert_eq!(done.status, 204, "{action}: {done:?}");
            assert_eq!(is_running(&server, lab), runs, "{action}");
        }
    }
    let elsewhere = ["X-PortainerAgent-Target: node1"];
    let none = server.post(lab, "/containers/web3/stop", "", &elsewhere);
    assert_eq!(none.status, 404, "{none:?}");
}

pub(crate) fn the_logs_of_a_container_come_from_its_node(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    lab.engine(3).ok("run --name said3 busybox echo over there");
    for target in [&[TARGET][..], &[]] {
        let path = "/containers/said3/logs?stdout=1&stderr=1&tail=1";
        let logs = server.ask(lab, "GET", path, target);
        assert_eq!(logs.status, 200, "{logs:?}");
        assert!(logs.body.ends_with("over there"), "{logs:?}");
    }
    lab.engine(3).ok("rm said3");
}

pub(crate) fn a_failed_pull_gets_the_engines_error(_: &Lab) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    // A server sends this for a registry without credentials.
    let account = "X-Registry-Auth: e30=";
    for headers in [&[account, TARGET][..], &[account]] {
        let path = "/images/create?fromImage=registry.invalid/app&tag=1";
        let pull = server.post(lab, path, "", headers);
        assert_eq!(pull.status, 500, "{pull:?}");
        assert!(
            pull.message().contains("lookup registry.invalid"),
            "{pull:?}"
        );
        let node = pull.header("skep-node");
        assert!(headers.len() == 1 || node.ends_with(" node3"), "{pull:?}");
    }
    let distribution = server.ask(lab, "GET", "/distribution/registry.invalid/app/json", &[]);
    let error: Value = distribution.json();
    assert_eq!(distribution.status, 500, "{error}");
}
