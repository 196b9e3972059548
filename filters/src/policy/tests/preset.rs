//! Tests the requests that each preset allows and denies.

use super::*;

const NO_PRESET: &str = "POST /swarm/leave,GET /swarm/unlockkey,GET /swarm,POST /build,POST /grpc,\
    POST /plugins/pull,GET /containers/a/export,GET /images/get,GET /debug/vars,POST /images/load,\
    PUT /containers/a/archive,POST /secrets/create,POST /services/create,DELETE /nodes/a,POST /commit";

const NO_READER: &str = "POST /containers/create,POST /containers/a/start,DELETE /containers/a,\
    POST /containers/a/exec,POST /exec/a/start,POST /containers/a/attach,GET /containers/a/attach/ws,\
    POST /images/create?fromImage=a,DELETE /images/a,POST /volumes/create,POST /networks/create,\
    POST /containers/prune,POST /containers/a/update,GET /configs/a,GET /exec/a/json";

/// Preset, requests that it allows, requests that it denies.
const TABLE: &[(&str, &str, &str)] = &[
    (
        "traefik",
        "HEAD /_ping,GET /version,GET /events,GET /containers/json,GET /containers/a/json,GET /services,GET /tasks,GET /networks",
        "GET /containers/a/logs,GET /containers/a/top,GET /images/json,GET /secrets,GET /volumes",
    ),
    (
        "dozzle",
        "GET /_ping,GET /info,GET /events,GET /containers/json,GET /containers/a/json,GET /containers/a/stats,GET /containers/a/logs",
        "GET /services,GET /images/json,GET /containers/a/top",
    ),
    (
        "homepage",
        "GET /containers/json,GET /containers/a/stats,GET /services/a,GET /tasks",
        "GET /events,GET /containers/a/logs,GET /images/json",
    ),
    (
        "diun",
        "GET /containers/json,GET /images/a/b/json,GET /services,GET /info",
        "GET /events,GET /containers/a/logs",
    ),
    (
        "prometheus",
        "GET /containers/json,GET /networks,GET /services,GET /tasks,GET /nodes",
        "GET /containers/a/json,GET /events,GET /images/json",
    ),
    (
        "read-only",
        "GET /containers/a/json,GET /containers/a/logs,GET /images/json,GET /volumes,GET /nodes,GET /secrets,GET /services/a/logs,GET /events,GET /system/df",
        "GET /configs,GET /skep/v1/nodes,GET /containers/a/archive",
    ),
];

#[track_caller]
fn check(name: &str, may: &str, may_not: &[&str]) {
    let rules = RuleSet::new(&Spec::of_preset(name)).unwrap();
    for request in may.split(',') {
        allows(&rules, request, "");
    }
    for request in may_not.iter().flat_map(|list| list.split(',')) {
        assert!(!is_allowed(&rules, request), "{name} may {request}");
    }
}

#[test]
fn presets_for_readers_allow_their_reads_and_no_changes() {
    for (name, may, may_not) in TABLE {
        check(name, may, &[may_not, NO_READER, NO_PRESET]);
        let rules = RuleSet::new(&Spec::of_preset(name)).unwrap();
        assert!(rules.redact().contains(&Redact::Env), "{name}");
    }
}

#[test]
fn watchtower_replaces_containers_and_their_images() {
    let may = "GET /containers/json,POST /containers/create,POST /containers/a/rename,POST /containers/a/kill,\
        DELETE /containers/a,POST /images/create?fromImage=a,DELETE /images/a,POST /networks/n/connect";
    let may_not = "POST /containers/a/exec,POST /containers/a/attach,POST /images/create?fromSrc=-,\
        POST /volumes/create,POST /networks/create,POST /containers/prune,GET /containers/a/logs,POST /networks/host/connect";
    check("watchtower", may, &[may_not, NO_PRESET]);
    let rules = RuleSet::new(&Spec::of_preset("watchtower")).unwrap();
    denies(&rules, CREATE, &host(r#""Binds":["/:/host"]"#), "may.binds");
    let granted = Spec {
        may: Some(May {
            binds: vec!["/srv".into()],
            ..May::default()
        }),
        ..Spec::of_preset("watchtower")
    };
    allows(
        &RuleSet::new(&granted).unwrap(),
        CREATE,
        &host(r#""Binds":["/srv/a:/a"]"#),
    );
}

#[test]
fn a_ci_runner_runs_plain_containers() {
    let may = "POST /containers/create,POST /containers/a/start,POST /containers/a/attach,POST /containers/a/wait,\
        POST /containers/a/exec,POST /exec/a/start,DELETE /containers/a,POST /images/create?fromImage=a,POST /auth,\
        POST /volumes/create,DELETE /volumes/a,POST /networks/create,DELETE /networks/a,GET /containers/a/logs";
    let may_not = "POST /images/a/push,DELETE /images/a,POST /containers/prune,POST /volumes/prune,GET /services,GET /secrets";
    check("ci-runner", may, &[may_not, NO_PRESET]);
    let rules = RuleSet::new(&Spec::of_preset("ci-runner")).unwrap();
    denies(
        &rules,
        CREATE,
        &host(r#""Privileged":true"#),
        "may.privileged",
    );
    denies(
        &rules,
        CREATE,
        &host(r#""Binds":["/var/run/docker.sock:/s"]"#),
        "may.binds",
    );
}

#[test]
fn an_ai_agent_has_small_containers_of_its_own() {
    let may = "POST /containers/create,POST /containers/a/exec,DELETE /containers/a,GET /containers/a/logs,\
        POST /volumes/create,POST /images/create?fromImage=a";
    let may_not = "POST /images/a/push,DELETE /images/a,POST /containers/prune,GET /services,GET /secrets,\
        GET /containers/a/archive,POST /containers/a/update,POST /auth,GET /system/df";
    check("ai-agent", may, &[may_not, NO_PRESET]);
    let rules = RuleSet::new(&Spec::of_preset("ai-agent")).unwrap();
    assert_eq!(rules.scope().unwrap().labels()["skep.owner"], "ai-agent");
    denies(&rules, CREATE, "{}", "must.");
    let limits = r#""Memory":1073741824,"NanoCpus":1000000000,"PidsLimit":100,"SecurityOpt":["no-new-privileges"]"#;
    allows(&rules, CREATE, &host(limits));
    denies(
        &rules,
        CREATE,
        &host(&format!(r#"{limits},"NetworkMode":"host""#)),
        "may.namespaces",
    );
}

#[test]
fn portainer_may_call_every_known_endpoint() {
    check("portainer", NO_PRESET, &["GET /nowhere"]);
    let rules = RuleSet::new(&Spec::of_preset("portainer")).unwrap();
    allows(&rules, CREATE, &host(r#""Privileged":true"#));
}

#[test]
fn every_preset_is_valid_and_covered_by_these_tests() {
    let tested = TABLE.iter().map(|(name, ..)| *name);
    let others = ["watchtower", "ci-runner", "ai-agent", "portainer"];
    let mut tested: Vec<_> = tested.chain(others).collect();
    let mut names: Vec<_> = presets::names().collect();
    tested.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, tested);
}
