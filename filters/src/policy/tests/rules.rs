//! Tests rules: their order, their conditions, and their faults.

use super::*;
use crate::scalar::Size;

fn rules(spec: &Spec) -> RuleSet {
    RuleSet::new(spec).unwrap()
}

fn texts(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

#[test]
fn the_first_rule_that_matches_decides_and_is_named() {
    let spec = Spec {
        preset: Some("traefik".into()),
        deny: texts(&["* /secrets/**"]),
        rules: vec![
            RuleSpec::new(
                Effect::Allow,
                texts(&["containers.logs", "GET /containers/web/json"]),
            ),
            RuleSpec::new(Effect::Deny, texts(&["containers.*"])),
        ],
        allow: texts(&["*.read", "containers.*"]),
        ..Spec::default()
    };
    let rules = rules(&spec);
    for (request, expected) in [
        ("GET /secrets", Err("deny * /secrets/**: a rule denies it")),
        (
            "GET /containers/a/logs",
            Ok("rules[0] allow containers.logs"),
        ),
        (
            "GET /containers/web/json",
            Ok("rules[0] allow GET /containers/web/json"),
        ),
        (
            "GET /containers/a/json",
            Err("rules[1] deny containers.*: a rule denies it"),
        ),
        ("GET /images/json", Ok("allow *.read")),
        ("GET /events", Ok("preset allow events")),
        ("POST /images/load", Err("default: no rule allows it")),
        ("GET /nowhere", Err("default: unknown endpoint")),
    ] {
        let outcome = judged(&rules, request, "");
        assert_eq!(
            outcome.as_deref().map_err(String::as_str),
            expected,
            "{request}"
        );
    }
}

#[test]
fn an_empty_policy_allows_nothing_and_admin_everything() {
    let none = rules(&Spec::default());
    for endpoint in crate::endpoint::all() {
        let path = RequestPath::parse("/x").unwrap();
        let found = Match {
            endpoint,
            object: None,
        };
        let request = |found| Request {
            found,
            method: endpoint.method.as_str(),
            path: &path,
            query: "",
            upgrade: None,
            on: On::Unknown,
        };
        assert!(
            !none.judge(&request(Some(&found))).is_allowed(),
            "{endpoint}"
        );
        assert!(RuleSet::admin().judge(&request(Some(&found))).is_allowed());
        assert!(RuleSet::admin().judge(&request(None)).is_allowed());
    }
    let everything = rules(&Spec::allowing(["*"]));
    denies(&everything, "GET /nowhere", "", "default");
}

#[test]
fn a_pull_is_not_an_import() {
    let rules = rules(&Spec::allowing(["images.pull"]));
    allows(&rules, "POST /images/create?fromImage=alpine", "");
    for query in [
        "fromSrc=-",
        "fromSrc=-&repo=a",
        "",
        "fromImage=&fromSrc=-",
        "fromimage=alpine",
    ] {
        denies(
            &rules,
            &format!("POST /images/create?{query}"),
            "",
            "default",
        );
    }
}

#[test]
fn a_rule_for_some_nodes_applies_only_there() {
    let worker = NodeCondition {
        role: Some(Role::Worker),
        hostname: Some("Node1".into()),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
    };
    let allow = RuleSpec::new(Effect::Allow, texts(&["exec"])).on(worker.clone());
    let deny = RuleSpec::new(Effect::Deny, texts(&["containers.read"])).on(worker);
    let rules = rules(&Spec {
        rules: vec![allow, deny],
        allow: texts(&["containers.read"]),
        ..Spec::default()
    });
    let node = |role, hostname: &str, zone: &str| Node {
        role,
        hostname: hostname.to_owned(),
        labels: [("zone".to_owned(), zone.to_owned())].into(),
    };
    let judge = |target: &str, on: On<'_>| {
        let (method, raw) = target.split_once(' ').unwrap();
        let path = RequestPath::parse(raw).unwrap();
        let found = classify(method, &path);
        let request = Request {
            found: found.as_ref(),
            method,
            path: &path,
            query: "",
            upgrade: None,
            on,
        };
        rules.judge(&request).is_allowed()
    };
    for (node, uses_portainer_signature) in [
        (node(Role::Worker, "node1", "a"), true),
        (node(Role::Manager, "node1", "a"), false),
        (node(Role::Worker, "node2", "a"), false),
        (node(Role::Worker, "node1", "b"), false),
    ] {
        assert_eq!(
            judge("POST /exec/a/start", On::Node(&node)),
            uses_portainer_signature
        );
        assert_eq!(
            judge("GET /containers/json", On::Node(&node)),
            !uses_portainer_signature
        );
    }
    assert!(
        !judge("POST /exec/a/start", On::Unknown),
        "an unknown node is allowed nothing"
    );
    assert!(
        !judge("GET /containers/json", On::Unknown),
        "and is denied what any may be"
    );
    for target in ["POST /exec/a/start", "GET /containers/json"] {
        assert!(judge(target, On::Any), "some node may be meant: {target}");
    }
    assert!(!judge("GET /info", On::Any));
    assert!(rules.depends_on_node() && !plain().depends_on_node());
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let spec = Spec {
        preset: Some("treafik".into()),
        deny: texts(&["secret.read"]),
        rules: vec![
            RuleSpec::default(),
            RuleSpec::new(Effect::Allow, texts(&["ping", "GET /v1.41/info"])),
        ],
        allow: texts(&["containers"]),
        may: Some(May {
            namespaces: texts(&["net", "*"]),
            binds: texts(&["/srv", "data"]),
            capabilities: texts(&["NET ADMIN"]),
            runtimes: texts(&[""]),
            ..May::default()
        }),
        must: Some(Must {
            images: texts(&["alpine:*"]),
            restart: texts(&["never"]),
            memory: Some(Size(0)),
            cpus: Some(f64::NAN),
            ..Must::default()
        }),
        labels: [(String::new(), String::new())].into(),
        ..Spec::default()
    };
    let faults = RuleSet::new(&spec).unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.at.as_str()).collect();
    assert_eq!(
        places,
        [
            "preset",
            "deny[0]",
            "rules[0]",
            "rules[1].allow[1]",
            "allow[0]",
            "may.capabilities[0]",
            "may.namespaces[0]",
            "may.binds[1]",
            "may.runtimes[0]",
            "must.images[0]",
            "must.restart[0]",
            "must.memory",
            "must.cpus",
            "labels",
        ]
    );
    assert!(
        faults[0].to_string().contains("traefik, portainer"),
        "{}",
        faults[0]
    );
}

