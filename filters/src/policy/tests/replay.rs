//! Replays the whole sequences of the clients that presets are for, call by call with query and body, as their own
//! sources make them. Destructive calls are at their place in the sequence: what is refused is refused before them.

use super::*;

/// A call with its body, and the rule that refuses it; `""` allows it.
type Call = (&'static str, String, &'static str);

/// A create request of Go's client (github.com/moby/moby/client 0.6.2): it writes every field, also empty ones.
/// `config` and `host` are further fields at their place, and `endpoint` is the one network.
fn go_create(image: &str, config: &str, host: &str, endpoint: &str) -> String {
    let config = with_comma(config);
    let host = with_comma(host);
    let endpoints = match endpoint {
        "" => "{}".to_owned(),
        name => format!(r#"{{"{name}":{}}}"#, go_endpoint("")),
    };
    format!(
        r#"{{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,
        "Tty":false,"OpenStdin":false,"StdinOnce":false,{config}"Image":"{image}","WorkingDir":"",
        "HostConfig":{{{host}"ContainerIDFile":"","RestartPolicy":{{"Name":"no","MaximumRetryCount":0}},
        "AutoRemove":false,"VolumeDriver":"","ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"",
        "Dns":null,"DnsOptions":null,"DnsSearch":null,"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"",
        "Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,
        "SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,
        "NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":null,"BlkioDeviceReadBps":null,
        "BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,"CpuPeriod":0,"CpuQuota":0,
        "CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":null,
        "DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":null,
        "OomKillDisable":null,"PidsLimit":null,"Ulimits":null,"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,
        "IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null}},
        "NetworkingConfig":{{"EndpointsConfig":{endpoints}}}}}"#
    )
}

/// The settings of a container in a network, as Go's client writes them.
fn go_endpoint(address: &str) -> String {
    format!(
        r#"{{"IPAMConfig":null,"Links":null,"Aliases":["web"],"DriverOpts":null,"GwPriority":0,"NetworkID":"",
        "EndpointID":"","Gateway":"","IPAddress":"{address}","MacAddress":"","IPPrefixLen":0,"IPv6Gateway":"",
        "GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}"#
    )
}

fn with_comma(fields: &str) -> String {
    match fields {
        "" => String::new(),
        fields => format!("{fields},"),
    }
}

fn exec(tty: bool) -> String {
    format!(
        r#"{{"User":"","Privileged":false,"Tty":{tty},"ConsoleSize":null,"AttachStdin":true,"AttachStderr":true,
        "AttachStdout":true,"DetachKeys":"","Env":null,"WorkingDir":"","Cmd":["sh","-c","true"]}}"#
    )
}

const EXEC_START: &str = r#"{"Detach":false,"Tty":false}"#;

fn call(request: &'static str) -> Call {
    (request, String::new(), "")
}

fn sends(request: &'static str, body: impl Into<String>) -> Call {
    (request, body.into(), "")
}

fn refused(request: &'static str, body: impl Into<String>, rule: &'static str) -> Call {
    (request, body.into(), rule)
}

/// Every call of one line each, without a body, allowed.
fn calls(requests: &'static str) -> Vec<Call> {
    requests
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(call)
        .collect()
}

#[track_caller]
fn replay(preset: &str, client: &str, sequence: &[Call]) {
    let rules = RuleSet::new(&Spec::of_preset(preset)).unwrap();
    for (request, body, rule) in sequence {
        match (judged(&rules, request, body), *rule) {
            (Ok(_), "") => {}
            (Err(outcome), "") => panic!("{client}: {outcome}: {request} {body}"),
            (Ok(_), rule) => {
                panic!("{client}: allowed, instead of refused by {rule}: {request} {body}")
            }
            (Err(outcome), rule) => {
                assert!(
                    outcome.starts_with(rule),
                    "{client}: {outcome} instead of {rule}: {request}"
                );
            }
        }
    }
}

