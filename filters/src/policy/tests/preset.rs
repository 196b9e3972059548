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
        "HEAD /_ping,GET /version,GET /events,GET /containers/json,GET /containers/a/json,GET /services,GET /tasks,GET /networks,GET /nodes/a",
        "GET /nodes,GET /containers/a/logs,GET /containers/a/top,GET /images/json,GET /secrets,GET /volumes",
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
        "GET /containers/json,GET /containers/a/json,GET /networks,GET /services,GET /tasks,GET /nodes",
        "GET /events,GET /containers/a/logs,GET /images/json",
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

/// A container as an engine of 20.10 describes it, with this in its `HostConfig`.
fn inspected(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(
        r#"{{"Id":"c1","Created":"2024-01-01T00:00:00Z","Name":"/web","Path":"serve","Args":[],
        "State":{{"Status":"running","Running":true}},"Image":"sha256:1","Mounts":[],"AppArmorProfile":"",
        "HostConfig":{{"Binds":null,"NetworkMode":"front","PortBindings":{{}},"RestartPolicy":{{"Name":"no",
        "MaximumRetryCount":0}},"ConsoleSize":[0,0],"ShmSize":67108864,"MaskedPaths":["/proc/asound","/proc/acpi",
        "/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug",
        "/proc/scsi","/sys/firmware"],"ReadonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys",
        "/proc/sysrq-trigger"]{comma}{fields}}},
        "Config":{{"Hostname":"c1","Env":["A=b"],"Cmd":["serve"],"Image":"team/web:1","Volumes":null,
        "Labels":{{"com.docker.compose.project":"shop"}},"StopSignal":"SIGTERM"}},
        "NetworkSettings":{{"Bridge":"","Networks":{{"front":{{"IPAMConfig":null,"Links":null,"Aliases":["web"],
        "NetworkID":"n1","EndpointID":"e1","Gateway":"10.0.0.1","IPAddress":"10.0.0.2","IPPrefixLen":24,
        "MacAddress":"02:42:0a:00:00:02","DriverOpts":null}}}}}}}}"#
    )
}

