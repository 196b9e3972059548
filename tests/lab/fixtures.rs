//! What the nodes have on them for the tests to find: a container `web` and its number on each node, one that has
//! ended, and volumes of which two on two nodes have one name.

use std::thread::sleep;
use std::time::Duration;

use super::cluster::Lab;

/// The order in which the containers are made, which is not that of their names.
pub(crate) const WEBS: [&str; 3] = ["web1", "web3", "web2"];

/// Which nodes have a volume `data`.
pub(crate) const DATA: [usize; 2] = [1, 3];

/// Puts it there.
pub(crate) fn create(lab: &Lab) {
    let node = |web: &str| web.trim_start_matches("web").parse().expect("a number");
    for web in WEBS {
        let run = lab
            .engine(node(web))
            .cmd("run --detach --label tier=web --name")
            .arg(web);
        run.arg_each("busybox sleep 86400").ok();
        // Lists tell the time in seconds.
        sleep(Duration::from_millis(1100));
    }
    lab.engine(1)
        .ok("run --name ended --label tier=ended busybox true");
    for node in DATA {
        lab.engine(node).ok("volume create data");
    }
    lab.engine(2).ok("volume create single");
}