/// pkg/provider/docker/{pdocker,shared}.go: version, list, inspects, then the same at each event. It asks in 1.24
/// unless it negotiates.
#[test]
fn traefik_3_7_13_follows_containers() {
    replay(
        "traefik",
        "Traefik 3.7.13, docker",
        &calls(
            "HEAD /_ping
         GET /v1.24/version
         GET /v1.24/containers/json?all=1
         GET /v1.24/containers/4f1/json
         GET /v1.24/events?filters=%7B%22type%22%3A%7B%22container%22%3Atrue%7D%7D
         GET /v1.24/containers/json?all=1
         GET /v1.24/containers/4f1/json",
        ),
    );
}

/// pkg/provider/docker/pswarm.go: the same every 15 s.
#[test]
fn traefik_3_7_13_follows_services() {
    replay("traefik", "Traefik 3.7.13, swarm", &calls(
        "HEAD /_ping
         GET /v1.52/version
         GET /v1.52/services
         GET /v1.52/networks?filters=%7B%22scope%22%3A%7B%22swarm%22%3Atrue%7D%7D
         GET /v1.52/tasks?filters=%7B%22desired-state%22%3A%7B%22running%22%3Atrue%7D%2C%22service%22%3A%7B%22s1%22%3Atrue%7D%7D
         GET /v1.52/nodes/n1
         GET /v1.24/networks?filters=%7B%22driver%22%3A%7B%22overlay%22%3Atrue%7D%7D
         GET /v1.24/services",
    ));
}

/// pkg/container/client.go and cmd/root.go, with --cleanup: the old container is gone before the new one is created.
#[test]
fn watchtower_1_7_1_recreates_a_container() {
    let create = go_create(
        "team/web:1",
        r#""Env":["A=b"],"Labels":{"com.docker.compose.project":"shop"},"ExposedPorts":{"80/tcp":{}}"#,
        r#""Binds":["data:/data:rw"],"NetworkMode":"front","PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"LogConfig":{"Type":"json-file","Config":{}}"#,
        "front",
    );
    let connect = format!(
        r#"{{"Container":"c2","EndpointConfig":{}}}"#,
        go_endpoint("10.0.0.2")
    );
    replay(
        "watchtower",
        "Watchtower 1.7.1",
        &[
            call(
                "GET /v1.25/containers/json?filters=%7B%22status%22%3A%7B%22running%22%3Atrue%2C%22created%22%3Atrue%2C%22exited%22%3Atrue%7D%7D",
            ),
            call("GET /v1.25/containers/c1/json"),
            call("GET /v1.25/images/sha256:1/json"),
            call("POST /v1.25/images/create?fromImage=team%2Fweb&tag=1"),
            call("GET /v1.25/images/team/web:1/json"),
            call("POST /v1.25/containers/c1/kill?signal=SIGTERM"),
            call("GET /v1.25/containers/c1/json"),
            call("DELETE /v1.25/containers/c1?force=1&v=1"),
            sends("POST /v1.25/containers/create?name=web", create),
            sends(
                "POST /v1.25/networks/front/disconnect",
                r#"{"Container":"c2","Force":true}"#,
            ),
            sends("POST /v1.25/networks/front/connect", connect),
            call("POST /v1.25/containers/c2/start"),
            call("DELETE /v1.25/images/sha256:1?force=1&noprune=1"),
            // Itself: the old one gets another name first.
            call("POST /v1.25/containers/me/rename?name=wKXbLxJFHmYfzTYqRqeQbDbtRAXqXWfd"),
            // Lifecycle hooks run before anything ends, and need `exec` in `allow`.
            refused("POST /v1.25/containers/c1/exec", exec(true), "default"),
        ],
    );
}

