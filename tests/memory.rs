//! The memory of the program itself, with its own allocator.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The derivation of the keys from a secret takes 19 MiB (Argon2id). The agent must return this
/// much of it, in KiB; the rest is a margin for its later allocations.
const RETURNED: u64 = 10 << 10;

/// An agent that runs until the test ends.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_memory_of_the_key_derivation_is_returned_and_the_rest_is_never_dumped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("secret"), "Yq3mZ0v8T1xkB7sRfL2cWnHd9uPjE5aG").expect("a secret");
    let config = format!(
        "listen: [{{ address: '127.0.0.1:0' }}]\nengine: unix://{}\n\
         cluster: {{ mode: off, secret_file: {} }}\nstate_dir: {}\n",
        path("docker.sock"),
        path("secret"),
        path("state"),
    );
    fs::write(path("skep.yaml"), config).expect("a configuration");
    let mut agent = Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(["serve", "--config", &path("skep.yaml")])
        .stderr(Stdio::piped())
        .spawn()
        .map(Agent)
        .expect("the agent starts");
    let log = agent.0.stderr.take().expect("its log");
    let lines = BufReader::new(log).lines().map_while(Result::ok);
    let mut seen = Vec::new();
    let listens = lines.inspect(|line| seen.push(line.clone()));
    let listens = listens
        .into_iter()
        .any(|line| line.contains("listening on"));
    assert!(listens, "the agent ended: {seen:#?}");
    let status =
        fs::read_to_string(format!("/proc/{}/status", agent.0.id())).expect("the agent runs");
    assert_eq!(field(&status, "NoNewPrivs:"), 1, "it may gain rights");
    let (peak, now) = (field(&status, "VmHWM:"), field(&status, "VmRSS:"));
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.0.id())).expect("its limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "it may write core files");
    assert!(
        peak >= now + RETURNED,
        "{now} KiB are in use, the peak was {peak} KiB"
    );
}

/// A number of proc(5), in KiB.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.expect("a field").trim().trim_end_matches(" kB");
    digits.parse().expect("a number")
}
