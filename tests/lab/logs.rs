//! The agents' logs.

use std::fs;

use super::cluster::Lab;
use super::wait::eventually;

const ENTRY: usize = 2;

pub(crate) fn a_request_is_one_log_line_without_secrets(lab: &Lab) {
    let path = "/containers/seen-in-the-log/json";
    let headers = lab.signed(ENTRY, "GET", &format!("{path}?size=1"), None);
    let answer = lab.send(ENTRY, "GET", &format!("{path}?size=1"), &headers);
    assert_eq!(answer.status, 404, "{answer:?}");

    let secret = fs::read_to_string(lab.secret()).expect("the lab's secret");
    let signature = headers
        .iter()
        .find_map(|line| line.strip_prefix("signature: sig1=:"));
    let signature = signature.expect("a signature").trim_end_matches(':');
    let logged = || {
        let log = lab.log(ENTRY);
        log.contains(path).then_some(()).ok_or(log)
    };
    eventually(5, "the request is in the log", logged);
    for node in lab.numbers() {
        let log = lab.log(node);
        let lines: Vec<_> = log.lines().filter(|line| line.contains(path)).collect();
        // The lookups on the other nodes are internal, and have no line. The request
        // itself goes to the local engine, which answers that it does not exist.
        assert_eq!(
            lines.len(),
            usize::from(node == ENTRY),
            "node{node}: {lines:?}"
        );
        for line in lines {
            for fact in [" INFO ", "GET ", "caller=", "status=404", " ms="] {
                assert!(line.contains(fact), "{fact}: {line}");
            }
        }
        // A query may contain secrets, as that of a build does.
        for hidden in [
            secret.trim(),
            signature,
            "size=1",
            "nonce=",
            "signature-input",
        ] {
            assert!(
                !log.contains(hidden),
                "{hidden:?} is in the log of node{node}"
            );
        }
    }
}

/// Agents probe each other every few seconds. Requests for themselves have no line.
pub(crate) fn health_checks_and_probes_do_not_fill_the_log(lab: &Lab) {
    for node in lab.numbers() {
        let log = lab.log(node);
        let internal = |line: &&str| line.contains("caller=peer:") && !line.contains("refused=");
        let lines: Vec<_> = log.lines().filter(internal).collect();
        assert!(lines.is_empty(), "node{node}: {lines:?}");
        assert!(!log.contains("/skep/v1/health"), "node{node}: {log}");
    }
}
