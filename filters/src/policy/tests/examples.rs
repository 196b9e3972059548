//! The policies of `docs/policies.md` do as the page says.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

const PAGE: &str = include_str!("../../../../docs/policies.md");

#[derive(Deserialize)]
struct Example {
    #[serde(default)]
    policies: BTreeMap<String, Spec>,
}

/// The policy of this name in an example of the page.
fn example(name: &str) -> RuleSet {
    let blocks = PAGE.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split("```").next());
    let spec = blocks.find_map(|block| {
        let example: Example = serde_saphyr::from_str(block).ok()?;
        example.policies.get(name).cloned()
    });
    let spec = spec.unwrap_or_else(|| panic!("no example has {name}"));
    RuleSet::new(&spec).unwrap_or_else(|faults| panic!("{name}: {faults:?}"))
}

#[test]
fn the_deploying_policy_updates_services_of_its_team_and_removes_none() {
    let rules = example("deploy");
    let body = |image: &str, source: &str, read_only: bool| {
        service(&format!(
            r#""Image":"{image}","Mounts":[{{"Type":"bind","Source":"{source}","Target":"/x","ReadOnly":{read_only}}}]"#
        ))
    };
    let update = "POST /services/web/update?version=1";
    for request in [SERVICE, update] {
        allows(
            &rules,
            request,
            &body("ghcr.io/team/web:2", "/srv/data/a", true),
        );
        denies(
            &rules,
            request,
            &body("ghcr.io/team/web", "/srv/data", false),
            "may.binds",
        );
        denies(
            &rules,
            request,
            &body("ghcr.io/team/web", "/etc", true),
            "may.binds",
        );
        denies(
            &rules,
            request,
            &body("alpine", "/srv/data", true),
            "must.images",
        );
    }
    for request in [
        "GET /_ping",
        "GET /containers/json",
        "GET /services/web",
        "GET /info",
        "GET /nodes",
        "POST /images/create?fromImage=ghcr.io/team/web&tag=2",
    ] {
        allows(&rules, request, "");
    }
    for (request, rule) in [
        ("DELETE /services/web", "deny DELETE /services/*"),
        ("POST /images/create?fromImage=alpine&tag=3", "must.images"),
        ("POST /images/create?fromSrc=http://x", "default"),
        ("POST /containers/create", "default"),
        ("GET /nodes/n1", "default"),
        ("GET /secrets", "default"),
    ] {
        denies(&rules, request, "", rule);
    }
}

#[test]
fn developers_enter_containers_of_their_zone_and_read_all() {
    let rules = example("developers");
    let node = |role, zone: &str| Node {
        role,
        hostname: "n1".into(),
        labels: [("zone".to_owned(), zone.to_owned())].into(),
    };
    let is_allowed = |request: &str, node: &Node| {
        let (method, path) = request.split_once(' ').unwrap();
        let path = RequestPath::parse(path).unwrap();
        let found = classify(method, &path);
        let request = Request {
            found: found.as_ref(),
            method,
            path: &path,
            query: "",
            upgrade: None,
            on: On::Node(node),
        };
        rules.judge(&request).is_allowed()
    };
    for (request, dev, other, manager) in [
        ("POST /containers/a/exec", true, false, false),
        ("POST /containers/a/attach", true, false, false),
        ("POST /containers/a/start", true, false, true),
        ("GET /containers/json", true, true, true),
        ("GET /containers/a/logs", true, true, true),
        ("POST /services/create", false, false, false),
    ] {
        let on = [
            (node(Role::Worker, "dev"), dev),
            (node(Role::Worker, "prod"), other),
            (node(Role::Manager, "dev"), manager),
        ];
        for (node, expected) in on {
            assert_eq!(is_allowed(request, &node), expected, "{request} {node:?}");
        }
    }
}

#[test]
fn the_assistant_is_held_to_its_labels_images_and_limits() {
    let rules = example("assistant");
    let scope = rules.scope().expect("a scope");
    assert_eq!(
        scope.labels().get("owner").map(String::as_str),
        Some("assistant")
    );
    assert_eq!(rules.redact(), [Redact::Env, Redact::Secrets]);
    let limits = |memory: u64| {
        format!(
            r#""Memory":{memory},"NanoCpus":1000000000,"PidsLimit":100,"SecurityOpt":["no-new-privileges"]"#
        )
    };
    let body =
        |image: &str, fields: &str| format!(r#"{{"Image":"{image}","HostConfig":{{{fields}}}}}"#);
    allows(&rules, CREATE, &body("alpine:3", &limits(1 << 30)));
    denies(
        &rules,
        CREATE,
        &body("alpine:3", &limits(2 << 30)),
        "must.memory",
    );
    denies(
        &rules,
        CREATE,
        &body("ghcr.io/a/b", &limits(1 << 30)),
        "must.images",
    );
    denies(&rules, CREATE, &body("alpine", r#""Memory":1"#), "must.");
    for without in ["SecurityOpt", "PidsLimit", "NanoCpus"] {
        let fields = limits(1 << 30).replace(without, "CpuShares");
        let fields = fields.replace(r#""CpuShares":["no-new-privileges"]"#, r#""Tty":null"#);
        denies(&rules, CREATE, &body("alpine", &fields), "must.");
    }
    denies(&rules, "POST /services/create", "{}", "default");
}
