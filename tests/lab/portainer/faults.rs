//! Nodes that are lost while a Portainer server takes a snapshot. It gets a list and inspects each container in it. It
//! drops the whole snapshot if one answer takes more than a minute or is not "No such container" (portainer#7937).

use super::cluster::Lab;
use super::command::task;
use super::faults::Undo;
use super::portainer::{DEPLOYED, SECRET, Server};
use super::wait::eventually;

/// Engines that have given each other up rejoin only once a minute, see `faults.rs`.
const BACK: u64 = 90;

/// The id of a container, from a list.
fn listed(server: &Server, lab: &Lab, name: &str) -> String {
    let list = server.ask(lab, "GET", "/containers/json?all=1", &[]).list();
    let row = list.iter().find(|row| row["Names"][0] == name);
    let id = row.and_then(|row| row["Id"].as_str());
    id.unwrap_or_else(|| panic!("{name}: {list:?}")).to_owned()
}

fn lost_after_the_list(fault: &str, undo: &str) {
    let lab = &*DEPLOYED;
    let server = Server::new(SECRET);
    let all_are_back = || {
        let list = server.ask(lab, "GET", "/containers/json?all=1", &[]);
        let missing = list.header("skep-missing").to_owned();
        let whole = list.status == 200 && missing.is_empty();
        whole.then_some(()).ok_or(missing)
    };
    eventually(BACK, "all nodes are ready", all_are_back);
    let (lost, kept) = (listed(&server, lab, "/web3"), listed(&server, lab, "/web1"));
    let undone = Undo(|| drop(lab.lab(undo).run()));
    lab.lab(fault).ok();
    // A server's own limit is a minute.
    for _ in 0..2 {
        let curl = task("curl", "--insecure --max-time 50").within(60);
        let path = format!("/v1.41/containers/{lost}/json");
        let inspect = server.send(lab, curl, "GET", &path, &[]);
        assert_eq!(inspect.status, 503, "{inspect:?}");
        let gone = format!("No such container: {lost}");
        assert!(inspect.message().contains(&gone), "{inspect:?}");
    }
    let inspect = server.ask(lab, "GET", &format!("/v1.41/containers/{kept}/json"), &[]);
    assert_eq!(inspect.status, 200, "{inspect:?}");
    for list in [
        "/containers/json?all=1",
        "/images/json",
        "/volumes",
        "/networks",
    ] {
        let list = server.ask(lab, "GET", list, &[]);
        assert_eq!(list.status, 200, "{list:?}");
        assert!(list.header("skep-missing").contains(" node3 ("), "{list:?}");
    }
    drop(undone);
    eventually(BACK, "all nodes are back", all_are_back);
}

pub(crate) fn a_node_disconnected_after_the_list_does_not_break_a_snapshot(_: &Lab) {
    lost_after_the_list("fault 3 cut", "fault 3 heal");
}

pub(crate) fn an_engine_that_hangs_after_the_list_does_not_break_a_snapshot(_: &Lab) {
    lost_after_the_list("fault 3 stop", "fault 3 cont");
}