/// pkg/container/{container_source,container_target}.go and internal/actions/update.go of nicholas-fedor/watchtower.
#[test]
fn watchtower_1_21_0_recreates_a_container_and_itself() {
    let create = go_create(
        "team/web:1",
        r#""Env":["A=b"],"Labels":{}"#,
        r#""Binds":null,"Mounts":[{"Type":"volume","Source":"data","Target":"/data"}],"NetworkMode":"front","LogConfig":{"Type":"json-file","Config":{}}"#,
        "front",
    );
    replay(
        "watchtower",
        "Watchtower 1.21.0",
        &[
            call("HEAD /_ping"),
            call("GET /v1.52/info"),
            call("GET /v1.52/containers/json?all=1"),
            call("GET /v1.52/containers/c1/json"),
            call("GET /v1.52/images/sha256:1/json"),
            call("POST /v1.52/images/create?fromImage=docker.io%2Fteam%2Fweb&tag=1"),
            call("GET /v1.52/images/team/web:1/json"),
            call("POST /v1.52/containers/c1/stop?signal=SIGTERM&t=30"),
            call("DELETE /v1.52/containers/c1?force=1"),
            sends("POST /v1.52/containers/create", create),
            call("POST /v1.52/containers/c2/rename?name=web"),
            sends(
                "POST /v1.43/networks/back/connect",
                format!(
                    r#"{{"Container":"c2","EndpointConfig":{}}}"#,
                    go_endpoint("")
                ),
            ),
            call("POST /v1.52/containers/c2/start"),
            call("DELETE /v1.52/images/sha256:1?force=1&noprune=1"),
            call("POST /v1.52/containers/me/rename?name=watchtower-old-x"),
            sends(
                "POST /v1.52/containers/me/update",
                r#"{"RestartPolicy":{"Name":"no","MaximumRetryCount":0}}"#,
            ),
            // The container for its own update gets the engine's socket, which no preset grants. Nothing has ended by then.
            refused(
                "POST /v1.52/containers/create?name=watchtower-orchestrator-me",
                go_create(
                    "w:1",
                    "",
                    r#""Binds":["/var/run/docker.sock:/var/run/docker.sock"]"#,
                    "",
                ),
                "may.binds",
            ),
        ],
    );
}

/// internal/docker/client.go. Actions, the update of a container and the shell are switched on by a person, who adds
/// the calls to `allow`; until then the first call of each is refused.
#[test]
fn dozzle_10_7_3_shows_logs_and_statistics() {
    replay("dozzle", "Dozzle 10.7.3", &calls(
        "HEAD /_ping
         GET /v1.52/info
         GET /v1.52/version
         GET /v1.52/containers/json?all=1&filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D
         GET /v1.52/containers/c1/json
         GET /v1.52/events
         GET /v1.52/containers/c1/stats?stream=true
         GET /v1.52/containers/c1/logs?follow=1&since=2026-01-01T00%3A00%3A00Z&stderr=1&stdout=1&tail=&timestamps=1
         GET /v1.52/containers/c1/logs?since=2026-01-01T00%3A00%3A00Z&stderr=1&stdout=1&tail=&timestamps=1&until=2026-01-02T00%3A00%3A00Z
         GET /_ping",
    ));
    replay(
        "dozzle",
        "Dozzle 10.7.3, actions",
        &[
            refused("POST /v1.52/containers/c1/restart", "", "default"),
            refused(
                "POST /v1.52/images/create?fromImage=docker.io%2Fteam%2Fweb&tag=1",
                "",
                "default",
            ),
            refused("POST /v1.52/containers/c1/exec", exec(true), "default"),
            refused(
                "POST /v1.52/containers/c1/attach?stream=1&stdin=1&stdout=1&stderr=1",
                "",
                "default",
            ),
        ],
    );
}

/// src/pages/api/docker and src/utils/config/service-helpers.js, through dockerode without a version.
#[test]
fn homepage_1_12_3_shows_states_and_statistics() {
    replay("homepage", "Homepage 1.12.3", &calls(
        "GET /containers/json?all=true
         GET /containers/web/json
         GET /containers/web/stats?stream=false
         GET /services?all=true
         GET /services/web
         GET /tasks?filters=%7B%22service%22%3A%5B%22web%22%5D%2C%22desired-state%22%3A%5B%22running%22%5D%7D
         GET /containers/0f1/stats?stream=false",
    ));
}

