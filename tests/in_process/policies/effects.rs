//! Effects that the request alone does not show: the stored specifications of a
//! service, the ingress network by its id, fields without effect in old versions.

use serde_json::{Value, json};

use super::{changes, configured, holder};
use crate::common::{manager, worker};

const YAML: &str = "
auth:
  keys:
    - { id: ci, secret_file: KEY_FILE, policy: ci }
    - { id: own, secret_file: KEY_FILE, policy: own }
    - { id: swarm, secret_file: KEY_FILE, policy: swarm }
    - { id: admin, secret_file: KEY_FILE, policy: admin }
    - { id: small, secret_file: KEY_FILE, policy: small }
    - { id: tower, secret_file: KEY_FILE, policy: tower }
policies:
  ci: { allow: ['services.*', 'networks.*'], may: { binds: [/srv] } }
  own: { allow: ['services.*'], may: { binds: [/srv] }, labels: { owner: me } }
  swarm: { allow: ['networks.*'], may: { ingress: true } }
  small: { allow: ['services.*'], must: { pids: 10 } }
  tower: { preset: watchtower, may: { binds: [/srv], remote: true, subnets: ['*'] } }
";

fn with_mount(source: &str) -> Value {
    let mount = json!({ "Type": "bind", "Source": source, "Target": "/x" });
    json!({ "Name": "s", "TaskTemplate": { "ContainerSpec": { "Image": "a", "Mounts": [mount] } } })
}

