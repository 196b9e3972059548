//! Tests that cannot share a process with others run themselves again in their
//! own process.

use std::process::Command;

use super::folder;

/// The variable that marks a test's own process.
const AGAIN: &str = "SKEP_TEST_ISOLATED";

/// Whether the test already has its own process. If not, this function runs the
/// test in one, and fails when that run fails.
pub(super) fn in_own_process(test: &str) -> bool {
    is_own_process() || run(Command::new("env"), test)
}

/// The same in a private mount namespace, and without the capabilities that let
/// root ignore file modes. It needs root or user namespaces; without either, the
/// test fails with a message.
pub(super) fn with_mounts(test: &str) -> bool {
    if is_own_process() {
        return true;
    }
    let ways: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
    let can = |way: &&&[&str]| {
        let tried = Command::new("unshare").args(**way).arg("true").output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let way = ways.iter().find(can).unwrap_or_else(|| {
        panic!("NOT TESTED: mounting takes `unshare --mount` as root, or user namespaces")
    });
    let mut through = Command::new("unshare");
    through.args(*way);
    through.args(["setpriv", "--bounding-set=-dac_override,-dac_read_search"]);
    run(through, test)
}

fn is_own_process() -> bool {
    std::env::var_os(AGAIN).is_some()
}

fn run(mut through: Command, test: &str) -> bool {
    // A mount point cannot be removed while something is mounted on it.
    let temporary = folder();
    let test = &format!("browse::{test}");
    let again = through
        .arg(std::env::current_exe().expect("a path"))
        .args(["--exact", test])
        .env(AGAIN, "1")
        .env("TMPDIR", temporary.path())
        .output()
        .expect("the programs are there");
    let output = String::from_utf8_lossy(&again.stdout);
    let errors = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{output}{errors}");
    assert!(
        output.contains("1 passed"),
        "no test has the name {test}: {output}"
    );
    false
}
