//! Objects on the nodes for the tests: a container `web` with the node's number on each node, one exited container, and
//! volumes, two of which have the same name on two nodes.

use std::thread::sleep;
use std::time::Duration;

use super::cluster::Lab;

/// The containers in the order of their creation, which is not that of their names.
pub(crate) const WEBS: [&str; 3] = ["web1", "web3", "web2"];

/// The nodes with a volume `data`.
pub(crate) const DATA: [usize; 2] = [1, 3];

/// Creates the objects.
pub(crate) fn create(lab: &Lab) {
    let node = |web: &str| web.trim_start_matches("web").parse().expect("a number");
    for web in WEBS {
        let run = lab
            .engine(node(web))
            .cmd("run --detach --label tier=web --name")
            .arg(web);
        run.arg_each("busybox sleep 86400").ok();
        // Lists show the time in seconds.
        sleep(Duration::from_millis(1100));
    }
    lab.engine(1)
        .ok("run --name ended --label tier=ended busybox true");
    for node in DATA {
        lab.engine(node).ok("volume create data");
    }
    lab.engine(2).ok("volume create single");
}
