//! What agents log.

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
    let said = || {
        let log = lab.log(ENTRY);
        log.contains(path).then_some(()).ok_or(log)
    };
    eventually(5, "the request is in the log", said);
    for node in lab.numbers() {
        let log = lab.log(node);
        let lines: Vec<_> = log.lines().filter(|line| line.contains(path)).collect();
        // The others were asked whether they have it, which is nobody's request;
        // and the request itself went to this engine, which says that nobody has.
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
        // A query may hold secrets, as those of a build do.
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

/// Agents look after each other every few seconds. What they ask in the name of nobody else is not worth a line.
pub(crate) fn health_checks_and_probes_do_not_fill_the_log(lab: &Lab) {
    for node in lab.numbers() {
        let log = lab.log(node);
        let errand = |line: &&str| line.contains("caller=peer:") && !line.contains("refused=");
        let errands: Vec<_> = log.lines().filter(errand).collect();
        assert!(errands.is_empty(), "node{node}: {errands:?}");
        assert!(!log.contains("/skep/v1/health"), "node{node}: {log}");
    }
}
