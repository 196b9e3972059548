//! Ports of containers on every kind of network, through `skep forward` and an agent on another node.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::cluster::Lab;
use super::command::Running;

const ENTRY: usize = 2;

/// Sends back what comes, one process for each connection.
const SERVER: &str = "busybox nc -ll -p 8080 -e cat";

const LENGTH: usize = 50_000_000;

/// `skep forward` to a container, and its address here.
fn forward(lab: &Lab, target: &str) -> (Running, SocketAddr) {
    let running = lab
        .skep("forward")
        .arg(target)
        .arg(":8080")
        .arg("--to")
        .arg(lab.url(ENTRY))
        .within(120)
        .background();
    let line = running.line_with("->", Duration::from_secs(20));
    let address = line.split(' ').next().unwrap_or_default().parse();
    (running, address.unwrap_or_else(|_| panic!("{line}")))
}

fn dial(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("skep forward listens");
    let patience = Some(Duration::from_secs(60));
    socket.set_read_timeout(patience).expect("a time limit");
    socket
}

/// The time until the first byte of a new connection is back.
fn first_byte(address: SocketAddr) -> Duration {
    let began = Instant::now();
    let mut socket = dial(address);
    socket.write_all(b"x").expect("a connection");
    let mut byte = [0];
    socket.read_exact(&mut byte).expect("an echo");
    began.elapsed()
}

/// Fifty megabytes there and back at the same time, each byte compared.
fn there_and_back(address: SocketAddr, name: &str) -> Duration {
    let sent: Vec<u8> = (0..LENGTH / 4)
        .flat_map(|n| (n as u32).wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let began = Instant::now();
    let mut socket = dial(address);
    let mut writer = socket.try_clone().expect("a second handle");
    let bytes = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).expect("a connection");
        writer.shutdown(Shutdown::Write).expect("an end");
    });
    let mut got = Vec::with_capacity(LENGTH);
    socket.read_to_end(&mut got).expect("an end");
    writing.join().expect("all was sent");
    assert_eq!(got.len(), sent.len(), "{name}");
    assert!(got == sent, "{name}: other bytes came back");
    began.elapsed()
}

pub(crate) fn ports_of_containers_on_every_network_are_reached_on_every_node(lab: &Lab) {
    lab.engine(1)
        .ok("network create --driver overlay --attachable fwd-overlay");
    lab.engine(3).ok("network create --internal fwd-internal");
    for (node, name, network) in [
        (1, "fwd-bridge-1", "bridge"),
        (2, "fwd-bridge-2", "bridge"),
        (3, "fwd-bridge-3", "bridge"),
        (3, "fwd-in", "fwd-internal"),
        (3, "fwd-over-3", "fwd-overlay"),
        (1, "fwd-over-1", "fwd-overlay"),
        (3, "fwd-host", "host"),
    ] {
        let run = lab.engine(node).cmd("run --detach --network").arg(network);
        run.arg("--name").arg(name).arg_each(SERVER).ok();
    }
    for name in [
        "fwd-bridge-1",
        "fwd-bridge-2",
        "fwd-bridge-3",
        "fwd-in",
        "fwd-over-3",
        "fwd-over-1",
    ] {
        let began = Instant::now();
        let (running, address) = forward(lab, name);
        let ready = began.elapsed();
        let first = first_byte(address);
        let next = (0..10).map(|_| first_byte(address)).min();
        let took = there_and_back(address, name);
        crate::say(&format!(
            "{name}: ready after {ready:.1?}, first byte after {first:.1?}, of a later connection {:.1?}; \
             50 MB there and back in {took:.1?}",
            next.unwrap_or_default()
        ));
        drop(running);
    }
    let refused = lab
        .skep("forward fwd-host :8080 --to")
        .arg(lab.url(ENTRY))
        .run()
        .refused();
    assert!(refused.contains("network of its host"), "{refused}");
    let refused = lab
        .skep("forward")
        .arg(lab.agent(3).container)
        .arg(":9001")
        .arg("--to")
        .arg(lab.url(ENTRY))
        .run()
        .refused();
    assert!(refused.contains("No such container"), "{refused}");
    for node in lab.numbers() {
        let engine = lab.engine(node);
        let all = engine.ok("ps -aq --filter name=fwd-");
        if !all.is_empty() {
            engine.cmd("rm -f").arg_each(&all).ok();
        }
    }
    // The helpers go with their targets.
    for node in lab.numbers() {
        let engine = lab.engine(node);
        super::wait::eventually(20, "the helpers are gone", || {
            match engine.ok("ps -aq --filter name=skep-forward-") {
                none if none.is_empty() => Ok(()),
                some => Err(some),
            }
        });
    }
    lab.engine(3).ok("network rm fwd-internal");
    lab.engine(1).ok("network rm fwd-overlay");
}
