//! Tests known ways around other gateways: from sockguard's change log (1.1 to
//! 1.7.5) and from Tecnativa's and other issues.

use super::super::environment::from_environment;
use super::super::scope::{Kind, Reach, Scope};
use super::*;
use crate::endpoint::{EndpointId, all};

fn images(patterns: &[&str]) -> RuleSet {
    let images = patterns
        .iter()
        .map(|pattern| (*pattern).to_owned())
        .collect();
    with(
        May::default(),
        Must {
            images,
            ..Must::default()
        },
    )
}

#[test]
fn a_key_in_another_case_cannot_replace_the_judged_one() {
    let rules = images(&["alpine"]);
    for body in [
        r#"{"Image":"alpine","image":"evil"}"#,
        r#"{"image":"evil","Image":"alpine"}"#,
        r#"{"Image":"alpine","Image":"evil"}"#,
        r#"{"Image":"alpine","\u0049mage":"evil"}"#,
        r#"{"Image":"alpine","HostConfig":{"Privileged":false,"privileged":true}}"#,
        r#"{"Image":"alpine","HostConfig":{},"hostconfig":{"Privileged":true}}"#,
        r#"{"Image":"alpine","HostConfig":{"Link\u017f":[],"Links":["a:b"]}}"#,
    ] {
        denies(&rules, CREATE, body, "body:");
    }
    denies(&rules, CREATE, r#"{"iMAGE":"evil"}"#, "must.images");
    denies(
        &rules,
        CREATE,
        r#"{"Image":"alpine","hostCONFIG":{"PRIVILEGED":true}}"#,
        "may.privileged",
    );
}

#[test]
fn root_is_root_with_any_number_of_zeros() {
    let rules = with(
        May::default(),
        Must {
            non_root: true,
            ..Must::default()
        },
    );
    for user in [
        "",
        "0",
        "00",
        "0:0",
        "00:1000",
        "root",
        "root:1000",
        "toor",
        "+0",
        "-0",
        ":1000",
        "0x0",
        " 0",
        "1000 ",
    ] {
        let user = format!(r#""User":"{user}""#);
        denies(&rules, CREATE, &format!("{{{user}}}"), "must.non_root");
        denies(&rules, SERVICE, &service(&user), "must.non_root");
        denies(
            &rules,
            "POST /containers/a/exec",
            &format!("{{{user}}}"),
            "must.non_root",
        );
    }
    for user in ["1000", "1000:0", "01", "65534:65534"] {
        allows(&rules, CREATE, &format!(r#"{{"User":"{user}"}}"#));
    }
}

#[test]
fn a_mount_of_an_image_is_held_to_the_allowed_images() {
    let rules = images(&["alpine"]);
    let mount = r#""Mounts":[{"Type":"image","Source":"evil","Target":"/x"}]"#;
    denies(&rules, CREATE, &host(mount), "must.images");
    denies(
        &rules,
        SERVICE,
        &service(&format!(r#""Image":"alpine",{mount}"#)),
        "must.images",
    );
}

#[test]
fn a_volumes_options_cannot_bind_a_path_of_the_host() {
    let rules = plain();
    for options in [
        r#"{"type":"none","o":"bind","device":"/"}"#,
        r#"{"type":"none","o":"rbind","device":"/etc"}"#,
        r#"{"type":"tmpfs","o":"size=1m,rbind","device":"/etc"}"#,
        r#"{"o":"ro, BIND","device":"/"}"#,
        r#"{"device":"/"}"#,
        r#"{"type":"","o":"","device":"/"}"#,
    ] {
        let mount = format!(
            r#""Mounts":[{{"Type":"volume","Source":"v","Target":"/x","VolumeOptions":{{"DriverConfig":{{"Name":"local","Options":{options}}}}}}}]"#
        );
        denies(&rules, CREATE, &host(&mount), "may.binds");
        denies(&rules, SERVICE, &service(&mount), "may.binds");
        let volume = format!(r#"{{"Name":"v","DriverOpts":{options}}}"#);
        denies(&rules, "POST /volumes/create", &volume, "may.binds");
    }
    for (options, rule) in [
        (r#"{"type":"ext4","device":"/dev/sda1"}"#, "may.filesystems"),
        (
            r#"{"type":"overlay","o":"lowerdir=/,upperdir=/a,workdir=/b","device":"overlay"}"#,
            "may.filesystems",
        ),
        (r#"{"Type":"none","type":"tmpfs","device":"/"}"#, "body"),
        (r#"{"mountpoint":"/"}"#, "may.unknown_fields"),
    ] {
        let volume = format!(r#"{{"Name":"v","DriverOpts":{options}}}"#);
        denies(&rules, "POST /volumes/create", &volume, rule);
    }
    allows(
        &rules,
        "POST /volumes/create",
        r#"{"DriverOpts":{"type":"tmpfs","device":"tmpfs","o":"size=1m"}}"#,
    );
}

#[test]
fn a_device_path_that_goes_up_is_refused_even_below_a_granted_one() {
    let rules = with(
        May {
            binds: vec!["/srv".into()],
            ..May::default()
        },
        Must::default(),
    );
    let volume = |device: &str| {
        format!(r#"{{"DriverOpts":{{"type":"none","o":"bind","device":"{device}"}}}}"#)
    };
    allows(&rules, "POST /volumes/create", &volume("/srv/a"));
    denies(
        &rules,
        "POST /volumes/create",
        &volume("/srv/a/../b"),
        "may.binds",
    );
    denies(
        &rules,
        "POST /volumes/create",
        &volume("/srv/../etc"),
        "may.binds",
    );
}

#[test]
fn volumes_from_another_container_are_denied() {
    denies(
        &plain(),
        CREATE,
        &host(r#""VolumesFrom":["web:ro"]"#),
        "may.share",
    );
}

#[test]
fn the_uts_namespace_of_the_host_is_denied() {
    denies(
        &plain(),
        CREATE,
        &host(r#""UTSMode":"host""#),
        "may.namespaces",
    );
}

#[test]
fn a_cgroup_parent_is_denied() {
    denies(
        &plain(),
        CREATE,
        &host(r#""CgroupParent":"/system.slice""#),
        "may.cgroup_parents",
    );
    denies(
        &plain(),
        "POST /build?cgroupparent=%2Fx",
        "",
        "may.cgroup_parents",
    );
}

#[test]
fn groups_of_the_host_are_denied() {
    denies(
        &plain(),
        CREATE,
        &host(r#""GroupAdd":["docker"]"#),
        "may.groups",
    );
    denies(
        &plain(),
        SERVICE,
        &service(r#""Groups":["0"]"#),
        "may.groups",
    );
}

#[test]
fn joining_namespaces_of_other_containers_is_denied() {
    for field in ["NetworkMode", "PidMode", "IpcMode", "UTSMode", "Cgroup"] {
        denies(
            &plain(),
            CREATE,
            &host(&format!(r#""{field}":"container:web""#)),
            "may.share",
        );
    }
    denies(
        &plain(),
        "POST /build?networkmode=container:web",
        "",
        "may.share",
    );
}

#[test]
fn a_service_cannot_join_the_network_of_the_host_through_its_task() {
    for body in [
        r#"{"TaskTemplate":{"Networks":[{"Target":"host"}],"ContainerSpec":{}}}"#,
        r#"{"Networks":[{"Target":"host"}],"TaskTemplate":{"ContainerSpec":{}}}"#,
        r#"{"TaskTemplate":{"networks":[{"Target":"app"},{"target":"host"}]}}"#,
    ] {
        denies(&plain(), SERVICE, body, "may.namespaces");
        denies(
            &plain(),
            "POST /services/s/update?version=1",
            body,
            "may.namespaces",
        );
    }
}

/// swarmkit `template.ExpandContainerSpec`, `ExpandNetworks`: after the verdict.
#[test]
fn a_template_that_a_manager_expands_later_is_denied() {
    let may = May {
        binds: vec!["/srv/data".into()],
        filesystems: vec!["*".into()],
        ..May::default()
    };
    let rules = with(may, Must::default());
    let service = |inner: &str| format!(r#"{{"TaskTemplate":{inner}}}"#);
    for task in [
        r#"{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"x","Target":"/h","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"tmpfs","device":"/","o":"{{\"bi\"}}nd"}}}}]}}"#,
        r#"{"ContainerSpec":{"Mounts":[{"Type":"bind","Source":"/srv/data/{{\"..\"}}/{{\"..\"}}/etc","Target":"/h"}]}}"#,
        r#"{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"v","Target":"/{{.Node.ID}}"}]}}"#,
        r#"{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"v","VolumeOptions":{"Labels":{"a":"{{1}}"}}}]}}"#,
        r#"{"Networks":[{"Target":"n","DriverOpts":{"com.docker.network.endpoint.sysctls":"{{1}}"}}]}"#,
    ] {
        let denied = judged(&rules, "POST /services/create", &service(task)).unwrap_err();
        assert!(denied.starts_with("may."), "{task}: {denied}");
    }
    let plain = r#"{"ContainerSpec":{"Env":["HOST={{.Node.Hostname}}"],"Mounts":[{"Type":"bind","Source":"/srv/data/x","Target":"/h"}]}}"#;
    assert!(judged(&rules, "POST /services/create", &service(plain)).is_ok());
}

/// `ps axe` shows the values that redaction removes from an inspect.
#[test]
fn a_policy_that_redacts_environments_denies_ps_arguments_that_show_them() {
    let mut spec = Spec::allowing(["containers.read"]);
    let open = RuleSet::new(&spec).unwrap();
    spec.redact = vec![Redact::Env];
    let closed = RuleSet::new(&spec).unwrap();
    for (query, allowed) in [
        ("", true),
        ("?ps_args=aux", true),
        ("?ps_args=axeww", false),
    ] {
        let request = format!("GET /containers/a/top{query}");
        assert!(is_allowed(&open, &request));
        assert_eq!(is_allowed(&closed, &request), allowed, "{request}");
    }
}

/// A list that is filtered by the value of a redacted label is an oracle for it.
#[test]
fn a_policy_that_redacts_labels_denies_filters_by_them() {
    let mut spec = Spec::allowing(["*"]);
    let open = RuleSet::new(&spec).unwrap();
    spec.redact = vec![Redact::Env];
    let env_only = RuleSet::new(&spec).unwrap();
    spec.redact = vec![Redact::Secrets];
    let closed = RuleSet::new(&spec).unwrap();
    for (filters, allowed) in [
        ("", true),
        (r#"{"label":["app=shop"]}"#, true),
        (r#"{"name":["secret"],"label":["app"]}"#, true),
        (r#"{"label":["db.password=a"]}"#, false),
        (r#"{"label":["db.password"]}"#, false),
        (r#"{"label":{"app=shop":true,"DB.PassWord=a":true}}"#, false),
        (r#"{"label":{"token=a":false}}"#, false),
        (r#"{"label!":["token=a"]}"#, false),
        (r#"{"node.label":["token=a"]}"#, false),
        (r#"{"lab\u0065l":["tok\u0065n=a"]}"#, false),
        (r#"{"label":["a=b"],"label":["token=a"]}"#, false),
        ("{", false),
    ] {
        for endpoint in [
            "GET /containers/json",
            "GET /images/json",
            "GET /volumes",
            "GET /networks",
            "GET /services",
            "GET /tasks",
            "GET /nodes",
            "GET /secrets",
            "GET /configs",
            "GET /events",
            "POST /containers/prune",
            "POST /images/prune",
            "POST /volumes/prune",
            "POST /networks/prune",
            "POST /build/prune",
            "GET /v1.24/containers/json",
        ] {
            let encoded: String = filters.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let request = format!("{endpoint}?filters={encoded}");
            assert!(is_allowed(&open, &request), "{request}");
            assert!(is_allowed(&env_only, &request), "{request}");
            assert_eq!(is_allowed(&closed, &request), allowed, "{request}");
            // Every value is judged, and a second one is refused anyway.
            let twice = format!("{endpoint}?filters=%7B%7D&f%69lters={encoded}");
            denies(&open, &twice, "", "parameters");
            denies(&env_only, &twice, "", "parameters");
            let rule = if allowed { "parameters" } else { "redact" };
            denies(&closed, &twice, "", rule);
        }
    }
}

#[test]
fn a_service_is_held_to_the_same_rules_as_a_container() {
    for (fields, rule) in [
        (
            r#""Mounts":[{"Type":"bind","Source":"/","Target":"/x"}]"#,
            "may.binds",
        ),
        (r#""CapabilityAdd":["CAP_SYS_ADMIN"]"#, "may.capabilities"),
        (r#""Sysctls":{"kernel.core_pattern":"|/x"}"#, "may.sysctls"),
        (
            r#""Privileges":{"Seccomp":{"Mode":"unconfined"}}"#,
            "may.security_options",
        ),
        (
            r#""Privileges":{"Seccomp":{"Mode":"custom","Profile":"e30="}}"#,
            "may.security_options",
        ),
        (
            r#""Privileges":{"AppArmor":{"Mode":"disabled"}}"#,
            "may.security_options",
        ),
        (
            r#""Privileges":{"SELinuxContext":{"Disable":true}}"#,
            "may.security_options",
        ),
        (r#""OomScoreAdj":-1000"#, "may.oom"),
        (r#""Privileged":true"#, "may.unknown_fields"),
    ] {
        denies(&plain(), SERVICE, &service(fields), rule);
    }
    let plugin = r#"{"TaskTemplate":{"Runtime":"plugin","PluginSpec":{"Remote":"evil"}}}"#;
    denies(&plain(), SERVICE, plugin, "may.plugins");
}

#[test]
fn an_endpoints_settings_are_judged_on_create_and_on_connect() {
    let settings = r#"{"DriverOpts":{"com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.forwarding=1"}}"#;
    for (request, body) in [
        (
            CREATE,
            format!(r#"{{"NetworkingConfig":{{"EndpointsConfig":{{"app":{settings}}}}}}}"#),
        ),
        (
            "POST /networks/app/connect",
            format!(r#"{{"Container":"a","EndpointConfig":{settings}}}"#),
        ),
        (
            SERVICE,
            r#"{"TaskTemplate":{"Networks":[SETTINGS]}}"#.replace("SETTINGS", settings),
        ),
    ] {
        denies(&plain(), request, &body, "may.sysctls");
    }
    let host = r#"{"NetworkingConfig":{"EndpointsConfig":{"host":{}}}}"#;
    denies(&plain(), CREATE, host, "may.namespaces");
    denies(
        &plain(),
        "POST /networks/host/connect",
        "",
        "may.namespaces",
    );
}

#[test]
fn the_archive_of_a_plugin_is_refused_unread_in_any_form() {
    for request in [
        "POST /plugins/create?name=x",
        "POST /plugins/pull?remote=x",
        "POST /plugins/x/upgrade",
        "POST /plugins/x/set",
        "POST /plugins/x/enable",
    ] {
        denies(&plain(), request, "", "may.plugins");
    }
}

#[test]
fn a_build_is_denied_without_reading_its_archive() {
    // Compressed to burst, with a second Dockerfile, with a `# syntax=`
    // frontend: a policy about images allows no build.
    denies(
        &images(&["alpine"]),
        "POST /build?t=x",
        "",
        "may.name_images",
    );
    let digest = with(
        May::default(),
        Must {
            digest: true,
            ..Must::default()
        },
    );
    denies(&digest, "POST /build?dockerfile=x", "", "must.digest");
    allows(&plain(), "POST /build?t=x", "");
}

#[test]
fn buildkits_own_protocol_needs_a_grant() {
    for request in [
        "POST /grpc",
        "POST /session",
        "POST /build?version=2&session=x",
    ] {
        denies(&plain(), request, "", "may.buildkit");
    }
    let found = Match {
        endpoint: EndpointId::Http2Preface.endpoint(),
        object: None,
    };
    let path = RequestPath::parse("/").unwrap();
    let rules = plain();
    let request = Request {
        found: Some(&found),
        method: "PRI",
        path: &path,
        query: "",
        upgrade: None,
        on: On::Unknown,
    };
    assert!(
        outcome(rules.judge(&request))
            .unwrap_err()
            .starts_with("may.buildkit")
    );
}

#[test]
fn no_connection_becomes_http_2_through_another_endpoint() {
    let rules = plain();
    for (target, upgrade, expected) in [
        ("POST /containers/a/attach", "h2c", false),
        ("POST /exec/a/start", "h2c", false),
        ("POST /exec/a/start", "tcp, h2c", false),
        ("GET /info", "h2c", false),
        ("POST /exec/a/start", "TCP", true),
        ("GET /containers/a/attach/ws", "websocket", true),
        ("GET /containers/a/attach/ws", "tcp", false),
    ] {
        let (method, raw) = target.split_once(' ').unwrap();
        let path = RequestPath::parse(raw).unwrap();
        let found = classify(method, &path);
        let request = Request {
            found: found.as_ref(),
            method,
            path: &path,
            query: "",
            upgrade: Some(upgrade),
            on: On::Unknown,
        };
        assert_eq!(
            rules.judge(&request).is_allowed(),
            expected,
            "{target} {upgrade}"
        );
    }
}

#[test]
fn every_sub_resource_of_an_image_is_known() {
    let rules = RuleSet::new(&Spec {
        deny: vec!["GET /images/*/attestations".into()],
        ..Spec::allowing(["*"])
    })
    .unwrap();
    for name in ["a", "a/b", "reg:5000/a/b", "a%2Fb"] {
        denies(
            &rules,
            &format!("GET /images/{name}/attestations"),
            "",
            "deny",
        );
        allows(&rules, &format!("GET /images/{name}/json"), "");
    }
}

#[test]
fn a_name_that_was_in_scope_before_is_judged_again() {
    let scope = Scope::new([("owner".into(), "me".into())].into()).unwrap();
    let holds = |inspect: &str| scope.holds(Kind::Container, inspect.as_bytes()).unwrap();
    assert!(holds(
        r#"{"Name":"/web","Config":{"Labels":{"owner":"me"}}}"#
    ));
    assert!(!holds(
        r#"{"Name":"/web","Config":{"Labels":{"owner":"you"}}}"#
    ));
}

#[test]
fn an_exec_is_judged_again_when_it_starts() {
    for id in [
        EndpointId::ExecStart,
        EndpointId::ExecResize,
        EndpointId::ExecInspect,
    ] {
        assert_eq!(id.endpoint().scope, Reach::Object(Kind::Exec));
    }
}

#[test]
fn a_reason_is_one_short_line_for_any_request() {
    for nasty in [
        "a\\r\\nGET /x",
        "\\u001b[2J",
        "\\u2028x",
        &"x".repeat(10_000),
    ] {
        let body = host(&format!(r#""Runtime":"{nasty}""#));
        let outcome = judged(&plain(), CREATE, &body).unwrap_err();
        assert!(
            outcome.len() < 500 && !outcome.contains(char::is_control),
            "{outcome:?}"
        );
        let body = host(&format!(r#""{nasty}":1,"{nasty}":1"#));
        let outcome = judged(&plain(), CREATE, &body).unwrap_err();
        assert!(
            outcome.len() < 500 && !outcome.contains(char::is_control),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_field_given_in_two_spellings_is_refused() {
    for body in [
        r#"{"NAME":"a","Name":"b"}"#,
        r#"{"Name":"a","NAME":"b"}"#,
        r#"{"Driver":"local","driver":"local"}"#,
    ] {
        denies(&plain(), "POST /volumes/create", body, "body");
    }
}

#[test]
fn a_body_that_other_parsers_may_read_differently_is_refused() {
    let found = Match {
        endpoint: EndpointId::ContainerCreate.endpoint(),
        object: None,
    };
    let rules = plain();
    for (content_type, content_encoding, expected) in [
        (None, None, true),
        (
            Some("application/json; charset=utf-8"),
            Some("identity"),
            true,
        ),
        (None, Some("gzip"), false),
        (None, Some("identity, gzip"), false),
        (Some("application/x-www-form-urlencoded"), None, false),
        (
            Some("multipart/form-data; boundary=application/json"),
            None,
            false,
        ),
        (Some("text/plain"), None, false),
    ] {
        let body = BodyOf::new(b"{}", content_type, content_encoding);
        let allowed = rules
            .judge_body(&found, &body, EffectiveApi::NEWEST)
            .is_allowed();
        assert_eq!(allowed, expected, "{content_type:?} {content_encoding:?}");
    }
    for body in [
        "",
        "null x",
        "{}{}",
        "[]",
        "\u{feff}{}",
        r#"{"HostConfig":[]}"#,
        r#"{"HostConfig":{"Privileged":"true"}}"#,
    ] {
        let verdict = rules.judge_body(&found, &json(body.as_bytes()), EffectiveApi::NEWEST);
        assert!(!verdict.is_allowed(), "{body}");
    }
}

#[test]
fn a_group_has_all_the_siblings_of_a_path() {
    let rules = RuleSet::new(&Spec {
        deny: vec!["images.archive".into(), "containers.archive".into()],
        ..Spec::allowing(["*"])
    })
    .unwrap();
    for request in [
        "GET /images/get?names=a",
        "GET /images/a/get",
        "GET /images/a/b/get",
        "GET /containers/a/export",
        "GET /containers/a/archive?path=/",
        "HEAD /containers/a/archive?path=/",
        "PUT /containers/a/archive?path=/",
    ] {
        denies(&rules, request, "", "deny");
    }
}

#[test]
fn an_escape_in_the_path_is_decoded_before_it_is_matched() {
    let rules = RuleSet::new(&Spec {
        deny: vec!["GET /containers/*/export".into()],
        ..Spec::allowing(["*"])
    })
    .unwrap();
    for request in [
        "GET /containers/a/%65xport",
        "GET /%63ontainers/a/export",
        "GET /v1%2E41/containers/a%2Fexport",
    ] {
        denies(&rules, request, "", "deny");
    }
}

#[test]
fn a_path_is_matched_to_its_end() {
    let rules = RuleSet::new(&Spec::allowing(["GET /containers/json"])).unwrap();
    allows(&rules, "GET /v1.41/containers/json", "");
    for request in [
        "GET /containers/json/json",
        "GET /containers/json/export",
        "GET /containers/jsonx/json",
        "GET /containers/a/json",
    ] {
        denies(&rules, request, "", "default");
    }
}

#[test]
fn allowing_post_does_not_allow_put_and_delete() {
    let rules = RuleSet::new(&Spec::allowing(["POST /containers/**", "POST /images/**"])).unwrap();
    for request in [
        "PUT /containers/a/archive?path=/",
        "DELETE /containers/a",
        "DELETE /images/a",
    ] {
        denies(&rules, request, "", "default");
    }
}

#[test]
fn the_right_to_read_containers_is_not_one_to_read_their_files() {
    let rules = RuleSet::new(&from_environment([("CONTAINERS", "1")]).policy).unwrap();
    for request in [
        "GET /containers/a/archive?path=/",
        "GET /containers/a/export",
        "GET /containers/a/attach/ws",
    ] {
        denies(&rules, request, "", "default");
    }
}

#[test]
fn fields_of_a_host_config_are_judged_at_the_top_level_too() {
    for (body, rule) in [
        (r#"{"Image":"a","Privileged":true}"#, "may.privileged"),
        (r#"{"Image":"a","Binds":["/:/x"]}"#, "may.binds"),
        (
            r#"{"Image":"a","HostConfig":null,"PidMode":"host"}"#,
            "may.namespaces",
        ),
        (
            r#"{"Image":"a","HostConfig":{},"capadd":["ALL"]}"#,
            "may.capabilities",
        ),
    ] {
        denies(&plain(), CREATE, body, rule);
    }
}

#[test]
fn an_image_id_does_not_count_as_an_allowed_name() {
    let rules = images(&["docker.io/library/*"]);
    for image in ["deadbeef", "sha256:00", &"a".repeat(64)] {
        denies(
            &rules,
            CREATE,
            &format!(r#"{{"Image":"{image}"}}"#),
            "must.images",
        );
    }
    for request in [
        "POST /images/evil/tag?repo=alpine",
        "POST /commit?container=a&repo=alpine",
        "POST /images/load",
        "POST /images/create?fromSrc=-&repo=alpine",
    ] {
        denies(&rules, request, "", "may.name_images");
    }
}

#[test]
fn a_checkpoint_in_a_folder_of_the_host_needs_a_grant() {
    denies(
        &plain(),
        "POST /containers/a/start?checkpoint=x&checkpoint-dir=/etc",
        "",
        "may.binds",
    );
    denies(
        &plain(),
        "POST /containers/a/checkpoints",
        r#"{"CheckpointID":"x","CheckpointDir":"/etc"}"#,
        "may.binds",
    );
    denies(
        &plain(),
        "GET /containers/a/checkpoints?dir=/etc",
        "",
        "may.binds",
    );
    allows(&plain(), "POST /containers/a/start?checkpoint=x", "");
}

/// A pool that overlaps the network of a node takes the node off that network.
#[test]
fn no_preset_for_containers_chooses_the_addresses_of_a_network() {
    for preset in ["ai-agent", "ci-runner"] {
        let rules = RuleSet::new(&Spec::of_preset(preset)).unwrap();
        for config in [
            r#"{"Subnet":"192.168.1.0/24"}"#,
            r#"{"subnet":"10.0.0.0/8","Gateway":"10.0.0.1"}"#,
            r#"{"Subnet":"0.0.0.0/1"}"#,
            r#"{"Gateway":"172.18.0.1"}"#,
        ] {
            let body = format!(r#"{{"Name":"n","IPAM":{{"Config":[{config}]}}}}"#);
            denies(&rules, "POST /networks/create", &body, "may.subnets");
        }
        allows(
            &rules,
            "POST /networks/create",
            r#"{"Name":"n","IPAM":{"Driver":"default","Config":[]}}"#,
        );
    }
}

#[test]
fn a_runtime_gets_no_orders_in_annotations() {
    for name in [
        "run.oci.handler",
        "run.oci.hooks.stderr",
        "io.katacontainers.config.hypervisor.kernel",
        "org.systemd.property.CPUWeight",
        "",
    ] {
        let annotation = format!(r#""Annotations":{{"{name}":"x"}}"#);
        denies(&plain(), CREATE, &host(&annotation), "may.annotations");
        // Engines before 25.0 read it there.
        let at_the_top = format!("{{{annotation}}}");
        denies(&plain(), CREATE, &at_the_top, "may.annotations");
    }
}

#[test]
fn an_engine_asks_no_registry_that_only_the_caller_knows() {
    let runner = RuleSet::new(&Spec::of_preset("ci-runner")).unwrap();
    for request in [
        "GET /distribution/169.254.169.254/latest/json",
        "GET /distribution/127.0.0.1:2375/x/json",
        "GET /images/search?term=10.0.0.1/x",
    ] {
        denies(&runner, request, "", "may.remote");
    }
    let watchtower = RuleSet::new(&Spec::of_preset("watchtower")).unwrap();
    allows(&watchtower, "GET /distribution/ghcr.io/team/app:1/json", "");
    let recreated = r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"app":{"IPAddress":"172.18.0.2","MacAddress":"02:42:ac:12:00:02","Gateway":"172.18.0.1"}}}}"#;
    allows(&watchtower, CREATE, recreated);
    denies(&plain(), CREATE, recreated, "may.subnets");
}

#[test]
fn every_json_body_is_either_judged_or_known_to_grant_nothing() {
    // Bodies without settings of the host, or of endpoints that are a grant alone.
    use EndpointId as Id;
    let unjudged = [
        Id::ExecStart,
        Id::ImageCommit,
        Id::NetworkDisconnect,
        Id::PluginPull,
        Id::PluginUpgrade,
        Id::PluginSet,
        Id::SwarmInit,
        Id::SwarmJoin,
        Id::SwarmUpdate,
        Id::SwarmUnlock,
        Id::NodeUpdate,
        Id::PortainerSetKey,
        Id::BrowseRename,
        Id::BrowseVolumeRename,
        Id::HubLimits,
        // Signed by the operator; and answered before a policy is asked.
        Id::PeopleChange,
        Id::PeopleJoin,
        Id::PeopleRenew,
    ];
    let rules = plain();
    for endpoint in all() {
        let found = Match {
            endpoint,
            object: None,
        };
        let json = matches!(endpoint.body, crate::endpoint::Body::Json(_));
        let expected = json && !unjudged.contains(&endpoint.id);
        assert_eq!(rules.inspects(&found), expected, "{endpoint}");
    }
}

fn granting(may: May) -> RuleSet {
    with(may, Must::default())
}

/// An engine of another kind reads more parameters than moby does.
#[test]
fn a_parameter_that_moby_does_not_have_is_refused_to_everybody_but_admin() {
    let everything = granting(May {
        everything: true,
        ..May::default()
    });
    let unknown = granting(May {
        unknown_fields: true,
        ..May::default()
    });
    let build = RuleSet::new(&Spec::allowing(["build"])).unwrap();
    for request in [
        "POST /build?devices=%5B%22%2Fdev%2Fvda%22%5D",
        "POST /build?addcaps=%5B%22CAP_SYS_ADMIN%22%5D",
        "POST /v1.41/build?t=a&rm=1&%64evices=x",
        "POST /build?Devices=x",
        "POST /build?devices+=x",
        "POST /build?volume=/:/host:rw",
        "POST /build?nsoptions=x",
        "POST /build?Remote=http://x/y",
        "POST /build?t=a&q=1&q=0",
        "POST /build?t=%zz",
        "POST /build?t=a;devices=x",
    ] {
        for rules in [&plain(), &everything, &unknown, &build] {
            denies(rules, request, "", "parameters");
        }
        allows(&RuleSet::admin(), request, "");
    }
    for request in [
        "POST /images/a/push?destination=evil.io/a",
        "POST /images/create?fromImage=alpine&fromImage=evil",
        "DELETE /containers/a?depend=1",
        "GET /containers/json?all=1&external=1",
        "PUT /containers/a/archive?path=/&rename=%7B%7D",
        "GET /_ping?x",
    ] {
        denies(&plain(), request, "", "parameters");
    }
}

#[test]
fn a_build_has_the_isolation_of_the_engine_and_no_outputs() {
    for mode in [
        "chroot", "CHROOT", "rootless", "oci", "process", "hyperv", "%20",
    ] {
        let request = format!("POST /build?isolation={mode}");
        denies(&plain(), &request, "", "parameters");
        denies(&plain(), &format!("{request}&isolation="), "", "parameters");
        allows(
            &granting(May {
                everything: true,
                ..May::default()
            }),
            &request,
            "",
        );
    }
    for query in [
        "",
        "isolation=",
        "isolation",
        "isolation=default",
        "isolation=Default",
    ] {
        allows(&plain(), &format!("POST /build?{query}"), "");
    }
    let outputs = "POST /build?outputs=%5B%7B%22Type%22:%22local%22%7D%5D";
    for request in [outputs, "POST /build?outputs=type%3Dlocal,dest%3D/etc"] {
        denies(&plain(), request, "", "may.buildkit");
        allows(
            &granting(May {
                buildkit: true,
                ..May::default()
            }),
            request,
            "",
        );
    }
    for none in ["", "%5B%5D", "null"] {
        allows(&plain(), &format!("POST /build?outputs={none}"), "");
    }
}

/// Podman reads these where moby reads nothing, or another thing.
#[test]
fn a_container_gets_nothing_from_what_only_another_engine_reads() {
    let mount = |fields: &str| host(&format!(r#""Mounts":[{{{fields}}}]"#));
    let log = |fields: &str| host(&format!(r#""LogConfig":{{{fields}}}"#));
    for (body, rule) in [
        // A name in `Volumes` is a bind there.
        (r#"{"Volumes":{"/etc:/x":{}}}"#.to_owned(), "may.binds"),
        (
            r#"{"Volumes":{"/a":{},"/:/x:rw":{}}}"#.to_owned(),
            "may.binds",
        ),
        (r#"{"volumes":{"/etc:/x:ro":null}}"#.to_owned(), "may.binds"),
        (
            r#"{"Volumes":{"data:/x:O,upperdir=/etc":{}}}"#.to_owned(),
            "may.everything",
        ),
        (
            r#"{"Volumes":{"data:/x:shared":{}}}"#.to_owned(),
            "may.propagation",
        ),
        // A mount is put together as a list of options there.
        (
            mount(r#""Type":"tmpfs","Target":"/x,source=/etc""#),
            "may.everything",
        ),
        (
            mount(r#""Type":"volume","Source":"a","Target":"\"/x\",type=bind""#),
            "may.everything",
        ),
        (
            mount(r#""Type":"volume","Target":"/x","Consistency":"cached,src=/etc""#),
            "may.everything",
        ),
        (
            mount(r#""Type":"volume","Target":"/x","VolumeOptions":{"Subpath":"a,source=/etc"}"#),
            "may.everything",
        ),
        (
            mount(r#""Type":"tmpfs","Target":"/x\ny""#),
            "may.everything",
        ),
        (host(r#""Tmpfs":{"/x:bind":""}"#), "may.everything"),
        // The log goes to the path, or to another driver.
        (
            log(r#""Type":"json-file","Config":{"path":"/etc/cron.d/x"}"#),
            "may.log_drivers",
        ),
        (
            log(r#""Type":"journald","Config":{"driver":"k8s-file"}"#),
            "may.log_drivers",
        ),
        (
            log(r#""Config":{"path":"/etc/cron.d/x"}"#),
            "may.log_drivers",
        ),
        (
            log(r#""Type":"none","Config":{"Path":"/x"}"#),
            "may.log_drivers",
        ),
        // Modes with options reach the host's loopback, or choose addresses.
        (
            host(r#""NetworkMode":"slirp4netns:allow_host_loopback=true""#),
            "may.namespaces",
        ),
        (host(r#""NetworkMode":"pasta:--map-gw""#), "may.namespaces"),
        (
            host(r#""NetworkMode":"bridge:ip=10.0.0.1""#),
            "may.namespaces",
        ),
        (
            host(r#""NetworkMode":"ns:/proc/1/ns/net""#),
            "may.namespaces",
        ),
    ] {
        denies(&plain(), CREATE, &body, rule);
        denies(&plain(), "POST /v1.24/containers/create", &body, rule);
    }
    for body in [
        r#"{"Volumes":{"/data":{},"C:\\data":{}}}"#.to_owned(),
        r#"{"Volumes":{"data:/x":{}}}"#.to_owned(),
        mount(r#""Type":"volume","Source":"a","Target":"/x y=z","Consistency":"cached""#),
        log(r#""Type":"json-file","Config":{"max-size":"1m","max-file":"2","tag":"x"}"#),
        log(r#""Type":"local","Config":{"compress":"true"}"#),
        host(r#""NetworkMode":"front""#),
    ] {
        allows(&plain(), CREATE, &body);
    }
    let all_options = granting(May {
        log_drivers: vec!["json-file".into()],
        ..May::default()
    });
    allows(
        &all_options,
        CREATE,
        &log(r#""Type":"json-file","Config":{"path":"/x"}"#),
    );
    let binds = granting(May {
        binds: vec!["/srv".into()],
        device_requests: vec!["cdi".into()],
        ..May::default()
    });
    allows(&binds, CREATE, r#"{"Volumes":{"/srv/a:/x":{}}}"#);
    denies(
        &binds,
        CREATE,
        r#"{"Volumes":{"/srv/../etc:/x":{}}}"#,
        "may.binds",
    );
    let ids = |id: &str| {
        let ids = format!(r#""DeviceRequests":[{{"Driver":"cdi","DeviceIDs":["{id}"]}}]"#);
        host(&ids)
    };
    allows(&binds, CREATE, &ids("nvidia.com/gpu=all"));
    denies(&binds, CREATE, &ids("/dev/sda"), "may.devices");
    denies(&binds, CREATE, &ids("/dev/sda:/dev/x:rwm"), "may.devices");
}

#[test]
fn a_build_fetches_nothing_and_reads_no_path_of_the_host() {
    for (query, rule) in [
        ("dockerfile=http://x/y", "may.remote"),
        ("dockerfile=%5B%22a%22,%22https://x/y%22%5D", "may.remote"),
        ("dockerfile=../../etc/shadow", "parameters"),
        ("dockerfile=%5B%22a/../../b%22%5D", "parameters"),
        ("dockerfile=a%2F..%2F..%2Fb", "parameters"),
        ("dockerfile=a%5C..%5Cb", "parameters"),
        ("remote=http://x/y", "may.remote"),
        ("remote=/etc", "may.remote"),
    ] {
        denies(&plain(), &format!("POST /build?{query}"), "", rule);
    }
    let remote = granting(May {
        remote: true,
        ..May::default()
    });
    for query in [
        "remote=/etc",
        "remote=etc",
        "remote=../a",
        "dockerfile=../a",
    ] {
        denies(&remote, &format!("POST /build?{query}"), "", "parameters");
    }
    for query in [
        "remote=https://x/y.tar",
        "remote=git@github.com:a/b",
        "remote=github.com/a/b",
        "dockerfile=http://x/y",
        "dockerfile=sub/Dockerfile.dev",
    ] {
        allows(&remote, &format!("POST /build?{query}"), "");
    }
    for query in [
        "dockerfile=Dockerfile",
        "dockerfile=a..b/c",
        "dockerfile=.dockerfile.a1",
    ] {
        allows(&plain(), &format!("POST /build?{query}"), "");
    }
    for image in ["oci-archive:/srv/x", "dir:/etc", "docker-daemon:/x"] {
        let pull = format!("POST /images/create?fromImage={image}&tag=1");
        denies(&plain(), &pull, "", "may.remote");
    }
}

#[test]
fn the_name_of_a_checkpoint_leads_to_no_other_folder() {
    for name in ["..", "../x", "a/b", "/etc", "a%5Cb"] {
        let start = format!("POST /containers/a/start?checkpoint={name}");
        denies(&plain(), &start, "", "may.everything");
    }
    let create = "POST /containers/a/checkpoints";
    denies(
        &plain(),
        create,
        r#"{"CheckpointID":"../x"}"#,
        "may.everything",
    );
    allows(&plain(), create, r#"{"CheckpointID":"c..1"}"#);
    allows(&plain(), "POST /containers/a/start?checkpoint=c1", "");
}
