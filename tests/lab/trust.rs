//! Authentication of requests and of agents.

use std::fs;

use super::cluster::{Lab, repository};
use super::command::task;
use super::request::Answer;

const ENTRY: usize = 2;

const PATH: &str = "/containers/json";

#[track_caller]
fn assert_refused(answer: &Answer, reason: &str) {
    let got = (
        answer.status,
        answer.header("content-type"),
        answer.header("www-authenticate"),
    );
    assert_eq!(got, (401, "application/json", "Signature"), "{answer:?}");
    assert_eq!(answer.json()["reason"], reason, "{answer:?}");
    assert!(!answer.message().is_empty(), "{answer:?}");
}

/// A valid secret that is not the cluster's.
fn other_secret(lab: &Lab) -> String {
    let path = lab.file("other-secret");
    fs::write(&path, lab.skep("secret").ok()).expect("a file of the test");
    path.display().to_string()
}

pub(crate) fn an_unsigned_request_is_refused(lab: &Lab) {
    for path in [PATH, "/_ping", "/skep/v1/nodes", "/nothing"] {
        assert_refused(&lab.send(ENTRY, "GET", path, &[]), "missing");
    }
}

pub(crate) fn a_replayed_request_is_refused(lab: &Lab) {
    let headers = lab.signed(ENTRY, "GET", PATH, None);
    assert_eq!(lab.send(ENTRY, "GET", PATH, &headers).status, 200);
    assert_refused(&lab.send(ENTRY, "GET", PATH, &headers), "replay");
}

pub(crate) fn a_signature_is_valid_for_one_request_only(lab: &Lab) {
    let headers = lab.signed(ENTRY, "GET", PATH, None);
    assert_refused(
        &lab.send(ENTRY, "GET", "/images/json", &headers),
        "bad-signature",
    );
    let headers = lab.signed(ENTRY, "GET", PATH, None);
    assert_refused(
        &lab.send(ENTRY, "GET", &format!("{PATH}?all=1"), &headers),
        "bad-signature",
    );
}

pub(crate) fn another_clusters_secret_does_not_verify_the_agents(lab: &Lab) {
    let nodes = lab.skep("nodes --to").arg(lab.url(ENTRY));
    let refusal = nodes
        .env("SKEP_SECRET_FILE", other_secret(lab))
        .run()
        .refused();
    assert!(refusal.to_lowercase().contains("certificate"), "{refusal}");
}

/// The answer must not reveal which keys exist.
pub(crate) fn a_signature_with_another_clusters_secret_is_refused(lab: &Lab) {
    let url = format!("{}{PATH}", lab.url(ENTRY));
    let sign = lab
        .skep("sign GET")
        .arg(url)
        .env("SKEP_SECRET_FILE", other_secret(lab));
    let headers: Vec<_> = sign.ok().lines().map(str::to_owned).collect();
    assert_refused(&lab.send(ENTRY, "GET", PATH, &headers), "bad-signature");
}

/// `openssl s_client`, which reports a certificate that it cannot verify, but continues.
fn openssl(lab: &Lab, options: &str) -> String {
    let connect = format!("s_client -connect {}:9001 -brief", lab.address(ENTRY));
    let done = task("openssl", &connect).arg_each(options).run();
    format!("{}{}", done.text(), done.err)
}

pub(crate) fn tls_1_3_verifies_with_the_clusters_ca_only(lab: &Lab) {
    let verified = openssl(
        lab,
        &format!("-CAfile {} -verify_ip {}", lab.ca(), lab.address(ENTRY)),
    );
    assert!(verified.contains("Verification: OK"), "{verified}");
    assert!(verified.contains("Protocol version: TLSv1.3"), "{verified}");
    let by_name = openssl(lab, &format!("-CAfile {} -verify_hostname node2", lab.ca()));
    assert!(by_name.contains("Verification: OK"), "{by_name}");
    let other_name = openssl(lab, &format!("-CAfile {} -verify_hostname node3", lab.ca()));
    assert!(other_name.contains("mismatch"), "{other_name}");
    let without = openssl(lab, "-no-CAfile -no-CApath");
    assert!(without.contains("Verification error"), "{without}");
    let old = openssl(lab, "-tls1_1 -cipher ALL:@SECLEVEL=0");
    assert!(!old.contains("CONNECTION ESTABLISHED"), "{old}");
}

/// A certificate that the cluster's CA did not issue fails the handshake.
pub(crate) fn a_certificate_of_another_authority_is_refused(lab: &Lab) {
    let (key, certificate) = (lab.file("forged.key"), lab.file("forged.pem"));
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let make = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=forged -keyout {key} -out {certificate}"
    );
    task("openssl", &make).ok();
    let curl = |version: &str| {
        let curl = task("curl", "-sS --cacert").arg(lab.ca()).arg_each(version);
        curl.arg("--cert")
            .arg(&certificate)
            .arg("--key")
            .arg(&key)
            .arg(format!("{}/_ping", lab.url(ENTRY)))
            .run()
    };
    for version in ["--tlsv1.3", "--tls-max 1.2"] {
        let refusal = curl(version).refused();
        assert!(refusal.contains("alert"), "{refusal}");
    }
}

/// Run by hand on a node of a Swarm, the image must explain the correct deployment.
pub(crate) fn without_a_secret_no_agent_starts_in_a_swarm(lab: &Lab) {
    let run = "run --rm -v /var/run/docker.sock:/var/run/docker.sock skep:latest";
    let refusal = lab.engine(1).cmd(run).run().refused();
    for part in [
        "part of a Swarm",
        "docker secret create skep_secret -",
        "docker stack deploy -c docker/stack.yml skep",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(repository().join("docker/stack.yml").exists());
}