/// pkg/docker and internal/provider/{docker,swarm}.
#[test]
fn diun_4_33_0_looks_for_newer_images() {
    replay("diun", "Diun 4.33.0", &calls(
        "HEAD /_ping
         GET /v1.52/version
         GET /v1.52/containers/json?filters=%7B%22status%22%3A%7B%22running%22%3Atrue%7D%7D
         GET /v1.52/containers/json?all=1&filters=%7B%22status%22%3A%7B%22created%22%3Atrue%2C%22exited%22%3Atrue%7D%7D
         GET /v1.52/containers/c1/json
         GET /v1.52/images/sha256:1/json
         GET /v1.52/services",
    ));
}

/// discovery/moby: docker_sd_configs, and dockerswarm_sd_configs with all three roles. Tasks look for the labels of
/// their containers, and go on without them.
#[test]
fn prometheus_3_16_0_discovers_targets() {
    replay(
        "prometheus",
        "Prometheus 3.16.0",
        &calls(
            "HEAD /_ping
         GET /v1.52/containers/json
         GET /v1.52/networks
         GET /v1.52/nodes
         GET /v1.52/services
         GET /v1.52/tasks?filters=%7B%22desired-state%22%3A%7B%22running%22%3Atrue%7D%7D
         GET /v1.52/containers/c1/json",
        ),
    );
}

