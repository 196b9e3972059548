//! Requests by callers that are no admins, judged against one agent's objects.

use super::*;
use crate::endpoint::{RequestPath, classify};
use crate::policy::{May, RuleSet, Spec};

const AGENT: &str = "abc0000000000000000000000000000000000000000000000000000000000000";
const IMAGE: &str = "sha256:1234000000000000000000000000000000000000000000000000000000000000";
const DIGEST: &str = "sha256:5678000000000000000000000000000000000000000000000000000000000000";

fn named(id: &str, names: &[&str]) -> Named {
    Named {
        id: id.into(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn guarded() -> Guarded {
    Guarded {
        containers: vec![named(AGENT, &["skep"])],
        images: vec![named(
            IMAGE,
            &["r.example/skep:0.1.0", &format!("r.example/skep@{DIGEST}")],
        )],
        volumes: vec!["skep-state".into()],
        networks: vec![named("n3t0000000000000000000000", &["skep_agents"])],
        services: vec![named("s3rv0000000000000000000000", &["skep_agent"])],
        secrets: vec![named("s3cr0000000000000000000000", &["skep_secret"])],
        configs: vec![named("c0nf0000000000000000000000", &["skep_config"])],
        paths: vec!["/srv/skep/state".into()],
        stacks: vec![
            stack("com.docker.stack.namespace", "skep"),
            stack("com.docker.compose.project", "Agents"),
        ],
        marks: Marks {
            names: vec!["proxy".into()],
            labels: Marks::of_service("traefik")
                .chain([label("skep.policy", None), label("role", Some("a=b"))])
                .collect(),
        },
    }
}

fn stack(label: &str, name: &str) -> Stack {
    Stack {
        label: label.into(),
        name: name.into(),
    }
}

fn label(name: &str, value: Option<&str>) -> LabelMark {
    LabelMark {
        name: name.into(),
        value: value.map(str::to_owned),
    }
}

/// The policy with the most rights that is not `admin`.
fn everything() -> RuleSet {
    RuleSet::new(&Spec {
        may: Some(May::everything()),
        ..Spec::allowing(["*"])
    })
    .unwrap()
}

fn judged(rules: &RuleSet, request: &str, body: &str) -> Guarding {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = RequestPath::parse(path).unwrap();
    let found = classify(method, &path).unwrap();
    let body = BodyOf::new(body.as_bytes(), Some("application/json"), None);
    rules.judge_guarded(&guarded(), &found, query, &body)
}

fn said(request: &str, body: &str) -> String {
    match judged(&everything(), request, body) {
        Guarding::Clear => "clear".into(),
        Guarding::Inspect(kind, name) => format!("inspect {kind:?} {name}"),
        Guarding::NoSuch(Thing::Image, name) => format!("no Image {name}"),
        Guarding::NoSuch(Thing::Object(kind), name) => format!("no {kind:?} {name}"),
        Guarding::Denied(_) => "denied".into(),
    }
}

#[test]
fn only_an_admin_acts_on_the_agents_objects() {
    for request in [
        "POST /containers/skep/exec",
        "POST /v1.41/containers/sk%65p/exec",
        "POST /containers/skep/attach",
        "GET /containers/skep/attach/ws",
        "POST /containers/skep/resize",
        "GET /containers/skep/archive?path=/run/secrets",
        "HEAD /containers/skep/archive?path=/run/secrets",
        "PUT /containers/skep/archive?path=/",
        "GET /containers/skep/export",
        "POST /containers/skep/update",
        "POST /containers/skep/stop",
        "POST /containers/skep/start",
        "POST /containers/skep/kill",
        "POST /containers/skep/restart",
        "POST /containers/skep/pause",
        "POST /containers/skep/unpause",
        "POST /containers/skep/rename?name=x",
        "DELETE /containers/skep?force=1",
        "POST /containers/skep/checkpoints",
        "DELETE /containers/skep/checkpoints/a",
        "POST /commit?container=skep&repo=x",
        "POST /commit?container=%2fskep",
        "GET /v1/websocket/attach?id=skep",
    ] {
        assert_eq!(
            said(request, ""),
            format!(
                "no Container {}",
                if request.contains("%2f") {
                    "/skep"
                } else {
                    "skep"
                }
            ),
            "{request}"
        );
        let by_id = request
            .replace("sk%65p", AGENT)
            .replace("%2fskep", AGENT)
            .replace("skep", AGENT);
        assert_eq!(said(&by_id, ""), format!("no Container {AGENT}"), "{by_id}");
    }
    for (request, expected) in [
        ("DELETE /volumes/skep-state", "no Volume skep-state"),
        ("DELETE /volumes/SKEP-state", "no Volume SKEP-state"),
        ("PUT /volumes/skep-state", "no Volume skep-state"),
        (
            "GET /browse/get?volumeID=skep-state&path=/secret",
            "no Volume skep-state",
        ),
        ("GET /v1/browse/skep-state/ls", "no Volume skep-state"),
        (
            "POST /browse/put?volumeID=skep-state",
            "no Volume skep-state",
        ),
        ("DELETE /networks/skep_agents", "no Network skep_agents"),
        ("DELETE /services/skep_agent", "no Service skep_agent"),
        (
            "POST /services/skep_agent/update?version=3",
            "no Service skep_agent",
        ),
        (
            "POST /services/Skep_Agent/update?version=3&rollback=previous",
            "no Service Skep_Agent",
        ),
        ("DELETE /secrets/skep_secret", "no Secret skep_secret"),
        ("POST /secrets/SKEP_SECRET/update", "no Secret SKEP_SECRET"),
        ("DELETE /configs/skep_config", "no Config skep_config"),
        (
            "DELETE /images/r.example%2Fskep:0.1.0",
            "no Image r.example/skep:0.1.0",
        ),
        ("DELETE /images/1234", "no Image 1234"),
        (
            "POST /images/r.example/skep:0.1.0/tag?repo=x",
            "no Image r.example/skep:0.1.0",
        ),
        (
            "POST /images/alpine/tag?repo=r.example/skep&tag=0.1.0",
            "denied",
        ),
        (
            "POST /images/alpine/tag?repo=r.example/skep:0.1.0",
            "denied",
        ),
        (
            "POST /images/create?fromSrc=-&repo=r.example/skep&tag=0.1.0",
            "denied",
        ),
        (
            "POST /commit?container=web&repo=r.example/skep&tag=0.1.0",
            "denied",
        ),
        ("POST /build?t=x&t=r.example/skep:0.1.0", "denied"),
        (
            "POST /build?networkmode=container:skep",
            "no Container skep",
        ),
        (
            "POST /build?networkmode=skep_agents",
            "no Network skep_agents",
        ),
    ] {
        assert_eq!(said(request, ""), expected, "{request}");
    }
}

#[test]
fn the_agents_objects_are_shown_and_other_objects_are_used() {
    for request in [
        "GET /containers/json",
        "GET /containers/skep/json",
        "GET /containers/skep/logs",
        "GET /containers/skep/top",
        "GET /containers/skep/stats",
        "POST /containers/skep/wait",
        "GET /images/r.example/skep:0.1.0/json",
        "GET /volumes/skep-state",
        "GET /networks/skep_agents",
        "GET /services/skep_agent",
        "GET /secrets/skep_secret",
        "POST /containers/web/exec",
        "POST /containers/skep2/exec",
        "POST /containers/SKEP/exec",
        "DELETE /containers/xabc",
        "DELETE /volumes/skep-state2",
        "DELETE /networks/agents",
        "DELETE /services/skep",
        "DELETE /images/r.example%2Fskep:0.2.0",
        "POST /images/alpine/tag?repo=r.example/skep&tag=0.2.0",
        "POST /images/create?fromImage=r.example/skep&tag=0.2.0",
        "POST /build?t=x&networkmode=host",
        "POST /containers/prune",
    ] {
        assert_eq!(said(request, ""), "clear", "{request}");
    }
}

#[test]
fn the_beginning_of_an_id_or_the_alias_of_a_link_is_inspected() {
    for (request, expected) in [
        ("POST /containers/a/exec", "inspect Container a"),
        ("POST /containers/abc0/exec", "inspect Container abc0"),
        ("POST /containers/ABC0/exec", "inspect Container ABC0"),
        ("POST /containers/web%2Fdb/stop", "inspect Container web/db"),
        ("DELETE /networks/n3t", "inspect Network n3t"),
        ("DELETE /services/s3", "inspect Service s3"),
        ("DELETE /secrets/s3cr", "inspect Secret s3cr"),
        ("DELETE /configs/c", "inspect Config c"),
        ("POST /exec/e1/start", "inspect Exec e1"),
        ("GET /exec/e1/json", "inspect Exec e1"),
    ] {
        assert_eq!(said(request, ""), expected, "{request}");
    }
    assert!(guarded().has_id(Kind::Container, AGENT));
    assert!(!guarded().has_id(Kind::Network, AGENT));
}

#[test]
fn no_body_names_the_agents_objects() {
    let host = |fields: &str| format!(r#"{{"Image":"a","HostConfig":{{{fields}}}}}"#);
    let containers = [
        (host(r#""Binds":["skep-state:/x:ro"]"#), "no Volume skep-state"),
        (host(r#""binds":["skep-st\u0061te:/x"]"#), "no Volume skep-state"),
        (host(r#""Mounts":[{"Type":"volume","Source":"skep-state","Target":"/x"}]"#), "no Volume skep-state"),
        (host(r#""Binds":["/srv/skep/state:/x"]"#), "denied"),
        (host(r#""Binds":["/srv/skep/./state/secret:/x:ro"]"#), "denied"),
        (host(r#""Binds":["/srv:/x:ro"]"#), "denied"),
        (host(r#""Mounts":[{"Type":"bind","Source":"/","Target":"/x"}]"#), "denied"),
        (host(r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/srv/skep/state"}}}}]"#), "denied"),
        (host(r#""VolumesFrom":["skep:ro"]"#), "no Container skep"),
        (host(r#""VolumesFrom":["/skep"]"#), "no Container /skep"),
        (host(r#""VolumesFrom":["ab"]"#), "no Container ab"),
        (host(r#""Links":["skep:x"]"#), "no Container skep"),
        (host(r#""NetworkMode":"container:skep""#), "no Container skep"),
        (host(r#""PidMode":"container:abc0""#), "no Container abc0"),
        (host(r#""IpcMode":"container:skep""#), "no Container skep"),
        (host(r#""UsernsMode":"container:skep""#), "no Container skep"),
        (host(r#""CgroupnsMode":"container:skep""#), "no Container skep"),
        (host(r#""NetworkMode":"skep_agents""#), "no Network skep_agents"),
        (r#"{"VolumesFrom":["skep"]}"#.into(), "no Container skep"),
        (r#"{"NetworkingConfig":{"EndpointsConfig":{"skep_agents":{}}}}"#.into(), "no Network skep_agents"),
        (r#"{"NetworkingConfig":{"EndpointsConfig":{"x":{"NetworkID":"n3t0000000000000000000000"}}}}"#.into(), "no Network n3t0000000000000000000000"),
        (r#"{"NetworkingConfig":{"EndpointsConfig":{"x":{"Links":["skep:y"]}}}}"#.into(), "no Container skep"),
        (r#"{"Image":"r.example/skep:0.1.0","Cmd":["sign"]}"#.into(), "denied"),
        (r#"{"Image":"12340000","Entrypoint":["/skep"]}"#.into(), "denied"),
        (format!(r#"{{"Image":"r.example/skep@{DIGEST}","Healthcheck":{{"Test":["CMD","/skep"]}}}}"#), "denied"),
        (r#"{"Image":"a","Image":"b"}"#.into(), "denied"),
        ("{".into(), "denied"),
        (r#"{"Image":"r.example/skep:0.1.0"}"#.into(), "clear"),
        (r#"{"Image":"a","Cmd":["sign"]}"#.into(), "clear"),
        (host(r#""Binds":["skep:/x","/srv/data:/y"],"NetworkMode":"bridge","VolumesFrom":["web"]"#), "clear"),
    ];
    for (body, expected) in containers {
        assert_eq!(said("POST /containers/create", &body), expected, "{body}");
    }
    let service = |fields: &str| format!(r#"{{"TaskTemplate":{{"ContainerSpec":{{{fields}}}}}}}"#);
    let services = [
        (
            service(r#""Secrets":[{"SecretID":"s3cr0000000000000000000000","SecretName":"mine"}]"#),
            "no Secret s3cr0000000000000000000000",
        ),
        (
            service(r#""Secrets":[{"SecretID":"s3cr"}]"#),
            "no Secret s3cr",
        ),
        (
            service(r#""Configs":[{"ConfigID":"c0nf0000000000000000000000"}]"#),
            "no Config c0nf0000000000000000000000",
        ),
        (
            service(r#""Privileges":{"CredentialSpec":{"Config":"c0nf0000000000000000000000"}}"#),
            "no Config c0nf0000000000000000000000",
        ),
        (
            service(r#""Mounts":[{"Type":"volume","Source":"skep-state"}]"#),
            "no Volume skep-state",
        ),
        (
            service(r#""Mounts":[{"Type":"volume","Source":"skep-{{\"state\"}}"}]"#),
            "denied",
        ),
        (
            service(r#""Mounts":[{"Type":"bind","Source":"/srv/skep"}]"#),
            "denied",
        ),
        (
            service(r#""Image":"r.example/skep:0.1.0","Args":["sign"]"#),
            "denied",
        ),
        (
            r#"{"TaskTemplate":{"Networks":[{"Target":"skep_agents"}]}}"#.into(),
            "no Network skep_agents",
        ),
        (
            r#"{"Networks":[{"Target":"n3t0000000000000000000000"}]}"#.into(),
            "no Network n3t0000000000000000000000",
        ),
        (
            service(r#""Secrets":[{"SecretID":"other","SecretName":"x"}]"#),
            "clear",
        ),
    ];
    for (body, expected) in services {
        for request in [
            "POST /services/create",
            "POST /services/web/update?version=1",
        ] {
            assert_eq!(said(request, &body), expected, "{request} {body}");
        }
    }
    for (request, body, expected) in [
        (
            "POST /networks/web/connect",
            r#"{"Container":"skep"}"#,
            "no Container skep",
        ),
        (
            "POST /networks/web/connect",
            r#"{"Container":"web","EndpointConfig":{"Links":["skep:x"]}}"#,
            "no Container skep",
        ),
        (
            "POST /networks/web/disconnect",
            r#"{"Container":"abc"}"#,
            "no Container abc",
        ),
        (
            "POST /networks/skep_agents/connect",
            r#"{"Container":"web"}"#,
            "no Network skep_agents",
        ),
        (
            "POST /networks/create",
            r#"{"Name":"skep_agents"}"#,
            "no Network skep_agents",
        ),
        ("POST /networks/create", r#"{"Name":"n3"}"#, "clear"),
        (
            "POST /volumes/create",
            r#"{"Name":"skep-state"}"#,
            "no Volume skep-state",
        ),
        (
            "POST /volumes/create",
            r#"{"Name":"x","DriverOpts":{"o":"bind","device":"/srv/skep/state"}}"#,
            "denied",
        ),
        (
            "POST /volumes/create",
            r#"{"Name":"x","DriverOpts":{"type":"overlay","device":"overlay","o":"lowerdir=/srv/skep/state:/a"}}"#,
            "denied",
        ),
        (
            "POST /volumes/create",
            r#"{"Name":"x","ClusterVolumeSpec":{"Secrets":[{"Key":"a","Secret":"skep_secret"}]}}"#,
            "no Secret skep_secret",
        ),
        (
            "PUT /volumes/x?version=1",
            r#"{"Spec":{"Secrets":[{"Key":"a","Secret":"s3cr0000000000000000000000"}]}}"#,
            "no Secret s3cr0000000000000000000000",
        ),
        (
            "PUT /volumes/x?version=1",
            r#"{"Spec":{"Secrets":[{"Key":"a","Secret":"db"}]}}"#,
            "clear",
        ),
        (
            "POST /containers/web/checkpoints",
            r#"{"CheckpointDir":"/srv/skep/state/x"}"#,
            "denied",
        ),
        (
            "POST /networks/web/connect",
            r#"{"Container":"web"}"#,
            "clear",
        ),
        ("POST /volumes/create", r#"{"Name":"x"}"#, "clear"),
    ] {
        assert_eq!(said(request, body), expected, "{request} {body}");
    }
}

#[test]
fn an_admin_is_not_limited() {
    for request in ["POST /containers/skep/exec", "DELETE /secrets/skep_secret"] {
        assert_eq!(judged(&RuleSet::admin(), request, ""), Guarding::Clear);
    }
    let body = r#"{"HostConfig":{"Binds":["skep-state:/x"]}}"#;
    let create = judged(&RuleSet::admin(), "POST /containers/create", body);
    assert_eq!(create, Guarding::Clear);
}

#[test]
fn the_objects_of_several_agents_are_one_list() {
    let mut all = guarded();
    all.add(&guarded());
    assert_eq!(all, guarded());
    all.add(&Guarded {
        volumes: vec!["other".into()],
        ..Guarded::default()
    });
    assert_eq!(all.volumes, ["skep-state", "other"]);
}

#[test]
fn only_an_admin_gives_a_container_the_mark_of_a_caller() {
    let labels = |labels: &str| format!(r#"{{"Image":"a","Labels":{labels}}}"#);
    let task = |labels: &str| {
        format!(r#"{{"Name":"x","TaskTemplate":{{"ContainerSpec":{{"Labels":{labels}}}}}}}"#)
    };
    let marked = [
        r#"{"skep.policy":"anything"}"#,
        r#"{"skep.policy":""}"#,
        r#"{"role":"a=b"}"#,
        r#"{"x":"y","com.docker.compose.service":"traefik"}"#,
        r#"{"com.docker.swarm.service.name":"traefik"}"#,
    ];
    let free = [
        "null",
        "{}",
        r#"{"Skep.Policy":"a"}"#,
        r#"{"role":"a"}"#,
        r#"{"com.docker.compose.service":"web"}"#,
        r#"{"proxy":"proxy"}"#,
    ];
    for (all, expected) in [(&marked[..], "denied"), (&free[..], "clear")] {
        for map in all {
            for (request, body) in [
                ("POST /containers/create?name=x", labels(map)),
                ("POST /v1.24/containers/create", labels(map)),
                (
                    "POST /containers/create",
                    labels(map).replace("Labels", "labels"),
                ),
                ("POST /services/create", task(map)),
                ("POST /services/web/update?version=1", task(map)),
            ] {
                assert_eq!(said(request, &body), expected, "{request} {body}");
            }
        }
    }
    for (request, body, expected) in [
        ("POST /containers/create?name=proxy", "{}", "denied"),
        ("POST /containers/create?name=%2fproxy", "{}", "denied"),
        ("POST /containers/create?name=a&name=proxy", "{}", "denied"),
        ("POST /containers/create?name=proxy2", "{}", "clear"),
        ("POST /containers/web/rename?name=proxy", "", "denied"),
        ("POST /containers/web/rename?name=/proxy", "", "denied"),
        ("POST /containers/web/rename?name=web2", "", "clear"),
        ("POST /services/create", r#"{"Name":"traefik"}"#, "denied"),
        (
            "POST /services/traefik/update?version=1",
            r#"{"Name":"traefik"}"#,
            "denied",
        ),
        ("POST /services/create", r#"{"Name":"proxy"}"#, "clear"),
        (
            "POST /volumes/create",
            r#"{"Name":"proxy","Labels":{"skep.policy":"a"}}"#,
            "clear",
        ),
        ("POST /containers/proxy/restart", "", "clear"),
    ] {
        assert_eq!(said(request, body), expected, "{request} {body}");
    }
    let admin = judged(
        &RuleSet::admin(),
        "POST /containers/create?name=proxy",
        &labels(marked[0]),
    );
    assert_eq!(admin, Guarding::Clear);
}

/// The agent would be the other image at its next start.
#[test]
fn only_an_admin_moves_the_name_of_the_agents_image() {
    let digest = format!("sha256:{}", "9".repeat(64));
    for request in [
        "POST /images/alpine/tag?repo=r.example/skep&tag=0.1.0",
        "POST /images/alpine/tag?repo=r.example/skep:0.1.0",
        // The tag takes the place of the one in the name.
        "POST /images/alpine/tag?repo=r.example/skep:9&tag=0.1.0",
        "POST /images/alpine/tag?repo=r.example%2Fskep%3A9&tag=0%2E1.0",
        "POST /commit?container=web&repo=r.example/skep:9&tag=0.1.0",
        "POST /images/create?fromSrc=-&repo=r.example/skep:9&tag=0.1.0",
        "POST /build?t=x&t=r.example/skep:0.1.0",
        "POST /skep/v1/images/r.example/skep:0.1.0/spread",
        "POST /images/create?fromImage=r.example/skep&tag=0.1.0",
        "POST /images/create?fromImage=r.example/skep:0.1.0",
        "POST /images/create?fromImage=r.example/skep:9&tag=0.1.0",
        "POST /images/create?fromImage=r.example/skep:0.1.0&platform=linux/arm64",
        &format!("POST /images/create?fromImage=r.example/skep:0.1.0@{digest}"),
        // Without a tag, engines pull all of them.
        "POST /images/create?fromImage=r.example/skep",
        "POST /images/create?fromImage=r.example/skep:",
        "POST /images/create?fromImage=r.example/skep&tag=",
    ] {
        let said = said(request, "");
        assert!(
            said == "denied" || said.starts_with("no Image"),
            "{said}: {request}"
        );
    }
    for request in [
        "POST /images/create?fromImage=r.example/skep&tag=0.2.0",
        &format!("POST /images/create?fromImage=r.example/skep&tag={digest}"),
        &format!("POST /images/create?fromImage=r.example/skep@{digest}"),
        "POST /images/create?fromImage=r.example/skep2",
        "POST /images/create?fromImage=r.example/skep/x:0.1.0",
        "POST /images/create?fromImage=skep:0.1.0",
        "POST /images/alpine/tag?repo=r.example/skep:0.1.0&tag=0.2.0",
        "POST /images/alpine/tag?repo=other.example/skep&tag=0.1.0",
        "POST /images/r.example/skep:0.1.0/push",
    ] {
        assert_eq!(said(request, ""), "clear", "{request}");
    }
    let service = r#"{"TaskTemplate":{"ContainerSpec":{"Image":"r.example/skep:0.1.0"}}}"#;
    for request in ["POST /services/create", "POST /services/a/update?version=1"] {
        assert_eq!(said(request, service), "denied", "{request}");
        let other = service.replace("0.1.0", "0.2.0");
        assert_eq!(said(request, &other), "clear", "{request}");
    }
}

#[test]
fn a_name_with_a_digest_is_kept_by_its_tag() {
    for (own, given, kept) in [
        (format!("skep:1@{DIGEST}"), "skep:1", true),
        (format!("skep:1@{DIGEST}"), "docker.io/library/skep:1", true),
        (format!("skep:1@{DIGEST}"), "skep:2", false),
        (format!("skep@{DIGEST}"), "skep:latest", false),
        ("skep".to_owned(), "skep:latest", true),
        ("skep:latest".to_owned(), "index.docker.io/skep", true),
        ("skep:latest".to_owned(), "docker.io/a/skep", false),
    ] {
        let guarded = Guarded {
            images: vec![named(IMAGE, &[&own])],
            ..Guarded::default()
        };
        assert_eq!(guarded.has_image_name(given), kept, "{own} {given}");
    }
}

#[test]
fn only_an_admin_adds_to_the_stack_of_an_agent() {
    let given = [
        r#"{"com.docker.stack.namespace":"skep"}"#,
        r#"{"a":"b","com.docker.compose.project":"agents"}"#,
        r#"{"com.docker.st\u0061ck.namespace":"skep"}"#,
    ];
    let free = [
        "{}",
        "null",
        r#"{"com.docker.stack.namespace":"web"}"#,
        r#"{"com.docker.compose.project":"skep"}"#,
        r#"{"Com.docker.stack.namespace":"skep"}"#,
    ];
    let bodies = |labels: &str| {
        let top = format!(r#"{{"Labels":{labels}}}"#);
        let mounts = format!(
            r#""Mounts":[{{"Type":"volume","Target":"/x","VolumeOptions":{{"Labels":{labels}}}}}]"#
        );
        let of_task =
            |fields: &str| format!(r#"{{"TaskTemplate":{{"ContainerSpec":{{{fields}}}}}}}"#);
        [
            ("POST /containers/create", top.clone()),
            (
                "POST /containers/create",
                format!(r#"{{"HostConfig":{{{mounts}}}}}"#),
            ),
            ("POST /services/create", top.clone()),
            ("POST /services/web/update?version=1", top.clone()),
            (
                "POST /services/create",
                of_task(&format!(r#""Labels":{labels}"#)),
            ),
            ("POST /services/create", of_task(&mounts)),
            ("POST /volumes/create", top.clone()),
            ("POST /networks/create", top.clone()),
            ("POST /secrets/create", top.clone()),
            ("POST /secrets/a/update?version=1", top.clone()),
            ("POST /configs/create", top.clone()),
            ("POST /configs/a/update?version=1", top.clone()),
            (
                "POST /commit?container=web",
                top.replace("Labels", "labels"),
            ),
        ]
    };
    for (all, expected) in [(&given[..], "denied"), (&free[..], "clear")] {
        for labels in all {
            for (request, body) in bodies(labels) {
                assert_eq!(said(request, &body), expected, "{request} {body}");
                assert_eq!(judged(&RuleSet::admin(), request, &body), Guarding::Clear);
            }
        }
    }
    for (query, expected) in [
        (
            "build?labels=%7B%22com.docker.stack.namespace%22:%22skep%22%7D",
            "denied",
        ),
        (
            "build?labels=%7B%22com.docker.stack.namespace%22:%22web%22%7D",
            "clear",
        ),
        ("build?labels=x", "denied"),
        (
            "commit?container=web&changes=LABEL%20com.docker.compose.project=agents",
            "denied",
        ),
        (
            "images/create?fromSrc=-&changes=LABEL%20com.docker.stack.namespace=skep",
            "denied",
        ),
        ("commit?container=web&changes=LABEL%20a=b", "clear"),
    ] {
        assert_eq!(said(&format!("POST /{query}"), ""), expected, "{query}");
    }
}

#[test]
fn a_link_of_a_process_is_no_way_to_the_agents_paths() {
    let bind = |path: &str| format!(r#"{{"HostConfig":{{"Binds":["{path}:/x"]}}}}"#);
    for path in [
        "/proc/1/root",
        "/proc/1/root/srv/skep/state",
        "/proc/self/cwd",
        "//proc/./thread-self/root/",
        "/proc/7/task/7/root/x",
        "/proc/7/fd/3",
    ] {
        assert_eq!(
            said("POST /containers/create", &bind(path)),
            "denied",
            "{path}"
        );
    }
    for path in ["/proc/cpuinfo", "/proc/7/stat", "/srv/proc/1/root"] {
        assert_eq!(
            said("POST /containers/create", &bind(path)),
            "clear",
            "{path}"
        );
    }
    for body in [
        r#"{"Volumes":{"/srv/skep/state:/x":{}}}"#,
        r#"{"Volumes":{"/a":{},"/srv:/x:ro":{}}}"#,
    ] {
        assert_eq!(said("POST /containers/create", body), "denied", "{body}");
    }
    let volume = r#"{"Volumes":{"skep-state:/x":{}}}"#;
    assert_eq!(
        said("POST /containers/create", volume),
        "no Volume skep-state"
    );
}

/// A client that replaces containers would lose it.
#[test]
fn a_container_that_only_an_admin_can_create_is_not_removed_to_be_created_again() {
    let rules = everything();
    let recreated = |inspect: &str| {
        let api = crate::policy::EffectiveApi::NEWEST;
        rules
            .judge_recreation(inspect.as_bytes(), api, &guarded())
            .is_allowed()
    };
    assert!(recreated(
        r#"{"Name":"/web","Config":{"Labels":{"a":"b"}}}"#
    ));
    for inspect in [
        r#"{"Name":"/proxy","Config":{}}"#,
        r#"{"Name":"/web","Config":{"Labels":{"skep.policy":"x"}}}"#,
        r#"{"Name":"/web","Config":{"Labels":{"com.docker.compose.project":"agents"}}}"#,
    ] {
        assert!(!recreated(inspect), "{inspect}");
    }
}

#[test]
fn only_the_agents_keep_the_configs_of_the_list_of_people() {
    for (request, body, expected) in [
        ("DELETE /configs/skep-people-7", "", "no Object"),
        ("DELETE /configs/Skep-People-7", "", "no Object"),
        (
            "POST /configs/skep-joined-0a/update?version=1",
            "{}",
            "no Object",
        ),
        (
            "POST /configs/create",
            r#"{"Name":"skep-people-8"}"#,
            "denied",
        ),
        (
            "POST /configs/create",
            r#"{"name":"SKEP-JOINED-0a"}"#,
            "denied",
        ),
        ("POST /configs/create", r#"{"Name":"skep-people"}"#, "clear"),
        ("POST /configs/create", r#"{"Name":"own"}"#, "clear"),
        (
            "POST /secrets/create",
            r#"{"Name":"skep-people-8"}"#,
            "clear",
        ),
        ("GET /configs/skep-people-7", "", "clear"),
    ] {
        let judged = judged(&everything(), request, body);
        let found = match judged {
            Guarding::Clear => "clear",
            Guarding::Inspect(..) => "inspect",
            Guarding::NoSuch(..) => "no Object",
            Guarding::Denied(_) => "denied",
        };
        assert_eq!(found, expected, "{request} {body}");
    }
}
