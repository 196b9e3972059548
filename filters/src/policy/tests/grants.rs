//! Tests each grant and each demand alone: a body is denied without it, and
//! allowed with it.

use super::*;
use crate::scalar::Size;

/// A setting of a `HostConfig`, the rule that denies it, and a grant for it.
type Row = (&'static str, &'static str, fn(&mut May));

const ROWS: &[Row] = &[
    (r#""Privileged":true"#, "may.privileged", |m| {
        m.privileged = true
    }),
    (r#""CapAdd":["NET_ADMIN"]"#, "may.capabilities", |m| {
        m.capabilities = list("NET_ADMIN")
    }),
    (r#""CapAdd":["cap_net_admin"]"#, "may.capabilities", |m| {
        m.capabilities = list("NET_ADMIN")
    }),
    (r#""CapAdd":"ALL""#, "may.capabilities", |m| {
        m.capabilities = list("ALL")
    }),
    (r#""NetworkMode":"host""#, "may.namespaces", |m| {
        m.namespaces = list("network")
    }),
    (r#""PidMode":"host""#, "may.namespaces", |m| {
        m.namespaces = list("pid")
    }),
    (r#""IpcMode":"host""#, "may.namespaces", |m| {
        m.namespaces = list("ipc")
    }),
    (r#""UTSMode":"host""#, "may.namespaces", |m| {
        m.namespaces = list("uts")
    }),
    (r#""UsernsMode":"host""#, "may.namespaces", |m| {
        m.namespaces = list("userns")
    }),
    (r#""CgroupnsMode":"host""#, "may.namespaces", |m| {
        m.namespaces = list("*")
    }),
    (r#""PidMode":"container:a""#, "may.share", |m| {
        m.share = true
    }),
    (r#""VolumesFrom":["a"]"#, "may.share", |m| m.share = true),
    (r#""Links":["a:b"]"#, "may.share", |m| m.share = true),
    (r#""Binds":["/srv/a:/x"]"#, "may.binds", |m| {
        m.binds = list("/srv")
    }),
    (r#""Binds":["/srv/a:/x:ro"]"#, "may.binds", |m| {
        m.binds = list("/srv:ro")
    }),
    (r#""Binds":["C:\\data:C:\\x"]"#, "may.binds", |m| {
        m.binds = list("c:\\data")
    }),
    (
        r#""Binds":["//./pipe/docker_engine://./pipe/docker_engine"]"#,
        "may.binds",
        |m| m.binds = list("*"),
    ),
    (
        r#""Mounts":[{"Type":"bind","Source":"/srv","Target":"/x"}]"#,
        "may.binds",
        |m| m.binds = list("/srv"),
    ),
    (
        r#""Mounts":[{"Type":"bind","Source":"/srv","Target":"/x","ReadOnly":true}]"#,
        "may.binds",
        |m| m.binds = list("/srv:ro"),
    ),
    (
        r#""Mounts":[{"Type":"volume","Source":"v","BindOptions":{"Propagation":"rshared"}}]"#,
        "may.propagation",
        |m| m.propagation = true,
    ),
    (r#""Binds":["vol:/x:rshared"]"#, "may.propagation", |m| {
        m.propagation = true
    }),
    (
        r#""Mounts":[{"Type":"volume","New":{"Power":1}}]"#,
        "may.unknown_fields",
        |m| m.unknown_fields = true,
    ),
    (r#""NewPower":true"#, "may.unknown_fields", |m| {
        m.unknown_fields = true
    }),
    (
        r#""Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Options":{"type":"nfs","o":"addr=x","device":":/x"}}}}]"#,
        "may.filesystems",
        |m| m.filesystems = list("nfs"),
    ),
    (
        r#""VolumeDriver":"local-persist""#,
        "may.volume_drivers",
        |m| m.volume_drivers = list("local-persist"),
    ),
    (
        r#""Devices":[{"PathOnHost":"/dev/dri/card0"}]"#,
        "may.devices",
        |m| m.devices = list("/dev/dri"),
    ),
    (
        r#""DeviceCgroupRules":["a *:* rwm"]"#,
        "may.device_rules",
        |m| m.device_rules = true,
    ),
    (
        r#""DeviceRequests":[{"Driver":"nvidia"}]"#,
        "may.device_requests",
        |m| m.device_requests = list("nvidia"),
    ),
    (
        r#""DeviceRequests":[{"Count":-1}]"#,
        "may.device_requests",
        |m| m.device_requests = list("default"),
    ),
    (
        r#""SecurityOpt":["seccomp=unconfined"]"#,
        "may.security_options",
        |m| m.security_options = list("seccomp=unconfined"),
    ),
    (
        r#""SecurityOpt":["apparmor:unconfined"]"#,
        "may.security_options",
        |m| m.security_options = list("apparmor=unconfined"),
    ),
    (
        r#""SecurityOpt":["label=disable"]"#,
        "may.security_options",
        |m| m.security_options = list("label=disable"),
    ),
    (
        r#""SecurityOpt":["disable"]"#,
        "may.security_options",
        |m| m.security_options = list("*"),
    ),
    (
        r#""SecurityOpt":["systempaths=unconfined"]"#,
        "may.security_options",
        |m| m.security_options = list("*"),
    ),
    (
        r#""SecurityOpt":["no-new-privileges=false"]"#,
        "may.security_options",
        |m| m.security_options = list("*"),
    ),
    (
        r#""SecurityOpt":["seccomp={}"]"#,
        "may.security_options",
        |m| m.security_options = list("seccomp={}"),
    ),
    (r#""MaskedPaths":[]"#, "may.system_paths", |m| {
        m.system_paths = true
    }),
    (
        r#""ReadonlyPaths":["/proc/bus"]"#,
        "may.system_paths",
        |m| m.system_paths = true,
    ),
    (
        r#""Sysctls":{"net.core.somaxconn":"1"}"#,
        "may.sysctls",
        |m| m.sysctls = list("net.core.*"),
    ),
    (
        r#""Sysctls":{"net/core/somaxconn":"1"}"#,
        "may.sysctls",
        |m| m.sysctls = list("net.core.somaxconn"),
    ),
    (r#""Runtime":"kata""#, "may.runtimes", |m| {
        m.runtimes = list("kata")
    }),
    (r#""CgroupParent":"team/a""#, "may.cgroup_parents", |m| {
        m.cgroup_parents = list("/team")
    }),
    (
        r#""CgroupParent":"team.slice""#,
        "may.cgroup_parents",
        |m| m.cgroup_parents = list("team.slice"),
    ),
    (r#""GroupAdd":["44"]"#, "may.groups", |m| {
        m.groups = list("44")
    }),
    (r#""OomKillDisable":true"#, "may.oom", |m| m.oom = true),
    (r#""OomScoreAdj":-500"#, "may.oom", |m| m.oom = true),
    (r#""LogConfig":{"Type":"gelf"}"#, "may.log_drivers", |m| {
        m.log_drivers = list("gelf")
    }),
    (
        r#""LogConfig":{"Config":{"syslog-address":"tcp://x:514"}}"#,
        "may.log_drivers",
        |m| m.log_drivers = list("default"),
    ),
    (
        r#""LogConfig":{"Type":"","Config":{"max-size":"1m","fluentd-address":"x"}}"#,
        "may.log_drivers",
        |m| m.log_drivers = list("*"),
    ),
    (
        r#""Annotations":{"run.oci.handler":"wasm"}"#,
        "may.annotations",
        |m| m.annotations = list("run.oci.*"),
    ),
    (
        r#""annotations":{"io.katacontainers.config.hypervisor.path":"/x"}"#,
        "may.annotations",
        |m| m.annotations = list("io.katacontainers.config.hypervisor.path"),
    ),
];