#[test]
fn a_policy_of_too_many_entries_is_refused() {
    let spec = Spec {
        allow: vec!["ping".into(); 1001],
        ..Spec::default()
    };
    assert_eq!(RuleSet::new(&spec).unwrap_err()[0].at, "rules");
}

#[test]
fn settings_of_a_policy_replace_those_of_the_preset() {
    let own = Spec {
        must: Some(Must::default()),
        labels: [("owner".to_owned(), "me".to_owned())].into(),
        ..Spec::of_preset("ai-agent")
    };
    let rules = rules(&own);
    allows(&rules, CREATE, "{}");
    assert_eq!(rules.scope().unwrap().labels()["owner"], "me");
    assert_eq!(rules.redact(), [Redact::Env, Redact::Secrets]);
}

#[test]
fn bodies_that_no_rule_reads_are_not_inspected() {
    let create = Match {
        endpoint: crate::endpoint::EndpointId::ContainerCreate.endpoint(),
        object: None,
    };
    assert!(plain().inspects(&create));
    assert!(!RuleSet::admin().inspects(&create));
    assert!(!with(May::everything(), Must::default()).inspects(&create));
    let digest = Must {
        digest: true,
        ..Must::default()
    };
    assert!(with(May::everything(), digest).inspects(&create));
}

#[test]
fn the_policy_in_the_documentation_is_valid() {
    let yaml = "
allow: [containers.read, services.*, images.pull]
deny: [\"* /secrets/**\"]
rules:
  - allow: [exec]
    node: {role: worker, labels: {zone: a}}
may: {binds: [/srv/data], capabilities: [NET_ADMIN]}
must: {images: [ghcr.io/team/**], memory: 512m, cpus: 1.5, publish_on: [127.0.0.1]}
labels: {team: web}
redact: [env]
";
    let spec: Spec = serde_saphyr::from_str(yaml).unwrap();
    assert!(RuleSet::new(&spec).is_ok());
    assert!(serde_saphyr::from_str::<Spec>("alow: []").is_err());
}