fn service(id: &str, previous: Value) -> Value {
    json!({
        "ID": id,
        "Version": { "Index": 7 },
        "Spec": with_mount("/srv"),
        "PreviousSpec": previous,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_to_the_previous_specification_is_judged_by_that_specification() {
    let plans = [
        manager("n1").engine(|e| {
            e.answer(
                "GET",
                "/services/good",
                200,
                service("good", with_mount("/srv/a")),
            )
            .answer(
                "GET",
                "/services/bad",
                200,
                service("bad", with_mount("/etc")),
            )
            .answer("GET", "/services/new", 200, service("new", Value::Null))
            .answer("POST", "/services/good/update", 200, json!({}))
            .answer("POST", "/services/bad/update", 200, json!({}))
            .answer(
                "POST",
                "/services/new/update",
                400,
                json!({ "message": "no previous" }),
            )
        }),
        worker("n2"),
    ];
    configured(plans, YAML)
        .run(async |bed| {
            let body = with_mount("/srv").to_string();
            for entry in ["n1", "n2"] {
                for (who, target, expected) in [
                    ("ci", "good/update?version=7&rollback=previous", 200),
                    ("ci", "bad/update?version=7", 200),
                    ("ci", "bad/update?version=7&rollback=none", 200),
                    ("ci", "bad/update?version=7&rollback=previous", 403),
                    ("ci", "bad/update?version=7&rollback=%70revious", 403),
                    ("ci", "new/update?version=7&rollback=previous", 400),
                    // Another update came in between.
                    ("ci", "good/update?version=8&rollback=previous", 403),
                    ("ci", "good/update?rollback=previous", 403),
                    ("ci", "none/update?version=7&rollback=previous", 404),
                    ("own", "good/update?version=7&rollback=previous", 403),
                ] {
                    let before = changes(bed).len();
                    let caller = holder(bed, entry, who);
                    let json = [("Content-Type", "application/json")];
                    let target = format!("/services/{target}");
                    let answer = caller.ask("POST", &target, &json, body.as_bytes()).await;
                    let answer = answer.unwrap();
                    assert_eq!(
                        answer.status,
                        expected,
                        "{entry} {target}: {}",
                        answer.text()
                    );
                    let sent = changes(bed).len() > before;
                    assert_eq!(sent, matches!(expected, 200 | 400), "{entry} {target}");
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_returns_when_it_fails_is_judged_by_the_current_specification() {
    let current = |id: &str, spec: Value| {
        let path = format!("/services/{id}");
        let service = json!({ "ID": id, "Version": { "Index": 7 }, "Spec": spec });
        (path, service)
    };
    let secret = json!({ "SecretID": "s1", "SecretName": "db" });
    let labels = json!({ "owner": "me" });
    let mut own = with_mount("/srv/a");
    own["Labels"] = labels.clone();
    let mut own_bad = with_mount("/etc");
    own_bad["Labels"] = labels;
    // The network is another owner's.
    let mut own_net = own.clone();
    own_net["TaskTemplate"]["Networks"] = json!([{ "Target": "theirs" }]);
    let mut with_secret = with_mount("/srv/a");
    with_secret["TaskTemplate"]["ContainerSpec"]["Secrets"] = json!([secret]);
    let services = [
        current("good", with_mount("/srv/a")),
        current("bad", with_mount("/etc")),
        current("secret", with_secret),
        current("own", own),
        current("ownbad", own_bad),
        current("ownnet", own_net),
    ];
    let plans = [
        manager("n1").engine(|engine| {
            let secret = json!({ "ID": "s1", "Spec": { "Name": "db" } });
            let theirs = json!({ "Id": "t1", "Name": "theirs", "Scope": "swarm" });
            let engine = engine.answer("GET", "/secrets/s1", 200, secret).answer(
                "GET",
                "/networks/theirs",
                200,
                theirs,
            );
            services.iter().fold(engine, |engine, (path, service)| {
                engine.answer("GET", path, 200, service.clone()).answer(
                    "POST",
                    &format!("{path}/update"),
                    200,
                    json!({}),
                )
            })
        }),
        worker("n2"),
    ];
    configured(plans, YAML)
        .run(async |bed| {
            for entry in ["n1", "n2"] {
                for (who, target, action, expected) in [
                    ("ci", "good/update?version=7", "rollback", 200),
                    ("ci", "bad/update?version=7", "rollback", 403),
                    ("ci", "bad/update?version=7", "pause", 200),
                    ("ci", "bad/update?version=7", "continue", 200),
                    ("ci", "bad/update?version=7", "", 200),
                    ("ci", "secret/update?version=7", "rollback", 403),
                    ("ci", "secret/update?version=7", "pause", 200),
                    // Another update came in between.
                    ("ci", "good/update?version=8", "rollback", 403),
                    ("ci", "good/update", "rollback", 403),
                    ("ci", "none/update?version=7", "rollback", 404),
                    ("own", "own/update?version=7", "rollback", 200),
                    ("own", "ownbad/update?version=7", "rollback", 403),
                    ("own", "ownbad/update?version=7", "pause", 200),
                    ("own", "ownnet/update?version=7", "rollback", 404),
                    ("own", "ownnet/update?version=7", "pause", 200),
                    ("own", "good/update?version=7", "rollback", 404),
                    ("admin", "bad/update?version=7", "rollback", 200),
                ] {
                    let before = changes(bed).len();
                    let mut body = with_mount("/srv");
                    body["UpdateConfig"] = json!({ "FailureAction": action });
                    let caller = holder(bed, entry, who);
                    let json = [("Content-Type", "application/json")];
                    let target = format!("/services/{target}");
                    let body = body.to_string();
                    let answer = caller.ask("POST", &target, &json, body.as_bytes()).await;
                    let answer = answer.unwrap();
                    let seen = format!("{entry} {who} {target} {action}: {}", answer.text());
                    assert_eq!(answer.status, expected, "{seen}");
                    let sent = changes(bed).len() > before;
                    assert_eq!(sent, expected == 200, "{seen}");
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ingress_network_is_kept_by_any_of_its_names() {
    let network = |id: &str, name: &str, ingress: bool| json!({ "Id": id, "Name": name, "Scope": "swarm", "Ingress": ingress });
    let plans = [manager("n1").engine(|e| {
        e.answer("GET", "/networks/mesh", 200, network("m1", "mesh", true))
            .answer("GET", "/networks/m1", 200, network("m1", "mesh", true))
            .answer("GET", "/networks/app", 200, network("a1", "app", false))
            .answer("GET", "/networks/a1", 200, network("a1", "app", false))
            .answer("DELETE", "/networks/m1", 204, Value::Null)
            .answer("DELETE", "/networks/mesh", 204, Value::Null)
            .answer("DELETE", "/networks/a1", 204, Value::Null)
    })];
    configured(plans, YAML)
        .run(async |bed| {
            for (who, name, expected) in [
                ("ci", "mesh", 403),
                ("ci", "m1", 403),
                ("ci", "ingress", 403),
                ("ci", "app", 204),
                ("swarm", "mesh", 204),
            ] {
                let caller = holder(bed, "n1", who);
                let target = format!("/networks/{name}");
                let answer = caller.ask("DELETE", &target, &[], b"").await.unwrap();
                assert_eq!(answer.status, expected, "{who} {name}: {}", answer.text());
            }
            let removed: Vec<_> = changes(bed).into_iter().map(|seen| seen.path).collect();
            assert_eq!(removed, ["/networks/a1", "/networks/mesh"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_cannot_be_read_is_not_removed() {
    let answers = [
        ("text", json!({ "Id": "text", "Ingress": "true" })),
        ("number", json!({ "Id": "number", "Ingress": 1 })),
        ("null", json!({ "Id": "null", "Ingress": null })),
        ("list", json!(["list"])),
        ("words", json!("network")),
        ("nothing", Value::Null),
        ("nameless", json!({ "Ingress": false })),
    ];
    let plans = [manager("n1").engine(|engine| {
        answers.iter().fold(engine, |engine, (name, answer)| {
            let path = format!("/networks/{name}");
            engine.answer("GET", &path, 200, answer.clone()).answer(
                "DELETE",
                &path,
                204,
                Value::Null,
            )
        })
    })];
    configured(plans, YAML)
        .run(async |bed| {
            let ci = holder(bed, "n1", "ci");
            for (name, _) in &answers {
                let target = format!("/networks/{name}");
                let answer = ci.ask("DELETE", &target, &[], b"").await.unwrap();
                assert!(answer.status >= 400, "{name}: {}", answer.status);
            }
            assert_eq!(changes(bed).len(), 0);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_counts_only_in_a_version_that_has_it() {
    let plans =
        [manager("n1")
            .engine(|e| e.answer("POST", "/services/create", 201, json!({ "ID": "new" })))];
    configured(plans, YAML)
        .run(async |bed| {
            let small = holder(bed, "n1", "small");
            let limits = json!({ "TaskTemplate": { "Resources": { "Limits": { "Pids": 10 } } } });
            let body = limits.to_string();
            for (version, expected) in [("", 201), ("/v1.41", 201), ("/v1.40", 403)] {
                let json = [("Content-Type", "application/json")];
                let target = format!("{version}/services/create");
                let answer = small.ask("POST", &target, &json, body.as_bytes()).await;
                let answer = answer.unwrap();
                assert_eq!(answer.status, expected, "{version}: {}", answer.text());
                if expected == 403 {
                    let why = answer.text();
                    assert!(why.contains("below API 1.41"), "{why}");
                }
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_could_not_be_created_again_is_not_ended() {
    let container = |id: &str, binds: Value| {
        json!({
            "Id": id,
            "Name": format!("/{id}"),
            "Config": { "Image": "a" },
            "HostConfig": { "Binds": binds },
        })
    };
    let there = |name: &str| json!([{ "Id": name, "Names": [format!("/{name}")], "Labels": {} }]);
    let plans = [
        manager("n1"),
        worker("n2").engine(|e| {
            let mut e = e;
            for (id, source) in [("kept", "/etc:/etc"), ("web", "/srv/web:/data")] {
                let path = format!("/containers/{id}");
                e = e
                    .answer("GET", "/containers/json", 200, there(id))
                    .answer(
                        "GET",
                        &format!("{path}/json"),
                        200,
                        container(id, json!([source])),
                    )
                    .answer("POST", &format!("{path}/stop"), 204, Value::Null)
                    .answer("POST", &format!("{path}/kill"), 204, Value::Null)
                    .answer("DELETE", &path, 204, Value::Null);
            }
            e
        }),
    ];
    configured(plans, YAML)
        .run(async |bed| {
            for entry in ["n1", "n2"] {
                for (who, request, expected) in [
                    ("tower", "POST /containers/kept/stop", 403),
                    ("tower", "POST /containers/kept/kill?signal=SIGTERM", 403),
                    ("tower", "DELETE /containers/kept?force=1", 403),
                    ("tower", "DELETE /containers/none", 404),
                    ("tower", "POST /containers/web/stop", 204),
                    ("tower", "POST /v1.41/containers/web/kill", 204),
                    ("tower", "DELETE /containers/web", 204),
                    ("admin", "DELETE /containers/kept", 204),
                ] {
                    let before = changes(bed).len();
                    let (method, target) = request.split_once(' ').unwrap();
                    let caller = holder(bed, entry, who);
                    let answer = caller.ask(method, target, &[], b"").await.unwrap();
                    let text = answer.text();
                    assert_eq!(answer.status, expected, "{entry} {request}: {text}");
                    let sent = changes(bed).len() > before;
                    assert_eq!(sent, expected == 204, "{entry} {request}");
                    if expected == 403 {
                        assert!(text.contains("could not be created again"), "{text}");
                        assert!(text.contains("may.binds"), "{text}");
                    }
                }
            }
        })
        .await;
}

/// Releases of the engine hide different paths of /proc and /sys.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_paths_are_those_of_the_engine_that_gets_the_container() {
    const YAML: &str = "
auth:
  keys: [{ id: ci, secret_file: KEY_FILE, policy: ci }]
policies:
  ci: { allow: ['*'] }
";
    let old = "/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list \
        /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware";
    let new = format!("{old} /sys/devices/virtual/powercap /proc/interrupts");
    let body = |paths: &str| {
        let paths: Vec<_> = paths.split(' ').collect();
        json!({ "Image": "a", "HostConfig": { "MaskedPaths": paths } }).to_string()
    };
    let engine = |release: &'static str, api: &'static str| {
        move |e: skep_bed::EngineBuilder| {
            let created = json!({ "Id": release });
            e.version(release, api)
                .answer("POST", "/containers/create", 201, created)
        }
    };
    let plans = [
        manager("n1").engine(engine("20.10.24", "1.41")),
        worker("n2").engine(engine("28.5.2", "1.51")),
    ];
    let configure = |node: &str, folder: &std::path::Path, config: &mut skep::config::Config| {
        super::apply(YAML, folder, config);
        // The other node does not know the callers at a socket.
        config.sockets = vec![skep::config::Socket {
            path: folder.join(format!("{node}.sock")),
            owner: None,
            group: None,
            mode: 0o660,
            users: Vec::new(),
            others: Some(skep::config::SocketIdentity {
                name: "local".to_owned(),
                grant: config.auth.keys[0].grant.clone(),
            }),
        }];
    };
    let over = async |bed: &mut crate::common::TestCluster| {
        for (entry, target, paths, expected) in [
            ("n1", "n1", old, 201),
            ("n1", "n2", old, 403),
            ("n1", "n2", new.as_str(), 201),
            ("n2", "n1", old, 201),
            ("n2", "n2", old, 403),
            ("n2", "n1", new.as_str(), 201),
        ] {
            for version in ["", "/v1.41"] {
                let path = format!("{version}/containers/create");
                let headers = [
                    ("Content-Type", "application/json"),
                    ("Skep-Target", target),
                ];
                let body = body(paths);
                let key = holder(bed, entry, "ci");
                let answer = key.ask("POST", &path, &headers, body.as_bytes()).await;
                let answer = answer.unwrap();
                let shown = format!("{entry} {target} {version}: {}", answer.text());
                assert_eq!(answer.status, expected, "{shown}");
                let local = skep_bed::Client::unix(bed.folder().join(format!("{entry}.sock")));
                let answer = local
                    .request("POST", &path, &headers, body.as_bytes())
                    .await;
                let answer = answer.unwrap();
                assert_eq!(answer.status, expected, "local {shown}: {}", answer.text());
                if expected == 403 {
                    assert!(answer.text().contains("may.system_paths"), "{shown}");
                }
            }
        }
    };
    crate::common::ClusterBuilder::of(plans)
        .configure(configure)
        .run(over)
        .await;
}
