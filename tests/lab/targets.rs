//! Requests with a target.

use super::cluster::Lab;

const ENTRY: usize = 2;

pub(crate) fn a_node_can_be_named_by_id_or_hostname(lab: &Lab) {
    for node in lab.numbers() {
        let hostname = format!("node{node}");
        for target in [lab.node(ENTRY, &hostname).id, hostname.clone()] {
            let headers = lab.signed(ENTRY, "GET", "/info", Some(&target));
            let answer = lab.send(ENTRY, "GET", "/info", &headers);
            assert_eq!(answer.json()["Name"], hostname.as_str(), "{target}");
            assert!(answer.header("skep-node").contains(&hostname), "{answer:?}");
        }
    }
}

pub(crate) fn a_list_of_one_node_has_only_its_own_objects(lab: &Lab) {
    let docker = lab.docker_for(ENTRY, "node3");
    assert_eq!(
        docker.ok("ps --filter label=tier=web --format {{.Names}}"),
        "web3"
    );
    assert_eq!(docker.ok("volume ls -q"), "data");
}

pub(crate) fn an_unknown_node_gets_an_error_that_names_the_known_ones(lab: &Lab) {
    let headers = lab.signed(ENTRY, "GET", "/containers/json", Some("node9"));
    let answer = lab.send(ENTRY, "GET", "/containers/json", &headers);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (404, "application/json"),
        "{answer:?}"
    );
    let message = answer.message();
    assert!(message.contains("\"node9\""), "{message}");
    for node in lab.nodes(ENTRY) {
        assert!(
            message.contains(&format!("{} ({})", node.hostname, node.id)),
            "{message}"
        );
    }
}

pub(crate) fn a_target_that_the_signature_does_not_cover_is_refused(lab: &Lab) {
    let mut headers = lab.signed(ENTRY, "GET", "/info", None);
    headers.push("Skep-Target: node3".to_owned());
    let answer = lab.send(ENTRY, "GET", "/info", &headers);
    assert_eq!(answer.status, 401, "{answer:?}");
}

pub(crate) fn portainers_headers_choose_a_node_or_a_manager(lab: &Lab) {
    let socket = lab.docker(ENTRY).socket();
    let version = |headers: &[&str]| lab.get_through(&socket, "/version", headers);
    for node in ["node3", "node2"] {
        let answer = version(&[&format!("X-PortainerAgent-Target: {node}")]);
        assert!(answer.header("skep-node").contains(node), "{answer:?}");
    }
    assert_eq!(version(&["X-PortainerAgent-Target: nowhere"]).status, 404);
    // A manager answers this whatever the target, as with Portainer's agent.
    let info = lab.get_through(&socket, "/info", &["X-PortainerAgent-Target: node3"]);
    assert_eq!(info.json()["Name"], "node1");
    let manager = version(&["X-PortainerAgent-ManagerOperation: 1"]);
    assert!(manager.header("skep-node").contains("node1"), "{manager:?}");
    let local = version(&[]);
    assert!(local.header("skep-node").contains("node2"), "{local:?}");
}

/// A container's name is enough unless several nodes have a container with it.
pub(crate) fn an_ambiguous_name_gets_an_error_that_names_both_nodes(lab: &Lab) {
    for node in [1, 3] {
        lab.engine(node).ok("create --name twin busybox");
    }
    let refusal = lab.docker(ENTRY).cmd("start twin").run().refused();
    for node in [1, 3] {
        lab.engine(node).ok("rm -f twin");
    }
    assert!(
        refusal.contains("node1") && refusal.contains("node3") && !refusal.contains("node2"),
        "{refusal}"
    );
}