#[test]
fn watchtower_ends_only_containers_that_it_may_create_again() {
    let spec = Spec {
        may: Some(May {
            remote: true,
            subnets: vec!["*".into()],
            binds: vec!["/srv".into()],
            ..May::default()
        }),
        ..Spec::of_preset("watchtower")
    };
    let rules = RuleSet::new(&spec).unwrap();
    let api = EffectiveApi::of(
        None,
        Some(EffectiveApi::NEWEST.version),
        Release::parse("20.10.24"),
    );
    for (fields, expected) in [
        ("", Ok(())),
        (
            r#""Mounts":[{"Type":"volume","Source":"data","Target":"/data"}]"#,
            Ok(()),
        ),
        (r#""Memory":1048576"#, Ok(())),
        (r#""CapAdd":["NET_ADMIN"]"#, Err("may.capabilities")),
        (r#""Privileged":true"#, Err("may.privileged")),
        (r#""PidMode":"host""#, Err("may.namespaces")),
        (r#""OfTheFuture":"x""#, Err("may.unknown_fields")),
        (
            r#""Devices":[{"PathOnHost":"/dev/kvm"}]"#,
            Err("may.devices"),
        ),
    ] {
        let verdict =
            rules.judge_recreation(inspected(fields).as_bytes(), api, &Guarded::default());
        match (outcome(verdict), expected) {
            (Ok(_), Ok(())) => {}
            (Err(outcome), Err(rule)) => assert!(outcome.starts_with(rule), "{outcome}: {fields}"),
            (outcome, expected) => panic!("{outcome:?} instead of {expected:?}: {fields}"),
        }
    }
    for (binds, is_allowed) in [("/srv/a:/a", true), ("/etc:/a", false)] {
        let inspect = inspected("").replace(r#""Binds":null"#, &format!(r#""Binds":["{binds}"]"#));
        let verdict = rules.judge_recreation(inspect.as_bytes(), api, &Guarded::default());
        assert_eq!(verdict.is_allowed(), is_allowed, "{binds}");
    }
    for unreadable in ["", "[]", "{", r#"{"Config":{},"config":{}}"#] {
        let verdict = rules.judge_recreation(unreadable.as_bytes(), api, &Guarded::default());
        assert!(!verdict.is_allowed(), "{unreadable}");
    }
}

#[test]
fn every_end_of_a_container_is_held_to_its_recreation() {
    let must = Must {
        recreatable: true,
        ..Must::default()
    };
    let rules = with(May::default(), must);
    for (request, expected) in [
        ("POST /containers/a/stop", true),
        ("POST /v1.24/containers/a/kill", true),
        ("DELETE /containers/a", true),
        ("POST /containers/a/restart", false),
        ("POST /containers/a/start", false),
        ("DELETE /images/a", false),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let path = RequestPath::parse(path).unwrap();
        let found = classify(method, &path).unwrap();
        assert_eq!(rules.keeps_recreatable(&found), expected, "{request}");
        assert!(!plain().keeps_recreatable(&found), "{request}");
    }
    denies(&rules, "POST /containers/prune", "", "must.recreatable");
}

#[test]
fn compose_runs_projects_that_need_nothing_of_the_host() {
    let may = "HEAD /_ping,GET /version,GET /info,GET /events,GET /containers/json,POST /containers/create,\
        POST /containers/a/start,POST /containers/a/stop,POST /containers/a/kill,POST /containers/a/rename,\
        DELETE /containers/a,POST /containers/a/wait,POST /containers/a/attach,GET /containers/a/logs,\
        POST /containers/a/exec,POST /exec/a/start,POST /exec/a/resize,GET /exec/a/json,POST /containers/a/pause,\
        GET /containers/a/top,PUT /containers/a/archive,GET /containers/a/archive,GET /images/json,GET /images/a/json,\
        POST /images/create?fromImage=a,GET /distribution/a/json,GET /networks,GET /networks/a,POST /networks/create,\
        POST /networks/a/connect,POST /networks/a/disconnect,DELETE /networks/a,GET /volumes,GET /volumes/a,\
        POST /volumes/create,DELETE /volumes/a,DELETE /images/a";
    let may_not = "POST /containers/prune,POST /images/prune,POST /volumes/prune,POST /build,POST /grpc,POST /commit,\
        GET /secrets,GET /services,POST /services/create,GET /swarm,POST /plugins/pull,GET /images/get,POST /images/a/push";
    check("compose", may, &[may_not]);
    let rules = RuleSet::new(&Spec::of_preset("compose")).unwrap();
    denies(&rules, CREATE, &host(r#""Binds":["/srv:/a"]"#), "may.binds");
    allows(&rules, CREATE, &host(r#""Binds":["data:/a"]"#));
}

#[test]
fn testcontainers_runs_plain_containers_and_copies_files() {
    let may = "GET /_ping,GET /info,GET /version,GET /images/json,GET /images/a/json,POST /images/create?fromImage=a,\
        POST /containers/create,PUT /containers/a/archive,GET /containers/a/archive,POST /containers/a/start,\
        GET /containers/a/json,GET /containers/a/logs,POST /containers/a/exec,POST /exec/a/start,GET /exec/a/json,\
        POST /containers/a/kill,POST /containers/a/stop,DELETE /containers/a,POST /networks/create,GET /networks,\
        POST /networks/a/connect,DELETE /networks/a,POST /volumes/create,DELETE /volumes/a";
    let may_not = "POST /containers/prune,POST /containers/a/update,POST /build,GET /secrets,POST /services/create,\
        GET /images/get,POST /commit";
    check("testcontainers", may, &[may_not]);
    let rules = RuleSet::new(&Spec::of_preset("testcontainers")).unwrap();
    denies(
        &rules,
        CREATE,
        &host(r#""Binds":["/var/run/docker.sock:/var/run/docker.sock"]"#),
        "may.binds",
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
    let others = [
        "watchtower",
        "ci-runner",
        "ai-agent",
        "portainer",
        "compose",
        "testcontainers",
    ];
    let mut tested: Vec<_> = tested.chain(others).collect();
    let mut names: Vec<_> = presets::names().collect();
    tested.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, tested);
}
