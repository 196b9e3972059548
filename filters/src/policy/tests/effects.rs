//! Tests the effects on the host and the cluster that are not a container's own:
//! addresses, the ingress network, registries, devices of the Swarm, masked paths.

use super::*;
use crate::endpoint::ApiVersion;
use crate::scalar::Size;

const NETWORK: &str = "POST /networks/create";
const CONNECT: &str = "POST /networks/app/connect";
const VOLUME: &str = "POST /volumes/create";

fn may(change: impl FnOnce(&mut May)) -> RuleSet {
    let mut may = May::default();
    change(&mut may);
    with(may, Must::default())
}

fn subnets(entries: &[&str]) -> RuleSet {
    may(|may| may.subnets = entries.iter().map(|entry| (*entry).to_owned()).collect())
}

fn task(fields: &str) -> String {
    format!(r#"{{"Name":"s","TaskTemplate":{{{fields}}}}}"#)
}

#[test]
fn an_address_that_is_chosen_needs_its_network() {
    let endpoint = |settings: &str| {
        [
            (
                CREATE,
                format!(r#"{{"NetworkingConfig":{{"EndpointsConfig":{{"app":{settings}}}}}}}"#),
            ),
            (
                CONNECT,
                format!(r#"{{"Container":"a","EndpointConfig":{settings}}}"#),
            ),
        ]
    };
    let pool = |config: &str| {
        (
            NETWORK,
            format!(r#"{{"Name":"n","IPAM":{{"Config":[{config}]}}}}"#),
        )
    };
    let mut rows = vec![
        pool(r#"{"Subnet":"10.20.0.0/24"}"#),
        pool(r#"{"subnet":"10.20.0.0/16"}"#),
        pool(r#"{"IPRange":"10.20.1.0/28"}"#),
        pool(r#"{"Gateway":"10.20.0.1"}"#),
        pool(r#"{"AuxiliaryAddresses":{"host":"10.20.0.2"}}"#),
        pool(r#"null,{"Gateway":"10.20.0.1"}"#),
    ];
    for settings in [
        r#"{"IPAMConfig":{"IPv4Address":"10.20.0.7"}}"#,
        r#"{"ipamconfig":{"ipv4address":"10.20.0.7"}}"#,
        r#"{"IPAMConfig":{"LinkLocalIPs":["10.20.0.9"]}}"#,
        r#"{"IPAddress":"10.20.0.7"}"#,
        r#"{"Gateway":"10.20.0.1"}"#,
    ] {
        rows.extend(endpoint(settings));
    }
    for (request, body) in rows {
        denies(&plain(), request, &body, "may.subnets");
        denies(&subnets(&["10.21.0.0/16"]), request, &body, "may.subnets");
        denies(&subnets(&["fd00::/8"]), request, &body, "may.subnets");
        allows(&subnets(&["10.20.0.0/16"]), request, &body);
        allows(&subnets(&["*"]), request, &body);
        allows(&with(May::everything(), Must::default()), request, &body);
    }
    for settings in [
        r#"{"IPAMConfig":{"IPv6Address":"fd00::7"}}"#,
        r#"{"GlobalIPv6Address":"fd00::7"}"#,
        r#"{"IPv6Gateway":"fd00::1"}"#,
    ] {
        for (request, body) in endpoint(settings) {
            denies(&subnets(&["0.0.0.0/0"]), request, &body, "may.subnets");
            allows(&subnets(&["fd00::/8"]), request, &body);
        }
    }
    for wider in [
        "10.0.0.0/8",
        "0.0.0.0/0",
        "10.20.0.0/15",
        "10.020.0.0/24",
        "::ffff:10.20.0.0/120",
    ] {
        let (request, body) = pool(&format!(r#"{{"Subnet":"{wider}"}}"#));
        denies(&subnets(&["10.20.0.0/16"]), request, &body, "may.subnets");
    }
}

#[test]
fn a_mac_address_needs_a_grant_at_every_place() {
    for (request, body) in [
        (CREATE, r#"{"MacAddress":"02:42:ac:11:00:63"}"#),
        (
            CREATE,
            r#"{"NetworkingConfig":{"EndpointsConfig":{"app":{"MacAddress":"02:42:ac:11:00:63"}}}}"#,
        ),
        (
            CREATE,
            r#"{"NetworkingConfig":{"EndpointsConfig":{"app":{"DriverOpts":{"com.docker.network.endpoint.macaddress":"02:42:ac:11:00:63"}}}}}"#,
        ),
        (
            CONNECT,
            r#"{"EndpointConfig":{"macaddress":"02:42:ac:11:00:63"}}"#,
        ),
    ] {
        denies(&plain(), request, body, "may.subnets");
        denies(&subnets(&["0.0.0.0/0"]), request, body, "may.subnets");
        allows(&subnets(&["02-42-AC-11-00-63"]), request, body);
        allows(&subnets(&["*"]), request, body);
    }
}

#[test]
fn networks_without_addresses_need_no_grant() {
    for body in [
        r#"{"Name":"n","Driver":"bridge","CheckDuplicate":true,"EnableIPv6":true,"Internal":true}"#,
        r#"{"Name":"n","IPAM":{"Driver":"default","Config":[]}}"#,
        r#"{"Name":"n","IPAM":null,"ConfigFrom":null,"ConfigOnly":false,"Ingress":false}"#,
        r#"{"Name":"n","ConfigFrom":{"Network":""}}"#,
        r#"{"Name":"n","IPAM":{"Config":[{"Subnet":"","Gateway":""},{}]}}"#,
    ] {
        allows(&plain(), NETWORK, body);
    }
    let settings = r#"{"Container":"a","EndpointConfig":{"Aliases":["x"],"IPAMConfig":{},"MacAddress":"","IPAddress":""}}"#;
    allows(&plain(), CONNECT, settings);
}

#[test]
fn the_ingress_network_and_borrowed_settings_need_a_grant() {
    let granted = may(|may| may.ingress = true);
    for (request, body) in [
        (NETWORK, r#"{"Name":"n","Driver":"overlay","Ingress":true}"#),
        (NETWORK, r#"{"Name":"n","ConfigOnly":true}"#),
        (NETWORK, r#"{"Name":"n","configfrom":{"network":"lan"}}"#),
        ("DELETE /networks/ingress", ""),
        ("DELETE /v1.41/networks/ingress", ""),
    ] {
        denies(&plain(), request, body, "may.ingress");
        allows(&granted, request, body);
    }
    allows(&plain(), "DELETE /networks/app", "");
    assert!(!plain().grants_ingress());
    assert!(granted.grants_ingress());
}

#[test]
fn a_look_up_is_held_to_the_images_and_else_to_docker_hub() {
    let images = |patterns: &[&str]| {
        let images = patterns.iter().map(|p| (*p).to_owned()).collect();
        with(
            May::default(),
            Must {
                images,
                ..Must::default()
            },
        )
    };
    let team = images(&["ghcr.io/team/*"]);
    let alpine = images(&["alpine"]);
    let remote = may(|may| may.remote = true);
    for request in [
        "GET /distribution/169.254.169.254/x/json",
        "GET /distribution/localhost:2375/x/json",
        "GET /v1.30/distribution/evil.io/a/b:1/json",
        "GET /plugins/privileges?remote=evil.io/a/b",
        "GET /images/search?term=evil.io/a",
    ] {
        denies(&plain(), request, "", "may.remote");
        allows(&remote, request, "");
        let denied = judged(&team, request, "").unwrap_err();
        assert!(denied.starts_with("m"), "{request}: {denied}");
    }
    let two = "GET /images/search?term=a&term=localhost:5000/a";
    denies(&plain(), two, "", "may.remote");
    denies(&remote, two, "", "parameters");
    for (rules, request, rule) in [
        (&team, "GET /distribution/alpine/json", "must.images"),
        (
            &team,
            "GET /distribution/ghcr.io/other/a/json",
            "must.images",
        ),
        (&team, "GET /images/search?term=alpine", "may.remote"),
        (&alpine, "GET /distribution/busybox/json", "must.images"),
    ] {
        denies(rules, request, "", rule);
    }
    allows(&team, "GET /distribution/ghcr.io/team/app:1/json", "");
    allows(&team, "GET /images/search?term=ghcr.io/team", "");
    allows(&alpine, "GET /images/search?term=alp", "");
    allows(&alpine, "GET /distribution/alpine/json", "");
    for request in [
        "GET /distribution/alpine/json",
        "GET /distribution/docker.io/team/app/json",
        "GET /images/search?term=team/app",
    ] {
        allows(&plain(), request, "");
    }
}

#[test]
fn a_plugin_comes_from_where_images_may_come_from() {
    let change = |may: &mut May| may.plugins = true;
    let hub = may(change);
    let remote = may(|may| {
        change(may);
        may.remote = true;
    });
    let spec = |name: &str| format!(r#"{{"TaskTemplate":{{"PluginSpec":{{"remote":"{name}"}}}}}}"#);
    for request in [
        "POST /plugins/pull?remote=",
        "POST /plugins/x/upgrade?remote=",
    ] {
        denies(
            &plain(),
            &format!("{request}vieux/sshfs"),
            "",
            "may.plugins",
        );
        allows(&hub, &format!("{request}vieux/sshfs"), "");
        denies(&hub, &format!("{request}evil.io/a"), "", "may.remote");
        allows(&remote, &format!("{request}evil.io/a"), "");
    }
    denies(&hub, SERVICE, &spec("evil.io/a"), "may.remote");
    allows(&hub, SERVICE, &spec("vieux/sshfs"));
    let listed = with(
        May {
            plugins: true,
            ..May::default()
        },
        Must {
            images: vec!["ghcr.io/team/*".into()],
            ..Must::default()
        },
    );
    denies(
        &listed,
        "POST /plugins/pull?remote=vieux/sshfs",
        "",
        "must.images",
    );
    allows(&listed, "POST /plugins/pull?remote=ghcr.io/team/p", "");
}

#[test]
fn credentials_are_checked_at_docker_hub_and_at_registries_of_images() {
    const AUTH: &str = "POST /auth";
    let to = |address: &str| format!(r#"{{"username":"u","serveraddress":"{address}"}}"#);
    for hub in [
        "",
        "https://index.docker.io/v1/",
        "docker.io",
        "registry-1.docker.io",
    ] {
        allows(&plain(), AUTH, &to(hub));
    }
    for other in [
        "evil.io",
        "http://127.0.0.1:2375/",
        "https://evil.io/index.docker.io/v1/",
        "https://docker.io@evil.io/",
        "docker.io:81",
    ] {
        denies(&plain(), AUTH, &to(other), "may.remote");
        allows(&may(|may| may.remote = true), AUTH, &to(other));
    }
    let ghcr = with(
        May::default(),
        Must {
            images: vec!["ghcr.io/team/*".into()],
            ..Must::default()
        },
    );
    allows(&ghcr, AUTH, &to("https://ghcr.io"));
    denies(&ghcr, AUTH, &to("docker.io"), "may.remote");
    denies(&ghcr, AUTH, r#"{"ServerAddress":"evil.io"}"#, "may.remote");
}

#[test]
fn resources_of_a_swarm_need_their_grants() {
    let generic = |at: &str, form: &str| {
        task(&format!(
            r#""Resources":{{"{at}":{{"GenericResources":[{{"{form}":{{"Kind":"gpu","Value":1}}}}]}}}}"#
        ))
    };
    let gpu = may(|may| may.device_requests = vec!["gpu".into()]);
    for at in ["Reservations", "Limits"] {
        for form in ["NamedResourceSpec", "DiscreteResourceSpec"] {
            denies(&plain(), SERVICE, &generic(at, form), "may.device_requests");
            allows(&gpu, SERVICE, &generic(at, form));
        }
    }
    let log = task(r#""LogDriver":{"Options":{"gelf-address":"udp://x:1"}}"#);
    denies(&plain(), SERVICE, &log, "may.log_drivers");
    let default = may(|may| may.log_drivers = vec!["default".into()]);
    allows(&default, SERVICE, &log);
    let harmless = task(r#""LogDriver":{"Name":"","Options":{"max-size":"1m","tag":"x"}}"#);
    allows(&plain(), SERVICE, &harmless);

    let secrets = may(|may| {
        may.secrets = vec!["csi".into()];
        may.volume_drivers = vec!["csi".into()];
    });
    let spec = |secret: &str| format!(r#"{{"Secrets":[{{"Key":"k","Secret":"{secret}"}}]}}"#);
    for (request, body) in [
        (
            VOLUME,
            format!(r#"{{"Driver":"csi","ClusterVolumeSpec":{}}}"#, spec("csi")),
        ),
        (
            "PUT /volumes/v?version=1",
            format!(r#"{{"Spec":{}}}"#, spec("csi")),
        ),
    ] {
        let drivers = may(|may| may.volume_drivers = vec!["csi".into()]);
        denies(&drivers, request, &body, "may.secrets");
        allows(&secrets, request, &body);
        denies(
            &secrets,
            request,
            &body.replace(r#""Secret":"csi""#, r#""Secret":"db""#),
            "may.secrets",
        );
    }
}

#[test]
fn the_swap_of_a_service_is_held_to_the_memory_limit() {
    let rules = with(
        May::default(),
        Must {
            memory: Some(Size(1024)),
            ..Must::default()
        },
    );
    for (more, allowed) in [
        ("", true),
        (r#","SwapBytes":0"#, true),
        (r#","SwapBytes":1024"#, true),
        (r#","SwapBytes":1025"#, false),
        (r#","SwapBytes":-1"#, false),
        (r#","swapbytes":-1"#, false),
        (r#","MemorySwappiness":60"#, true),
    ] {
        let body = task(&format!(
            r#""Resources":{{"Limits":{{"MemoryBytes":1024}}{more}}}"#
        ));
        let outcome = judged(&rules, SERVICE, &body);
        assert_eq!(outcome.is_ok(), allowed, "{body}: {outcome:?}");
    }
}

#[test]
fn a_demand_is_met_only_in_a_version_that_has_its_field() {
    let pids = Must {
        pids: Some(10),
        ..Must::default()
    };
    let cpus = Must {
        cpus: Some(1.0),
        ..Must::default()
    };
    let confined = Must {
        no_new_privileges: true,
        ..Must::default()
    };
    let read_only = Must {
        read_only: true,
        ..Must::default()
    };
    for (must, path, body, since, rule) in [
        (
            &pids,
            "services/create",
            task(r#""Resources":{"Limits":{"Pids":10}}"#),
            41,
            "must.pids",
        ),
        (
            &pids,
            "services/web/update",
            task(r#""Resources":{"Limits":{"Pids":10}}"#),
            41,
            "must.pids",
        ),
        (
            &confined,
            "services/create",
            service(r#""Privileges":{"NoNewPrivileges":true}"#),
            44,
            "must.no_new_privileges",
        ),
        (
            &read_only,
            "services/create",
            service(r#""ReadOnly":true"#),
            28,
            "must.read_only",
        ),
        (
            &cpus,
            "containers/create",
            host(r#""NanoCpus":1000000000"#),
            25,
            "must.cpus",
        ),
    ] {
        let rules = with(May::default(), must.clone());
        for minor in [since, since + 1, 56] {
            allows(&rules, &format!("POST /v1.{minor}/{path}"), &body);
        }
        for minor in [24, since - 1] {
            let denied = judged(&rules, &format!("POST /v1.{minor}/{path}"), &body).unwrap_err();
            assert!(denied.starts_with(rule), "{denied}");
            assert!(denied.contains(&format!("below API 1.{since}")), "{denied}");
        }
        // Without a version in the path, the engine's newest one counts.
        let (method, target) = ("POST", format!("/{path}"));
        let parsed = RequestPath::parse(&target).unwrap();
        let found = classify(method, &parsed).unwrap();
        for (engine, allowed) in [(since - 1, false), (since, true)] {
            let api = EffectiveApi::of(None, Some(ApiVersion::new(1, engine)), None);
            let verdict = rules.judge_body(&found, &json(body.as_bytes()), api);
            assert_eq!(verdict.is_allowed(), allowed, "{path} 1.{engine}");
        }
    }
}

#[test]
fn halves_of_a_limit_are_updated_together() {
    let rules = with(
        May::default(),
        Must {
            cpus: Some(1.0),
            ..Must::default()
        },
    );
    for (body, allowed) in [
        (r#"{"CpuPeriod":1000}"#, false),
        (r#"{"CpuQuota":50000}"#, false),
        (r#"{"CpuPeriod":1000,"CpuQuota":0}"#, false),
        (r#"{"CpuPeriod":1000,"CpuQuota":1000}"#, true),
        (r#"{"CpuPeriod":1000,"CpuQuota":2000}"#, false),
        (r#"{"NanoCpus":1000000000}"#, true),
        (r#"{"CpuShares":512}"#, true),
    ] {
        let outcome = judged(&rules, "POST /containers/a/update", body);
        assert_eq!(outcome.is_ok(), allowed, "{body}: {outcome:?}");
    }
    allows(&rules, CREATE, &host(r#""CpuQuota":50000"#));
    denies(&rules, CREATE, &host(r#""CpuPeriod":1000"#), "must.cpus");
}

#[test]
fn masked_paths_are_compared_with_those_of_the_engines_release() {
    let old = r#""/proc/asound","/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/proc/scsi","/sys/firmware""#;
    let powercap = format!(r#"{old},"/sys/devices/virtual/powercap""#);
    let newest = format!(r#"{powercap},"/proc/interrupts""#);
    let found = classify("POST", &RequestPath::parse("/containers/create").unwrap()).unwrap();
    for (release, least) in [
        ("20.10.24+dfsg1", old),
        ("20.10.27", &powercap),
        ("23.0.7", old),
        ("23.0.8", &powercap),
        ("24.0.6", old),
        ("24.0.7", &powercap),
        ("26.1.5", &powercap),
        ("28.0.1", &powercap),
        ("28.0.2", &newest),
        ("28.5.2", &newest),
        ("29.1.0", &newest),
        ("5.4.0", &newest),
        ("dev", &newest),
    ] {
        let api = EffectiveApi {
            release: Release::parse(release),
            ..EffectiveApi::NEWEST
        };
        for paths in [old, &powercap, &newest] {
            let body = host(&format!(r#""MaskedPaths":[{paths}]"#));
            let verdict = plain();
            let verdict = verdict.judge_body(&found, &json(body.as_bytes()), api);
            let enough = paths.len() >= least.len();
            assert_eq!(verdict.is_allowed(), enough, "{release}: {paths}");
        }
    }
}

#[test]
fn an_empty_list_of_bindings_publishes_on_every_address() {
    let rules = with(
        May::default(),
        Must {
            publish_on: vec!["127.0.0.1".parse().unwrap()],
            ..Must::default()
        },
    );
    for bindings in ["null", "[]"] {
        let body = host(&format!(r#""PortBindings":{{"80/tcp":{bindings}}}"#));
        denies(&rules, CREATE, &body, "must.publish_on");
    }
}

#[test]
fn a_return_to_the_previous_specification_is_recognised() {
    let found = classify("POST", &RequestPath::parse("/services/web/update").unwrap()).unwrap();
    let body = json(b"{}");
    for (query, expected) in [
        ("version=1", false),
        ("version=1&rollback=", false),
        ("version=1&rollback=none", false),
        ("version=1&rollback=previous", true),
        ("rollback=%70revious&version=1", true),
        ("rollback=none&rollback=previous", true),
        ("rollback=anything", true),
    ] {
        let stored = plain().stored_specs(&found, query, &body);
        assert_eq!(stored.previous, expected, "{query}");
        assert!(!stored.current, "{query}");
    }
    let admin = RuleSet::admin().stored_specs(&found, "rollback=previous", &body);
    assert!(!admin.any());
    // Nobody but an admin brings back what belongs to an agent.
    let everything = with(May::everything(), Must::default());
    let stored = everything.stored_specs(&found, "rollback=previous", &body);
    assert!(stored.previous);
}

#[test]
fn an_update_that_returns_when_it_fails_is_recognised() {
    let found = classify("POST", &RequestPath::parse("/services/web/update").unwrap()).unwrap();
    let create = classify("POST", &RequestPath::parse("/services/create").unwrap()).unwrap();
    for (body, expected) in [
        ("{}", false),
        (r#"{"UpdateConfig":null}"#, false),
        (r#"{"UpdateConfig":{"Parallelism":1}}"#, false),
        (r#"{"UpdateConfig":{"FailureAction":""}}"#, false),
        (r#"{"UpdateConfig":{"FailureAction":"pause"}}"#, false),
        (r#"{"UpdateConfig":{"FailureAction":"continue"}}"#, false),
        (r#"{"RollbackConfig":{"FailureAction":"rollback"}}"#, false),
        (r#"{"UpdateConfig":{"FailureAction":"rollback"}}"#, true),
        (
            r#"{"UpdateConfig":{"FailureAction":"rollb\u0061ck"}}"#,
            true,
        ),
        (r#"{"updateconfig":{"failureaction":"rollback"}}"#, true),
        (r#"{"UpdateConfig":{"FailureAction":"Rollback"}}"#, true),
        (r#"{"UpdateConfig":{"FailureAction":["rollback"]}}"#, true),
        (r#"{"UpdateConfig":[]}"#, true),
        (
            r#"{"UpdateConfig":{},"updateConfig":{"FailureAction":"rollback"}}"#,
            true,
        ),
        ("not JSON", true),
    ] {
        let sent = json(body.as_bytes());
        for (query, uses_body) in [
            ("version=1", true),
            ("version=1&rollback=none", true),
            ("rollback=none&rollback=previous", true),
            ("rollback=previous", false),
            ("rollback=previous&rollback=none", false),
        ] {
            let stored = plain().stored_specs(&found, query, &sent);
            assert_eq!(stored.current, expected && uses_body, "{query} {body}");
        }
        assert!(!plain().stored_specs(&create, "", &sent).any(), "{body}");
        let admin = RuleSet::admin().stored_specs(&found, "", &sent);
        assert!(!admin.any(), "{body}");
    }
}

#[test]
fn a_grant_of_addresses_is_one_that_can_be_met() {
    for (entry, valid) in [
        ("10.20.0.0/16", true),
        ("10.20.0.7", true),
        ("fd00::/8", true),
        ("02:42:ac:11:00:02", true),
        ("*", true),
        ("10.20.0.0/33", false),
        ("lan", false),
        ("", false),
    ] {
        let spec = Spec {
            may: Some(May {
                subnets: vec![entry.to_owned()],
                ..May::default()
            }),
            ..Spec::default()
        };
        assert_eq!(RuleSet::new(&spec).is_ok(), valid, "{entry}");
    }
}