fn list(entry: &str) -> Vec<String> {
    vec![entry.to_owned()]
}

#[test]
fn a_setting_is_denied_without_its_grant_and_allowed_with_it() {
    for (fields, rule, grant) in ROWS {
        let mut may = May::default();
        grant(&mut may);
        denies(&plain(), CREATE, &host(fields), rule);
        allows(&with(may, Must::default()), CREATE, &host(fields));
        allows(
            &with(May::everything(), Must::default()),
            CREATE,
            &host(fields),
        );
        allows(&RuleSet::admin(), CREATE, &host(fields));
    }
}

#[test]
fn a_grant_does_not_allow_another_setting() {
    for (_, rule, grant) in ROWS {
        let mut may = May::default();
        grant(&mut may);
        let rules = with(may, Must::default());
        for (fields, other, _) in ROWS.iter().filter(|(_, other, _)| other != rule) {
            denies(&rules, CREATE, &host(fields), other);
        }
    }
}

#[test]
fn a_plain_container_needs_no_grant() {
    for fields in [
        "",
        r#""NetworkMode":"app","IpcMode":"private","PidMode":"","CgroupnsMode":"private""#,
        r#""Binds":["vol:/data","/anonymous","vol2:/x:ro,z"]"#,
        r#""Mounts":[{"Type":"volume","Source":"v","Target":"/x"},{"Type":"tmpfs","Target":"/t"}]"#,
        r#""CapAdd":["CHOWN","CAP_NET_BIND_SERVICE"],"CapDrop":["ALL"]"#,
        r#""SecurityOpt":["no-new-privileges","seccomp=builtin"]"#,
        r#""MaskedPaths":null,"ReadonlyPaths":null,"Sysctls":null,"Devices":[],"Runtime":"runc""#,
        r#""MaskedPaths":["/proc/asound","/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/proc/scsi","/sys/firmware","/sys/devices/virtual/powercap","/proc/interrupts"]"#,
        r#""PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"PublishAllPorts":true"#,
        r#""LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}},"NewPower":false"#,
    ] {
        allows(&plain(), CREATE, &host(fields));
    }
    allows(
        &plain(),
        SERVICE,
        &service(r#""Image":"alpine","Privileges":{"NoNewPrivileges":false}"#),
    );
}

#[test]
fn a_service_uses_the_secrets_and_configs_that_are_granted() {
    let secret = |name: &str| {
        service(&format!(
            r#""Secrets":[{{"SecretID":"s1","SecretName":"{name}"}}]"#
        ))
    };
    let config = |name: &str| {
        service(&format!(
            r#""Configs":[{{"ConfigID":"c1","ConfigName":"{name}"}}]"#
        ))
    };
    let credentials = service(r#""Privileges":{"CredentialSpec":{"Config":"c1"}}"#);
    let may = |secrets: &str, configs: &str| May {
        secrets: list(secrets),
        configs: list(configs),
        security_options: list("*"),
        ..May::default()
    };
    for request in [SERVICE, "POST /services/web/update"] {
        denies(&plain(), request, &secret("db"), "may.secrets");
        denies(&plain(), request, &config("db"), "may.configs");
        let db = with(may("db", "db"), Must::default());
        allows(&db, request, &secret("db"));
        allows(&db, request, &config("db"));
        allows(&db, request, &credentials);
        for name in ["DB", "db2", ""] {
            denies(&db, request, &secret(name), "may.secrets");
            denies(&db, request, &config(name), "may.configs");
        }
        let two = r#""Secrets":[{"SecretName":"db"},{"secretname":"other"}]"#;
        denies(&db, request, &service(two), "may.secrets");
        let only_secrets = with(
            May {
                configs: Vec::new(),
                ..may("*", "")
            },
            Must::default(),
        );
        allows(&only_secrets, request, &secret("any"));
        denies(&only_secrets, request, &config("any"), "may.configs");
        denies(&only_secrets, request, &credentials, "may.configs");
    }
    let all = with(May::everything(), Must::default());
    allows(&all, SERVICE, &secret("any"));
}

#[test]
fn a_path_granted_for_reading_is_not_written() {
    let rules = with(
        May {
            binds: list("/srv:ro"),
            ..May::default()
        },
        Must::default(),
    );
    for fields in [
        r#""Binds":["/srv:/x"]"#,
        r#""Binds":["/srv:/x:rw"]"#,
        r#""Binds":["/srv:/x:ro,Z"]"#,
        r#""Binds":["/srv/../etc:/x:ro"]"#,
        r#""Mounts":[{"Type":"bind","Source":"/srv"}]"#,
        r#""Mounts":[{"Type":"bind","Source":"/srv","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}}]"#,
        r#""Binds":["/srv:/x:ro:/y"]"#,
    ] {
        assert!(judged(&rules, CREATE, &host(fields)).is_err(), "{fields}");
    }
}

#[test]
fn networks_that_affect_the_host_need_a_grant() {
    for (body, rule) in [
        (r#"{"Name":"n","Driver":"macvlan"}"#, "may.network_drivers"),
        (r#"{"Name":"n","Driver":"host"}"#, "may.network_drivers"),
        (
            r#"{"Name":"n","IPAM":{"Driver":"dhcp"}}"#,
            "may.network_drivers",
        ),
        (
            r#"{"Name":"n","Options":{"com.docker.network.bridge.name":"docker0"}}"#,
            "may.network_options",
        ),
        (
            r#"{"Name":"n","Options":{"com.docker.network.bridge.gateway_mode_ipv4":"nat-unprotected"}}"#,
            "may.network_options",
        ),
    ] {
        denies(&plain(), "POST /networks/create", body, rule);
        allows(
            &with(May::everything(), Must::default()),
            "POST /networks/create",
            body,
        );
    }
    allows(
        &plain(),
        "POST /networks/create",
        r#"{"Name":"n","Driver":"overlay","Options":{"encrypted":""}}"#,
    );
}

#[test]
fn a_privileged_exec_needs_the_grant_too() {
    denies(
        &plain(),
        "POST /containers/a/exec",
        r#"{"Privileged":true}"#,
        "may.privileged",
    );
    allows(
        &plain(),
        "POST /containers/a/exec",
        r#"{"Cmd":["sh"],"User":"root"}"#,
    );
}

#[test]
fn fetching_from_a_url_needs_a_grant() {
    for request in [
        "POST /build?remote=http://x/y",
        "POST /images/create?fromSrc=http://x",
    ] {
        denies(&plain(), request, "", "may.remote");
    }
    allows(&plain(), "POST /images/create?fromSrc=-", "");
    denies(
        &plain(),
        "POST /build?networkmode=host",
        "",
        "may.namespaces",
    );
    denies(
        &plain(),
        "POST /build?securityopt=%5B%22seccomp%3Dunconfined%22%5D",
        "",
        "may.security_options",
    );
    denies(&plain(), "POST /build?securityopt=x", "", "body");
}

#[test]
fn every_demand_applies_to_containers() {
    let labels = || [("team".to_owned(), "web".to_owned())].into();
    let rows: [(Must, &str, &str, &str); 11] = [
        (
            Must {
                images: list("alpine"),
                ..Must::default()
            },
            r#"{"Image":"busybox"}"#,
            r#"{"Image":"alpine:3"}"#,
            "must.images",
        ),
        (
            Must {
                digest: true,
                ..Must::default()
            },
            r#"{"Image":"alpine:3"}"#,
            r#"{"Image":"alpine@sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#,
            "must.digest",
        ),
        (
            Must {
                non_root: true,
                ..Must::default()
            },
            "{}",
            r#"{"User":"1"}"#,
            "must.non_root",
        ),
        (
            Must {
                no_new_privileges: true,
                ..Must::default()
            },
            r#"{"HostConfig":{"SecurityOpt":[]}}"#,
            r#"{"HostConfig":{"SecurityOpt":["no-new-privileges:true"]}}"#,
            "must.no_new_privileges",
        ),
        (
            Must {
                read_only: true,
                ..Must::default()
            },
            r#"{"ReadonlyRootfs":true}"#,
            r#"{"HostConfig":{"ReadonlyRootfs":true}}"#,
            "must.read_only",
        ),
        (
            Must {
                labels: labels(),
                ..Must::default()
            },
            r#"{"Labels":{"Team":"web"}}"#,
            r#"{"labels":{"team":"web"}}"#,
            "must.labels",
        ),
        (
            Must {
                memory: Some(Size(1024)),
                ..Must::default()
            },
            r#"{"HostConfig":{"Memory":1024,"MemorySwap":-1}}"#,
            r#"{"HostConfig":{"Memory":1024,"MemorySwap":2048}}"#,
            "must.memory",
        ),
        (
            Must {
                cpus: Some(1.5),
                ..Must::default()
            },
            r#"{"HostConfig":{"NanoCpus":1000000000,"CpuQuota":200000}}"#,
            r#"{"HostConfig":{"CpuQuota":150000}}"#,
            "must.cpus",
        ),
        (
            Must {
                pids: Some(10),
                ..Must::default()
            },
            r#"{"HostConfig":{"PidsLimit":-1}}"#,
            r#"{"HostConfig":{"PidsLimit":10}}"#,
            "must.pids",
        ),
        (
            Must {
                restart: list("no"),
                ..Must::default()
            },
            r#"{"HostConfig":{"RestartPolicy":{"Name":"always"}}}"#,
            r#"{"HostConfig":{"RestartPolicy":{"Name":""}}}"#,
            "must.restart",
        ),
        (
            Must {
                publish_on: vec!["127.0.0.1".parse().unwrap()],
                ..Must::default()
            },
            r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1"},{"HostPort":"1"}]}}}"#,
            r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1"}]}}}"#,
            "must.publish_on",
        ),
    ];
    for (must, bad, good, rule) in rows {
        let rules = with(May::everything(), must);
        denies(&rules, CREATE, bad, rule);
        allows(&rules, CREATE, good);
    }
}

#[test]
fn limits_are_required_and_apply_to_services_and_updates() {
    let must = Must {
        memory: Some(Size(1 << 20)),
        cpus: Some(1.0),
        pids: Some(10),
        ..Must::default()
    };
    let rules = with(May::default(), must);
    for body in [
        "{}",
        r#"{"HostConfig":{"Memory":1024}}"#,
        r#"{"Memory":1024,"NanoCpus":1,"PidsLimit":1}"#,
    ] {
        denies(&rules, CREATE, body, "must.");
    }
    let limits =
        |limits: &str| format!(r#"{{"TaskTemplate":{{"Resources":{{"Limits":{limits}}}}}}}"#);
    allows(
        &rules,
        SERVICE,
        &limits(r#"{"NanoCPUs":1000000000,"MemoryBytes":1048576,"Pids":10}"#),
    );
    for bad in [
        "{}",
        "null",
        r#"{"NanoCPUs":1,"MemoryBytes":1048577,"Pids":1}"#,
        r#"{"NanoCPUs":1,"MemoryBytes":1}"#,
    ] {
        denies(&rules, SERVICE, &limits(bad), "must.");
    }
    let update = "POST /containers/a/update";
    for (body, ok) in [
        ("{}", true),
        (r#"{"RestartPolicy":{"Name":"always"}}"#, true),
        (r#"{"Memory":1024}"#, true),
        (r#"{"Memory":2097152}"#, false),
        (r#"{"MemorySwap":-1}"#, false),
        (r#"{"PidsLimit":0}"#, false),
        (r#"{"CpuQuota":-1}"#, false),
        (r#"{"NanoCpus":1e9}"#, false),
        (r#"{"Devices":[{"PathOnHost":"/dev/sda"}]}"#, false),
    ] {
        assert_eq!(judged(&rules, update, body).is_ok(), ok, "{body}");
    }
}

#[test]
fn pulls_are_held_to_the_allowed_images() {
    let rules = with(
        May::default(),
        Must {
            images: list("alpine:3"),
            digest: false,
            ..Must::default()
        },
    );
    let digest = format!("sha256:{}", "0".repeat(64));
    for (query, ok) in [
        ("fromImage=alpine&tag=3", true),
        ("fromImage=docker.io/library/alpine:3", true),
        ("fromImage=alpine%3A3", true),
        ("fromImage=alpine", false),
        ("fromImage=alpine&tag=4", false),
        ("fromImage=alpine:3&tag=4", false),
        ("fromImage=evil&tag=3&fromImage=alpine", false),
        (&format!("fromImage=alpine:3&tag={digest}"), false),
        ("fromImage=&fromImage=alpine:3", false),
        ("", false),
    ] {
        assert_eq!(
            is_allowed(&rules, &format!("POST /images/create?{query}")),
            ok,
            "{query}"
        );
    }
}

/// Engines pull every tag of a repository for a name without one.
#[test]
fn a_pull_of_all_tags_needs_a_pattern_for_all_tags() {
    let demanding = |images: &str, digest| {
        let images = list(images);
        let must = Must {
            images,
            digest,
            ..Must::default()
        };
        with(May::default(), must)
    };
    for (rules, query, ok) in [
        (demanding("alpine:latest", false), "fromImage=alpine", false),
        (
            demanding("alpine:latest", false),
            "fromImage=alpine:",
            false,
        ),
        (
            demanding("alpine:latest", false),
            "fromImage=alpine&tag=",
            false,
        ),
        (
            demanding("alpine:latest", false),
            "fromImage=alpine&tag=latest",
            true,
        ),
        (
            demanding("alpine:latest", false),
            "fromImage=alpine:latest",
            true,
        ),
        (demanding("alpine", false), "fromImage=alpine", true),
        (
            demanding("alpine", false),
            "fromImage=docker.io/library/alpine",
            true,
        ),
        (demanding("alpine", false), "fromImage=evil", false),
        (demanding("**", false), "fromImage=ghcr.io/a/b", true),
        (demanding("alpine", true), "fromImage=alpine", false),
    ] {
        let request = format!("POST /images/create?{query}");
        assert_eq!(is_allowed(&rules, &request), ok, "{query}");
    }
}

#[test]
fn labels_are_demanded_of_every_new_object() {
    let labels = [("team".to_owned(), "*".to_owned())].into();
    let rules = with(
        May::default(),
        Must {
            labels,
            ..Must::default()
        },
    );
    for path in [
        "/containers/create",
        "/services/create",
        "/volumes/create",
        "/networks/create",
        "/secrets/create",
        "/configs/create",
    ] {
        let request = format!("POST {path}");
        denies(&rules, &request, "{}", "must.labels");
        allows(&rules, &request, r#"{"Labels":{"team":"any"}}"#);
    }
}
