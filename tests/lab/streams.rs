//! Streams in both directions: exec, attach and run, with and without a terminal, on the entry node and on another.

use std::fs;

use super::cluster::{Docker, Lab};
use super::command::{Task, task};

const ENTRY: usize = 2;

/// A container on the entry node, and one on another.
const CONTAINERS: [&str; 2] = ["web2", "web3"];

/// Runs a command on a terminal of 33 lines and 101 columns, as a person would.
fn run_on_a_terminal(lab: &Lab, task_on_it: &Task) -> String {
    let file = lab.file("on-a-terminal.sh");
    fs::write(
        &file,
        format!("stty rows 33 cols 101\n{}\n", task_on_it.line()),
    )
    .expect("a file of the test");
    let command = format!("sh {}", file.display());
    let output = task("script", "-qec")
        .arg(command)
        .arg("/dev/null")
        .env("TERM", "dumb")
        .hold_input()
        .ok();
    output.replace("\r\n", "\n")
}

/// Prints the terminal's size and name as soon as it has the client's size.
const TERMINAL: &str = "for n in $(seq 50); do [ \"$(stty size 2>/dev/null)\" = '33 101' ] && break; sleep 0.1; done; stty size; tty";

fn assert_terminal(output: &str) {
    let mut lines = output.lines().map(str::trim);
    assert_eq!(lines.next(), Some("33 101"), "{output}");
    assert!(
        lines.next().is_some_and(|tty| tty.starts_with("/dev/")),
        "{output}"
    );
}

/// Output after the end of standard input must still arrive.
pub(crate) fn the_end_of_standard_input_does_not_end_an_exec(lab: &Lab) {
    for container in CONTAINERS {
        let exec = lab.docker(ENTRY).cmd("exec -i").arg(container);
        let output = exec
            .arg_each("sh -c")
            .arg("cat; sleep 1; echo done")
            .input("x")
            .ok();
        assert_eq!(output, "xdone", "{container}");
    }
}

pub(crate) fn exec_returns_output_errors_and_exit_code(lab: &Lab) {
    for container in CONTAINERS {
        let exec = lab.docker(ENTRY).cmd("exec").arg(container);
        let done = exec
            .arg_each("sh -c")
            .arg("echo out; echo err >&2; exit 7")
            .run();
        assert_eq!(
            (done.code, &*done.text(), &*done.err),
            (7, "out\n", "err\n"),
            "{container}"
        );
    }
    let refusal = lab.docker(ENTRY).cmd("exec unknown true").run().refused();
    assert!(refusal.contains("No such container: unknown"), "{refusal}");
}

pub(crate) fn four_megabytes_pass_through_an_exec_unchanged(lab: &Lab) {
    let bytes: Vec<u8> = (0..1_000_003u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for container in CONTAINERS {
        let exec = lab.docker(ENTRY).cmd("exec -i").arg(container).arg("cat");
        let done = exec.input(bytes.clone()).run();
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(
            done.out == bytes,
            "{container}: {} of {} bytes, or different ones",
            done.out.len(),
            bytes.len()
        );
    }
}

pub(crate) fn exec_on_a_terminal_gets_a_terminal_of_the_same_size(lab: &Lab) {
    for container in CONTAINERS {
        let exec = lab.docker(ENTRY).cmd("exec -it").arg(container);
        assert_terminal(&run_on_a_terminal(
            lab,
            &exec.arg_each("sh -c").arg(TERMINAL),
        ));
    }
}

pub(crate) fn attach_accepts_piped_input(lab: &Lab) {
    for node in [2, 3] {
        lab.engine(node)
            .cmd("create -i --name attached busybox sh -c")
            .arg("cat; echo done")
            .ok();
        lab.engine(node).ok("start attached");
        let done = lab.docker(ENTRY).cmd("attach attached").input("x").run();
        lab.engine(node).ok("rm -f attached");
        assert_eq!(done.ok(), "xdone", "node{node}");
    }
}

fn clients(lab: &Lab) -> [Docker; 2] {
    [lab.docker(ENTRY), lab.docker_for(ENTRY, "node3")]
}

pub(crate) fn run_returns_output_and_exit_code_and_cleans_up(lab: &Lab) {
    for docker in clients(lab) {
        let done = docker
            .cmd("run --rm --name passing busybox sh -c")
            .arg("hostname; exit 9")
            .run();
        assert_eq!((done.code, done.text().len()), (9, 13), "{done}");
        let output = docker
            .cmd("run --rm -i --name passing busybox cat")
            .input("from far")
            .ok();
        assert_eq!(output, "from far");
        assert_eq!(docker.ok("ps -aq --filter name=passing"), "");
    }
}

pub(crate) fn run_on_a_terminal_gets_a_terminal_of_the_same_size(lab: &Lab) {
    for docker in clients(lab) {
        let run = docker.cmd("run --rm -it busybox sh -c").arg(TERMINAL);
        assert_terminal(&run_on_a_terminal(lab, &run));
    }
}
