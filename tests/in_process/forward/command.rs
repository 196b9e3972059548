//! `skep forward`, the real program.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;
use crate::common::generation;

/// A running `skep forward`, and where it listens.
struct Forward {
    child: Child,
    addresses: Vec<SocketAddr>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(bed: &TestCluster, target: &str, ports: &[String], to: &[&str]) -> Command {
    let ca = bed.folder().join("ca.pem");
    std::fs::write(&ca, generation().ca_pem()).expect("a CA");
    let to = to
        .iter()
        .map(|node| format!("https://{}", bed.node(node).address));
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command
        .args(["forward", target])
        .args(ports)
        .args(["--to", &to.collect::<Vec<_>>().join(",")])
        .arg("--secret-file")
        .arg(bed.folder().join("secret"))
        .arg("--ca")
        .arg(ca);
    command
}

impl Forward {
    async fn start(bed: &TestCluster, target: &str, ports: &[u16], to: &[&str]) -> Self {
        let ports: Vec<_> = ports.iter().map(|port| format!(":{port}")).collect();
        let mut command = command(bed, target, &ports, to);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let reading = tokio::task::spawn_blocking(move || {
            let lines = out.lines().take(ports.len()).map_while(Result::ok);
            lines.collect::<Vec<_>>()
        });
        let lines = timeout(PATIENCE, reading).await.expect("in time");
        let lines = lines.expect("a reader");
        let addresses = lines.iter().map(|line| {
            let address = line.split(' ').next().unwrap_or_default();
            address.parse().unwrap_or_else(|_| panic!("{line:?}"))
        });
        let addresses: Vec<SocketAddr> = addresses.collect();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        Self { child, addresses }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_this_machine_reach_the_ports() {
    two(Vec::new())
        .run(async |bed| {
            let (whole, echoed) = (after_the_end(noise(100_000)).await, echo().await);
            let forward = Forward::start(bed, "web.n2", &[whole, echoed], &["n1"]).await;
            assert_eq!(forward.addresses.len(), 2);
            let mut socket = dial(forward.addresses[0]).await;
            socket.write_all(&noise(50_000)).await.unwrap();
            socket.shutdown().await.unwrap();
            let mut got = Vec::new();
            socket.read_to_end(&mut got).await.unwrap();
            assert!(got == [noise(100_000), noise(50_000)].concat());
            let mut open = JoinSet::new();
            for n in 0..40_u32 {
                let address = forward.addresses[1];
                open.spawn(async move {
                    let mut socket = dial(address).await;
                    let piece = n.to_be_bytes().repeat(1000);
                    socket.write_all(&piece).await.unwrap();
                    let mut got = vec![0; piece.len()];
                    socket.read_exact(&mut got).await.unwrap();
                    assert!(got == piece, "{n}");
                });
            }
            while let Some(done) = open.join_next().await {
                done.unwrap();
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_its_agent_and_the_next_one_has_another() {
    two(Vec::new())
        .run(async |bed| {
            let port = echo().await;
            let forward = Forward::start(bed, "web.n2", &[port], &["n1", "n2"]).await;
            let mut first = dial(forward.addresses[0]).await;
            first.write_all(b"x").await.unwrap();
            assert_eq!(first.read_u8().await.unwrap(), b'x');
            bed.node_mut("n1").kill().await;
            let end = timeout(PATIENCE, first.read_u8()).await.expect("an end");
            let end = end.unwrap_err().kind();
            assert_eq!(end, std::io::ErrorKind::ConnectionReset);
            // Through n2, and with n1 again once that is all there is.
            let mut second = dial(forward.addresses[0]).await;
            second.write_all(b"y").await.unwrap();
            assert_eq!(second.read_u8().await.unwrap(), b'y');
            bed.node_mut("n1").start().await.unwrap();
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_ends_the_command_with_the_reason() {
    two(Vec::new())
        .run(async |bed| {
            let (taken, port) = listen().await;
            for (target, ports, words) in [
                ("nobody", ":80".to_owned(), "No such container: nobody"),
                ("skep-n2", ":80".to_owned(), "No such container"),
                ("web.n2", format!("{port}:80"), "cannot listen on"),
                ("web.n2", ":0".to_owned(), "port 0"),
            ] {
                let mut command = command(bed, target, &[ports], &["n1"]);
                let ran = tokio::task::spawn_blocking(move || command.output()).await;
                let ran = ran.unwrap().unwrap();
                let text = String::from_utf8_lossy(&ran.stderr).into_owned();
                assert!(!ran.status.success(), "{target}");
                assert!(text.contains(words), "{target}: {text}");
                assert!(ran.stdout.is_empty(), "{target}");
            }
            drop(taken);
        })
        .await;
}
