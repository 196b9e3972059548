//! Connections to ports of containers: the group, and the ports in `may`.

use super::*;

const WEB: &str = "POST /skep/v1/containers/web/forward?port=80";

fn read(yaml: &str) -> Result<RuleSet, String> {
    let spec: Spec = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
    let faults = |faults: Vec<PolicyError>| faults[0].to_string();
    RuleSet::new(&spec).map_err(faults)
}

#[test]
fn a_port_needs_the_group_and_a_grant() {
    for (yaml, rule) in [
        ("allow: [forward]\nmay: { forward: [80] }", None),
        ("allow: [forward]\nmay: { forward: ['80'] }", None),
        ("allow: [forward]\nmay: { forward: [1-100] }", None),
        ("allow: [forward]\nmay: { forward: ['*'] }", None),
        ("allow: ['*']\nmay: { everything: true }", None),
        (
            "allow: ['POST /skep/v1/containers/*/forward']\nmay: { forward: [80] }",
            None,
        ),
        ("allow: [forward]", Some("may.forward")),
        ("allow: ['*']", Some("may.forward")),
        (
            "allow: [forward]\nmay: { forward: [443, 8000-8999] }",
            Some("may.forward"),
        ),
        (
            "allow: [exec, attach, 'containers.*']\nmay: { forward: ['*'] }",
            Some("default"),
        ),
        (
            "deny: [forward]\nallow: ['*']\nmay: { everything: true }",
            Some("deny forward"),
        ),
        ("preset: portainer", Some("preset deny forward")),
    ] {
        let rules = read(yaml).unwrap_or_else(|e| panic!("{yaml}: {e}"));
        let judged = judged(&rules, WEB, "");
        match rule {
            None => assert!(judged.is_ok(), "{yaml}: {judged:?}"),
            Some(rule) => assert!(judged.unwrap_err().starts_with(rule), "{yaml}"),
        }
    }
    assert!(is_allowed(&RuleSet::admin(), WEB));
}

#[test]
fn no_preset_forwards_a_port() {
    for name in presets::names() {
        let rules = RuleSet::new(&Spec::of_preset(name)).unwrap();
        assert!(!is_allowed(&rules, WEB), "{name}");
    }
}

#[test]
fn a_second_port_in_the_query_reaches_nothing() {
    let rules = read("allow: [forward]\nmay: { forward: [80] }").unwrap();
    for query in [
        "",
        "?port=81",
        "?port=80&port=81",
        "?port=81&port=80",
        "?port=",
        "?port=080",
        "?port=+80",
        "?port=80;port=81",
        "?port=80&Port=81",
        "?port=80&address=10.0.0.1",
        "?port=80%2081",
    ] {
        let request = format!("POST /skep/v1/containers/web/forward{query}");
        assert!(!is_allowed(&rules, &request), "{query}");
    }
    for query in [
        "?port=80",
        "?port=80&check=1",
        "?port=80&port=80",
        "?p%6frt=80",
    ] {
        let request = format!("POST /skep/v1/containers/web/forward{query}");
        allows(&rules, &request, "");
    }
}

#[test]
fn what_can_be_no_port_is_a_fault() {
    for port in [
        "0", "65536", "-1", "80-", "90-80", "http", "8*", "80.5", "true",
    ] {
        let yaml = format!("allow: [forward]\nmay: {{ forward: [{port}] }}");
        assert!(read(&yaml).is_err(), "{port}");
    }
}