/// executors/docker of the runner: one job with a service and a cache, from its pulls to the removal of everything.
#[test]
fn gitlab_runner_19_4_runs_a_job() {
    let network = r#"{"Name":"runner-1-build","Driver":"","Scope":"","EnableIPv6":false,"IPAM":null,"Internal":false,
        "Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{},
        "Labels":{"com.gitlab.gitlab-runner.managed":"true"}}"#;
    let volume = r#"{"Name":"runner-cache","Labels":{"com.gitlab.gitlab-runner.type":"cache"}}"#;
    let log = r#""LogConfig":{"Type":"json-file","Config":null}"#;
    let settings =
        format!(r#"{log},"NetworkMode":"runner-1-build","Binds":["runner-cache:/cache"]"#);
    let create = |image: &str| {
        go_create(
            image,
            r#""Labels":{"com.gitlab.gitlab-runner.managed":"true"}"#,
            &settings,
            "runner-1-build",
        )
    };
    let sequence = vec![
        call("HEAD /_ping"),
        call("GET /v1.52/version"),
        call("GET /v1.52/info"),
        call("GET /v1.52/images/gitlab-runner-helper:x/json"),
        call(
            "POST /v1.52/images/create?fromImage=registry.gitlab.com%2Fgitlab-org%2Fgitlab-runner-helper&tag=x",
        ),
        sends("POST /v1.52/networks/create", network),
        call("GET /v1.52/networks/n1"),
        sends("POST /v1.52/volumes/create", volume),
        sends(
            "POST /v1.52/containers/create?name=runner-cache-set-permission-1",
            go_create(
                "sha256:1",
                "",
                &format!(r#"{log},"Binds":["runner-cache:/gitlab-runner-cache-init"]"#),
                "",
            ),
        ),
        call("POST /v1.52/containers/p1/start"),
        call("POST /v1.52/containers/p1/wait?condition=not-running"),
        call("DELETE /v1.52/containers/p1?force=1"),
        sends(
            "POST /v1.52/containers/create?name=runner-1-postgres-0",
            create("sha256:2"),
        ),
        call("POST /v1.52/containers/s1/start"),
        call("GET /v1.52/containers/s1/json"),
        sends(
            "POST /v1.52/containers/create?name=runner-1-postgres-0-wait-for-service",
            create("sha256:1"),
        ),
        call("GET /v1.52/containers/s1/logs?follow=1&stderr=1&stdout=1&tail=&timestamps=1"),
        sends(
            "POST /v1.52/containers/create?name=runner-1-build",
            create("sha256:3"),
        ),
        call("GET /v1.52/containers/b1/json"),
        call("POST /v1.52/containers/b1/attach?stderr=1&stdin=1&stdout=1&stream=1"),
        call("POST /v1.52/containers/b1/start"),
        sends("POST /v1.52/containers/b1/exec", exec(false)),
        sends("POST /v1.52/exec/e1/start", EXEC_START),
        call("POST /v1.52/containers/b1/stop"),
        call("POST /v1.52/containers/b1/kill?signal=SIGKILL"),
        call("GET /v1.52/networks"),
        sends(
            "POST /v1.52/networks/n1/disconnect",
            r#"{"Container":"b1","Force":true}"#,
        ),
        call("DELETE /v1.52/containers/b1?force=1&v=1"),
        call("DELETE /v1.52/containers/s1?force=1&v=1"),
        call("GET /v1.52/volumes/runner-cache"),
        call("DELETE /v1.52/volumes/runner-cache?force=1"),
        call("DELETE /v1.52/networks/n1"),
    ];
    replay("ci-runner", "GitLab Runner 19.4.0", &sequence);
    // Settings of the runner that need a grant fail at the job's first container.
    for (fields, rule) in [
        (r#""Privileged":true"#, "may.privileged"),
        (r#""Binds":["/cache:/cache"]"#, "may.binds"),
        (r#""Links":["db:db"]"#, "may.share"),
        (r#""VolumesFrom":["cache"]"#, "may.share"),
    ] {
        let create = host(fields);
        replay(
            "ci-runner",
            "GitLab Runner 19.4.0",
            &[refused("POST /v1.52/containers/create", create, rule)],
        );
    }
}

/// The calls of `docker compose` for a project: see pkg/compose. `build` is what a person adds.
#[test]
fn compose_5_6_0_and_1_29_2_manage_a_project() {
    let network = r#"{"Name":"shop_default","Driver":"","Scope":"","IPAM":{"Driver":"","Options":null,"Config":[]},
        "Internal":false,"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":null,
        "Labels":{"com.docker.compose.project":"shop","com.docker.compose.network":"default"}}"#;
    let volume = r#"{"Name":"shop_data","Driver":"","DriverOpts":null,"Labels":{"com.docker.compose.project":"shop"}}"#;
    let create = |name: &str| {
        go_create(
            "team/web",
            r#""Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"},"Env":["A=b"],"Cmd":null,"Volumes":null,"Entrypoint":null,"OnBuild":null,"ExposedPorts":{"80/tcp":{}}"#,
            &format!(
                r#""Binds":null,"Mounts":[{{"Type":"volume","Source":"{name}","Target":"/data","VolumeOptions":{{}}}}],"NetworkMode":"shop_default","PortBindings":{{"80/tcp":[{{"HostIp":"","HostPort":"8080"}}]}},"LogConfig":{{"Type":"","Config":null}}"#
            ),
            "shop_default",
        )
    };
    let filter = "GET /v1.52/containers/json?all=1&filters=%7B%22label%22%3A%7B%22com.docker.compose.project%3Dshop%22%3Atrue%7D%7D";
    let sequence = vec![
        call("HEAD /_ping"),
        call("GET /v1.52/info"),
        call("GET /v1.52/version"),
        call(filter),
        // pull, and the look at local images
        call("GET /v1.52/images/team/web/json"),
        call("GET /v1.52/distribution/team/web/json"),
        call(
            "POST /v1.52/images/create?fromImage=docker.io%2Fteam%2Fweb&platform=linux%2Famd64&tag=latest",
        ),
        // up
        call("GET /v1.52/networks?filters=%7B%22name%22%3A%7B%22shop_default%22%3Atrue%7D%7D"),
        call("GET /v1.52/networks/shop_default"),
        sends("POST /v1.52/networks/create", network),
        call("GET /v1.52/volumes/shop_data"),
        sends("POST /v1.52/volumes/create", volume),
        sends(
            "POST /v1.52/containers/create?name=shop-web-1",
            create("shop_data"),
        ),
        sends(
            "POST /v1.41/networks/back/connect",
            format!(
                r#"{{"Container":"c1","EndpointConfig":{}}}"#,
                go_endpoint("")
            ),
        ),
        call(
            "GET /v1.52/events?filters=%7B%22label%22%3A%7B%22com.docker.compose.project%3Dshop%22%3Atrue%7D%7D",
        ),
        call("POST /v1.52/containers/c1/attach?logs=1&stderr=1&stdout=1&stream=1"),
        call("POST /v1.52/containers/c1/start"),
        call("GET /v1.52/containers/c1/json"),
        call("GET /v1.52/containers/c1/logs?follow=1&stderr=1&stdout=1&tail=all"),
        call("POST /v1.52/containers/c1/wait?condition=not-running"),
        // configs and secrets are files that are copied in
        sends(
            "PUT /v1.52/containers/c1/archive?noOverwriteDirNonDir=true&path=%2F",
            "",
        ),
        // look
        call(
            "GET /v1.52/images/json?filters=%7B%22label%22%3A%7B%22com.docker.compose.project%3Dshop%22%3Atrue%7D%7D",
        ),
        call("GET /v1.52/containers/c1/top"),
        call("GET /v1.52/containers/c1/stats?stream=true"),
        call(
            "GET /v1.52/volumes?filters=%7B%22label%22%3A%7B%22com.docker.compose.project%3Dshop%22%3Atrue%7D%7D",
        ),
        sends("POST /v1.52/containers/c1/exec", exec(true)),
        call("GET /v1.52/exec/e1/json"),
        sends(
            "POST /v1.52/exec/e1/start",
            r#"{"Detach":false,"Tty":true,"ConsoleSize":[24,80]}"#,
        ),
        call("POST /v1.52/exec/e1/resize?h=24&w=80"),
        call("HEAD /v1.52/containers/c1/archive?path=%2Fdata"),
        call("GET /v1.52/containers/c1/archive?path=%2Fdata"),
        // a change: the new one under a name for a while, then the old one goes
        call("POST /v1.52/containers/c1/stop?t=10"),
        sends(
            "POST /v1.52/containers/create?name=0123456789ab_shop-web-1",
            create("shop_data"),
        ),
        call("DELETE /v1.52/containers/c1?force=1"),
        call("POST /v1.52/containers/c2/rename?name=shop-web-1"),
        call("POST /v1.52/containers/c2/start"),
        call("POST /v1.52/containers/c2/pause"),
        call("POST /v1.52/containers/c2/unpause"),
        call("POST /v1.52/containers/c2/restart?t=10"),
        call("POST /v1.52/containers/c2/kill?signal=SIGKILL"),
        // down -v --rmi all
        call("POST /v1.52/containers/c2/stop"),
        call("DELETE /v1.52/containers/c2?force=1&v=1"),
        call("DELETE /v1.52/networks/n1"),
        call("DELETE /v1.52/volumes/shop_data?force=1"),
        call("DELETE /v1.52/images/team/web?noprune=1"),
        // 1.29.2 in Python asks in 1.22 or later, without the noprune of Go.
        call("DELETE /v1.41/images/team/web?force=False&noprune=False"),
        call("GET /v1.41/images/json?only_ids=0&all=0"),
    ];
    replay("compose", "Compose 5.6.0", &sequence);
    // What a file asks of the host is refused when its first container is created.
    for (fields, rule) in [
        (r#""Binds":["/srv:/srv:rw"]"#, "may.binds"),
        (r#""NetworkMode":"host""#, "may.namespaces"),
        (
            r#""Devices":[{"PathOnHost":"/dev/kvm","PathInContainer":"/dev/kvm","CgroupPermissions":"rwm"}]"#,
            "may.devices",
        ),
    ] {
        replay(
            "compose",
            "Compose 5.6.0",
            &[refused(
                "POST /v1.52/containers/create?name=a",
                host(fields),
                rule,
            )],
        );
    }
    replay(
        "compose",
        "Compose 5.6.0",
        &[refused("POST /v1.52/build?t=a", "", "default")],
    );
}

/// docker.go and network.go of testcontainers-go, with the reaper off.
#[test]
fn testcontainers_go_0_45_0_runs_a_container() {
    let create = go_create(
        "nginx:1",
        r#""Labels":{"org.testcontainers":"true","org.testcontainers.sessionId":"s1"},"ExposedPorts":{"80/tcp":{}},"Env":[]"#,
        r#""Binds":null,"NetworkMode":"bridge","PortBindings":{"80/tcp":[{"HostIp":"","HostPort":""}]},"LogConfig":{"Type":"","Config":null}"#,
        "net-1",
    );
    replay(
        "testcontainers",
        "testcontainers-go 0.45.0",
        &[
            call("HEAD /_ping"),
            call("GET /v1.52/info"),
            call("GET /v1.52/networks"),
            call("GET /v1.52/networks/bridge"),
            sends(
                "POST /v1.52/networks/create",
                r#"{"Name":"net-1","Driver":"bridge","Scope":"","EnableIPv6":null,"IPAM":null,"Internal":false,
            "Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":null,
            "Labels":{"org.testcontainers":"true"}}"#,
            ),
            call("GET /v1.52/images/nginx:1/json"),
            call("POST /v1.52/images/create?fromImage=docker.io%2Flibrary%2Fnginx&tag=1"),
            sends(
                "POST /v1.52/containers/create?platform=linux%2Famd64",
                create,
            ),
            call("PUT /v1.52/containers/c1/archive?path=%2F"),
            call("POST /v1.52/containers/c1/start"),
            call("GET /v1.52/containers/c1/json"),
            call("GET /v1.52/containers/c1/logs?follow=1&stderr=1&stdout=1&tail="),
            sends("POST /v1.52/containers/c1/exec", exec(false)),
            sends("POST /v1.52/exec/e1/start", EXEC_START),
            call("GET /v1.52/exec/e1/json"),
            call("GET /v1.52/containers/c1/archive?path=%2Fetc%2Fhosts"),
            sends(
                "POST /v1.52/networks/net-1/connect",
                format!(
                    r#"{{"Container":"c1","EndpointConfig":{}}}"#,
                    go_endpoint("")
                ),
            ),
            call(
                "GET /v1.52/containers/json?all=1&filters=%7B%22name%22%3A%7B%22a%22%3Atrue%7D%7D",
            ),
            call("POST /v1.52/containers/c1/stop?t=10"),
            call("DELETE /v1.52/containers/c1?force=1&v=1"),
            call("DELETE /v1.52/networks/n1"),
            // The reaper wants the engine's socket.
            refused(
                "POST /v1.52/containers/create",
                go_create(
                    "testcontainers/ryuk:0.14.0",
                    "",
                    r#""Binds":["/var/run/docker.sock:/var/run/docker.sock"]"#,
                    "",
                ),
                "may.binds",
            ),
        ],
    );
}

/// dockerode passes its own options on, in the body of these calls: testcontainers for Node 12.2 through dockerode 5.0.
#[test]
fn testcontainers_node_12_2_runs_a_container() {
    replay(
        "testcontainers",
        "testcontainers for Node 12.2",
        &[
            call("GET /info"),
            call("GET /images/alpine:3/json"),
            call("POST /images/create?fromImage=alpine&tag=3"),
            sends(
                "POST /networks/create?Name=n&CheckDuplicate=true&Driver=bridge&Internal=false&Attachable=false&Ingress=false&EnableIPv6=false",
                r#"{"Name":"n","CheckDuplicate":true,"Driver":"bridge","Internal":false,"Attachable":false,"Ingress":false,"EnableIPv6":false,"Labels":{}}"#,
            ),
            sends(
                "POST /containers/create?name=a",
                r#"{"name":"a","Image":"alpine:3","Env":[],"ExposedPorts":{"80/tcp":{}},"Labels":{"org.testcontainers":"true"},
            "HostConfig":{"AutoRemove":false,"PortBindings":{"80/tcp":[{"HostPort":"0"}]},"Binds":[],"Privileged":false}}"#,
            ),
            sends("PUT /containers/c1/archive?path=%2F", ""),
            sends("POST /containers/c1/start", "{}"),
            call("GET /containers/c1/json"),
            call("GET /containers/c1/logs?follow=true&stdout=true&stderr=true&since=0"),
            sends(
                "POST /containers/c1/exec",
                r#"{"Cmd":["sh"],"AttachStdout":true,"AttachStderr":true,"AttachStdin":true,"Tty":false}"#,
            ),
            sends(
                "POST /exec/e1/start",
                r#"{"hijack":true,"stdin":true,"Detach":false,"Tty":true}"#,
            ),
            sends(
                "POST /exec/e1/start",
                r#"{"stream":true,"stdin":false,"Detach":false,"Tty":false}"#,
            ),
            call("GET /exec/e1/json"),
            sends(
                "POST /containers/c1/attach?stream=true&stdin=true&stdout=true&stderr=true&hijack=true",
                "",
            ),
            call("POST /containers/c1/stop?t=0"),
            call("DELETE /containers/c1?v=true&force=true"),
            call("DELETE /networks/n1"),
        ],
    );
}

/// An assistant with a Docker tool: it may only end what is its own, and create what is bounded.
#[test]
fn an_assistant_tries_a_container() {
    let bounded = r#""Memory":1073741824,"NanoCpus":1000000000,"PidsLimit":100,"SecurityOpt":["no-new-privileges"],"PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]}"#;
    replay(
        "ai-agent",
        "an assistant",
        &[
            call("GET /_ping"),
            call("GET /v1.47/info"),
            call("GET /v1.47/containers/json?all=1"),
            call("POST /v1.47/images/create?fromImage=alpine&tag=3"),
            sends("POST /v1.47/volumes/create", r#"{"Name":"work"}"#),
            refused("POST /v1.47/containers/create?name=a", host(""), "must."),
            sends("POST /v1.47/containers/create?name=a", host(bounded)),
            call("POST /v1.47/containers/a/start"),
            sends("POST /v1.47/containers/a/exec", exec(false)),
            sends("POST /v1.47/exec/e1/start", EXEC_START),
            call("GET /v1.47/containers/a/logs?stdout=1"),
            call("POST /v1.47/containers/a/stop?t=1"),
            call("DELETE /v1.47/containers/a?force=1&v=1"),
            call("DELETE /v1.47/volumes/work"),
            refused("DELETE /v1.47/images/alpine:3", "", "default"),
            refused("POST /v1.47/containers/prune", "", "default"),
        ],
    );
}

/// A Portainer server is the operator's own, and restricts its users itself.
#[test]
fn portainer_2_45_manages_everything() {
    let everything = host(r#""Privileged":true,"Binds":["/:/host"],"PidMode":"host""#);
    replay(
        "portainer",
        "Portainer 2.45",
        &[
            call("GET /info"),
            call("GET /containers/json?all=1&size=1"),
            sends("POST /containers/create?name=web", everything),
            call("POST /containers/web/stop"),
            call("POST /containers/web/rename?name=web-old"),
            call("DELETE /containers/web-old?v=0&force=true"),
            call("POST /images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D"),
            call("POST /volumes/prune"),
            call("DELETE /services/s1"),
            call("DELETE /nodes/n1?force=true"),
            call("POST /swarm/leave?force=true"),
        ],
    );
}

/// Grafana, Uptime Kuma, cAdvisor and other readers: they look, and end nothing.
#[test]
fn a_reader_looks_at_everything_and_ends_nothing() {
    replay(
        "read-only",
        "a reader",
        &calls(
            "GET /_ping
         GET /v1.47/info
         GET /v1.47/version
         GET /v1.47/containers/json?all=1&size=1
         GET /v1.47/containers/c1/json
         GET /v1.47/containers/c1/stats?stream=false
         GET /v1.47/containers/c1/logs?stdout=1&follow=1
         GET /v1.47/images/json
         GET /v1.47/volumes
         GET /v1.47/networks
         GET /v1.47/system/df
         GET /v1.47/services
         GET /v1.47/services/s1/logs?stdout=1
         GET /v1.47/nodes
         GET /v1.47/events?since=0",
        ),
    );
    let ends = [
        "POST /containers/c1/stop",
        "DELETE /containers/c1",
        "POST /containers/prune",
        "DELETE /images/a",
        "DELETE /volumes/a?force=1",
        "DELETE /services/s1",
    ];
    for request in ends {
        replay("read-only", "a reader", &[refused(request, "", "default")]);
    }
}
