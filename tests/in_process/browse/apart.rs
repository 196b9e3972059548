//! Tests that cannot share a process with others run themselves again in one of
//! their own.

use std::process::Command;

use super::folder;

/// Set where a test runs again.
const AGAIN: &str = "SKEP_TEST_APART";

/// Whether this is the run in a process of its own. Otherwise that run is made,
/// and its failure is the test's.
pub(super) fn alone(test: &str) -> bool {
    is_apart() || run(Command::new("env"), test)
}

/// The same with mounts that nobody else sees, and without what makes modes
/// meaningless to root. It takes root, or user namespaces; where there is
/// neither, the test fails and says so.
pub(super) fn with_mounts(test: &str) -> bool {
    if is_apart() {
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

fn is_apart() -> bool {
    std::env::var_os(AGAIN).is_some()
}

fn run(mut through: Command, test: &str) -> bool {
    // What is mounted on cannot be removed before its mounts are gone.
    let temporary = folder();
    let test = &format!("browse::{test}");
    let again = through
        .arg(std::env::current_exe().expect("a path"))
        .args(["--exact", test])
        .env(AGAIN, "1")
        .env("TMPDIR", temporary.path())
        .output()
        .expect("the programs are there");
    let said = String::from_utf8_lossy(&again.stdout);
    let errors = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{said}{errors}");
    assert!(said.contains("1 passed"), "{test} is not its name: {said}");
    false
}
